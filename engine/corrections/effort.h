// effort.h: how hard the writer of a walk tries. Readers know nothing of it.
#pragma once

namespace h5neural {

struct NetworkSamples;

struct WalkEffort {
  int pool = 16000;           // points of a coset that are looked at for predictors and weights,
  int samples = 4000;         // and about how many of them, where there is something to predict, are used
  bool fitted = true;         // try fitted predictors beside kriging
  bool every_kriging = true;  // try all kriging predictors, not only those near the last one
  bool any_kriging = true;    // choose a kriging predictor at all
  bool contexts = true;       // tell residuals apart by what is expected of them
  bool tables = true;         // fit a table to each context
  int rounds = 2;             // of reweighted least squares
  double spare = 0.005;       // share of the bytes given away for reading speed
  NetworkSamples* samples_out = nullptr;  // where to put what a network would learn from, for training
};

// Of an effort from 0 (fastest) to 9.
inline WalkEffort walk_effort(unsigned effort) {
  constexpr int kSamples[] = {700, 700, 2000, 3000, 5000, 8000, 8000, 12000, 12000, 20000};
  WalkEffort w;
  w.samples = kSamples[effort < 9 ? effort : 9];
  w.pool = 5 * w.samples;
  w.fitted = effort >= 3;
  w.every_kriging = effort >= 4;
  w.rounds = effort < 9 ? 2 : 3;
  if (effort == 0) w.spare = 0.03;
  return w;
}

}  // namespace h5neural

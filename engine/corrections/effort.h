// effort.h: how hard the writer of a walk tries. Readers know nothing of it.
#pragma once

namespace h5neural {

struct WalkEffort {
  int samples = 3000;          // points of a coset from which predictors and weights are found
  bool fitted = true;          // try fitted predictors beside kriging
  bool every_kriging = false;  // try all kriging predictors, not only those near the last one
  int rounds = 2;              // of reweighted least squares
};

// Of an effort from 0 (fastest) to 9.
inline WalkEffort walk_effort(unsigned effort) {
  WalkEffort w;
  w.samples = effort < 3 ? 700 : effort < 7 ? 4000 : 4000;
  w.fitted = effort >= 3;
  w.every_kriging = effort >= 4;
  return w;
}

}  // namespace h5neural

// parts.h: the parts of the writer that can be left out, one by one, to measure what each brings
// (tools/measure-parts), and what a training takes from it. Not in the public API: users choose an effort.
#pragma once

namespace h5neural {

struct NetworkSamples;
struct WalkNetwork;

struct EncoderParts {
  bool order = true;  // body centres first; else the cosets from the thinnest to the fullest, as axis passes
  bool axes = true;   // schedules that follow the smoothness of each axis; else all axes alike
  bool fit = true;    // fitted predictors
  bool kriging = true;    // a choice of variogram and nugget; else one for all
  bool contexts = true;   // a table for each expected magnitude; else one for each coset
  bool tables = true;     // tables fitted to each context; else those that the context implies
  bool reference = true;  // the mean along an axis
  bool repeats = true;    // lattice points by zstd
  bool masks = true;      // a value that fills much of the chunk as a class of its own
  bool transform = true;  // wavelets
  bool narrowing = true;  // narrower bins at coarse levels, L2 modes
  bool models = true;     // networks
  bool none = true;       // ways without a model where one that serves any chunk was asked for
  // For training: what `network` would learn from in the smallest walk of each setting.
  const WalkNetwork* network = nullptr;
  NetworkSamples* samples = nullptr;
};

}  // namespace h5neural

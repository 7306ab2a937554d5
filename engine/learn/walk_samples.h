// walk_samples.h: what a corrections network learns from: points of real walks, as the writer codes the
// chunks of arrays at many bounds. No LibTorch.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "corrections/network.h"
#include "learn/arrays.h"

namespace h5neural::learn {

struct WalkSampling {
  NetworkShape shape;
  std::vector<double> bounds;  // relative to the range of each chunk
  int64_t points = 1'000'000;  // about how many, of all chunks and bounds together
  double seconds = 60;         // coding stops after so many
  uint64_t seed = 0;
};

// Samples of the chunks first ... end - 1 of some arrays, the same number of each (chunk, bound) where it has
// as many. `group`: the number of the (chunk, bound) that a sample comes of.
struct WalkSamples {
  NetworkSamples of;
  std::vector<int32_t> group;
  int64_t coded = 0;  // (chunk, bound) pairs
};
struct ChunkRange {
  ArrayFile::Array array;  // [count, extents...]
  int64_t first = 0, end = 0;
};
WalkSamples sample_walks(const std::vector<ChunkRange>& chunks, const WalkSampling& how);

}  // namespace h5neural::learn

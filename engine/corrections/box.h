// box.h: a box of a chunk, on which the writer tries what it does not want to try on the whole.
#pragma once
#include <span>
#include <vector>

#include "corrections/walk.h"

namespace h5neural {

struct Box {
  static constexpr int kLeastExtent = 12;  // axes are not cut below it
  Index4 n, first{};

  // In the middle, of at most `most` points, where the axes are long enough for that. The longest axis is cut
  // first; axes that wrap later than others, since the part has ends that the chunk has not.
  Box(const Index4& whole, double most, uint8_t wraps = 0);

  // Moves it to where most is to be coded: where values are off the mean of their neighbours by many bins
  // (2^step_bits lattice units). The middle of a field may be empty.
  void seek(const WalkInput& in, std::span<const double> target);

  template <class T>
  std::vector<T> cut(std::span<const T> full, const Index4& whole) const {
    std::vector<T> part;
    if (full.empty()) return part;
    part.reserve(points(n));
    for_rows(n, [&](const Index4& i) {
      int64_t at = 0;
      for (int a = 0; a < kAxes; ++a) at = at * whole[a] + first[a] + i[a];
      part.insert(part.end(), full.begin() + at, full.begin() + at + n[kAxes - 1]);
    });
    return part;
  }
};

// The walk's input and target inside of a box.
struct Part {
  Part(const WalkInput& whole, std::span<const double> target, const Box& box);
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;

  std::vector<double> field;
  std::vector<int32_t> base;
  std::vector<uint8_t> skip;
  WalkInput in;  // of base and skip
};

}  // namespace h5neural

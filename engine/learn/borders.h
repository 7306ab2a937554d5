// borders.h: what lies beyond the borders of frames [.., Y, X] that a training cuts windows from: found in
// the data, said to people.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "models/seam.h"
#include "models/tiles.h"

namespace h5neural::learn {

// Axes of a frame, Y and X, whose two ends meet in all frames taken together.
inline std::array<bool, 2> periodic_axes(std::span<const float> frames,
                                         const std::array<int64_t, 2>& extents) {
  const auto rows = static_cast<size_t>(extents[0]), columns = static_cast<size_t>(extents[1]),
             count = frames.size() / (rows * columns);
  return {ends_meet(frames, count, rows, columns), ends_meet(frames, count * rows, columns, 1)};
}

inline std::string said(const std::array<bool, 2>& periodic) {
  return std::string(periodic[0] ? "periodic" : "not periodic") + " along the first axis, " +
         (periodic[1] ? "periodic" : "not") + " along the second";
}

// The points of an axis of n for places first ... first + count - 1: those of the other end beyond the end of
// a periodic axis, else mirrored (... 1 0 0 1 ...).
inline std::vector<int64_t> points_along(int64_t n, bool periodic, int64_t first, int64_t count) {
  std::vector<int64_t> points;
  for (int64_t k = first; k < first + count; ++k)
    points.push_back(periodic ? TileGrid::wrap(k, n) : TileGrid::reflect(k, n));
  return points;
}

}  // namespace h5neural::learn

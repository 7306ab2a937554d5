// grid.h: one level of the walk: its grid of up to four axes, taken apart into cosets (classes of points that
// are even or odd along the axes being refined). Every class is a small dense array of its own with a margin
// of ghost points around it, so that stencils need no border cases and rows are contiguous. Knows nothing of
// prediction or coding.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "support/array.h"

namespace h5neural {

constexpr int kAxes = 4;  // extents with more axes are folded into four, one-point axes dropped
constexpr int kClasses = 1 << kAxes;
constexpr int32_t kLatticeMax = 1 << 28;  // |value| of every point, ghosts included
constexpr int32_t kMagnitudeMax = 65535;  // of the magnitudes kept for contexts

using Index4 = std::array<int, kAxes>;

inline int32_t clamp_lattice(int64_t v) {
  return static_cast<int32_t>(std::clamp<int64_t>(v, -kLatticeMax, kLatticeMax));
}

// How values go on beyond the last point of a line that does not wrap: in steps of the slope there, the k-th
// ghost by k; by 5/8, 15/16, 35/32, ... (each step half of the one before); not at all. Noise asks for the
// latter ones.
enum Onward : uint8_t { kStraight, kDamped, kFlat };
constexpr int kOnwards = 3;

// Where the points of a level lie. A class is named by the axes along which its points are odd; all classes
// of a level share the padded shape and the strides of class 0, the largest.
struct Layout {
  Index4 n{1, 1, 1, 1};  // extents of the level's grid
  uint8_t mask = 0;      // the refined axes: those with even and odd points
  uint8_t wraps = 0;     // axes whose first point follows the last one; even extents along refined ones
  std::array<uint8_t, kAxes> onward{};  // an Onward for each axis
  Index4 reach{0, 0, 0, 0};             // how far stencils go along each axis, in steps of the grid
  Index4 margin{0, 0, 0, 0};            // ghosts on each side of a class, in steps of the class
  std::array<int64_t, kAxes> stride{};
  int64_t origin = 0;  // of the first point of a class in its padded array
  int64_t size = 0;    // of a padded array, with room for kernels that run past its end

  // `apart`: an axis, not refined, whose planes know nothing of each other; -1: none.
  static Layout make(const Index4& n, uint8_t mask, uint8_t wraps = 0, int apart = -1);

  // Points of a class along each axis.
  Index4 count(uint8_t axes) const {
    Index4 c = n;
    for (int a = 0; a < kAxes; ++a) {
      if (mask >> a & 1) c[a] = axes >> a & 1 ? n[a] / 2 : (n[a] + 1) / 2;
    }
    return c;
  }
  int64_t at(const Index4& i) const {
    return origin + i[0] * stride[0] + i[1] * stride[1] + i[2] * stride[2] + i[3] * stride[3];
  }
};

inline int64_t points(const Index4& n) { return int64_t{n[0]} * n[1] * n[2] * n[3]; }

// Calls row(i) for each row of a box along its last axis, in order; i[3] is 0.
template <class Row>
void for_rows(const Index4& count, Row&& row) {
  if (count[3] == 0) return;
  Index4 i{};
  for (i[0] = 0; i[0] < count[0]; ++i[0]) {
    for (i[1] = 0; i[1] < count[1]; ++i[1]) {
      for (i[2] = 0; i[2] < count[2]; ++i[2]) row(i);
    }
  }
}

// One array a class; those of unknown or empty classes are empty.
template <class T>
using Classes = std::array<Array<T>, kClasses>;

// The ghosts of a class from its points, axis after axis. Where an axis wraps they are the points of the
// other end; else values go on from the two outermost points, magnitudes stay as the outermost one.
void extend_values(const Layout& layout, uint8_t axes, Array<int32_t>& values);
void extend_magnitudes(const Layout& layout, uint8_t axes, Array<uint16_t>& magnitudes);

// Row i (i[3] = 0) of the whole grid of a level, put together from its classes: n[3] elements.
template <class T>
void grid_row(const Layout& l, const Classes<T>& classes, const Index4& i, T* out) {
  Index4 c = i;
  uint8_t axes = 0;
  for (int a = 0; a < kAxes - 1; ++a) {
    if (!(l.mask >> a & 1)) continue;
    axes |= static_cast<uint8_t>((i[a] & 1) << a);
    c[a] = i[a] / 2;
  }
  constexpr int kLast = kAxes - 1;
  const T* even = classes[axes].data() + l.at(c);
  if (!(l.mask >> kLast & 1)) {
    std::copy_n(even, l.n[kLast], out);
    return;
  }
  const int pairs = l.n[kLast] / 2;
  if (pairs > 0) {
    const T* odd = classes[axes | 1 << kLast].data() + l.at(c);
    for (int k = 0; k < pairs; ++k) {
      out[2 * k] = even[k];
      out[2 * k + 1] = odd[k];
    }
  }
  if (l.n[kLast] & 1) out[2 * pairs] = even[pairs];
}

}  // namespace h5neural

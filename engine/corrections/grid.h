// grid.h: one level of the walk: a small dense array of up to four axes with a margin of ghost points around
// it, so that stencils need no border cases. Knows nothing of prediction or coding.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace h5neural {

constexpr int kAxes = 4;  // extents with more axes are folded into four, one-point axes dropped
constexpr int32_t kLatticeMax = 1 << 30;  // |value| of every point, ghosts included

using Index4 = std::array<int, kAxes>;

inline int32_t clamp_lattice(int64_t v) {
  return static_cast<int32_t>(std::clamp<int64_t>(v, -kLatticeMax, kLatticeMax));
}

// Where the points of a level lie in its padded arrays.
struct Layout {
  Index4 n{1, 1, 1, 1};       // extents
  Index4 margin{0, 0, 0, 0};  // ghosts on each side, 0 on axes of one point
  std::array<int64_t, kAxes> stride{};
  int64_t size = 0;  // of a padded array
  int64_t points = 0;

  static Layout make(const Index4& n);
  int64_t at(const Index4& i) const {
    int64_t p = 0;
    for (int a = 0; a < kAxes; ++a) p += (i[a] + margin[a]) * stride[a];
    return p;
  }
};

// The points i with i[a] = first[a], first[a] + step[a], ... < n[a]: a coset of the level.
struct Coset {
  Index4 first{0, 0, 0, 0};
  Index4 step{1, 1, 1, 1};
  Index4 count(const Layout& l) const {
    Index4 c{};
    for (int a = 0; a < kAxes; ++a)
      c[a] = l.n[a] > first[a] ? (l.n[a] - first[a] + step[a] - 1) / step[a] : 0;
    return c;
  }
};

enum class Border { linear, nearest };

// Fills the ghosts of one coset from its points, axis after axis: by the line through the two outermost
// points, or by the outermost point alone.
void fill_ghosts(const Layout& layout, const Coset& coset, Border border, std::vector<int32_t>& values);

// Calls row(p, i, count) for each row of the coset along the last axis: p the padded index of its first
// point, i its grid index, points p, p + step[3], ...
template <class Row>
void for_rows(const Layout& l, const Coset& c, Row&& row) {
  const Index4 count = c.count(l);
  if (count[3] == 0) return;
  Index4 i = c.first;
  for (i[0] = c.first[0]; i[0] < l.n[0]; i[0] += c.step[0]) {
    for (i[1] = c.first[1]; i[1] < l.n[1]; i[1] += c.step[1]) {
      for (i[2] = c.first[2]; i[2] < l.n[2]; i[2] += c.step[2]) {
        row(l.at(i), i, count[3]);
      }
    }
  }
}

}  // namespace h5neural

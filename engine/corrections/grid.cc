// grid.cc: see grid.h.
#include "corrections/grid.h"

namespace h5neural {

Layout Layout::make(const Index4& extents) {
  Layout l;
  l.n = extents;
  const auto wide = std::count_if(l.n.begin(), l.n.end(), [](int extent) { return extent > 1; });
  // Stencils reach as far as the margin: further where there is one axis only, and fewer neighbours.
  const int reach = wide <= 1 ? 9 : wide <= 3 ? 5 : 3;
  l.points = 1;
  l.size = 1;
  for (int a = kAxes - 1; a >= 0; --a) {
    l.margin[a] = l.n[a] > 1 ? reach : 0;
    l.stride[a] = l.size;
    l.size *= l.n[a] + 2 * l.margin[a];
    l.points *= l.n[a];
  }
  return l;
}

namespace {

// Both ends of the line of coset points at p, p + d, ..., `count` points; ghosts that lie within `margin` of
// the grid.
void extend_line(int32_t* p, int64_t stride, int first, int step, int count, int n, int margin,
                 Border border) {
  int32_t* const last = p + int64_t{count - 1} * step * stride;
  const bool line = border == Border::linear && count > 1;
  const int64_t low_slope = line ? int64_t{p[0]} - p[step * stride] : 0;
  const int64_t high_slope = line ? int64_t{last[0]} - last[-step * stride] : 0;
  for (int i = first - step, k = 1; i >= -margin; i -= step, ++k) {
    p[(i - first) * stride] = clamp_lattice(p[0] + k * low_slope);
  }
  const int at_last = first + (count - 1) * step;
  for (int i = at_last + step, k = 1; i < n + margin; i += step, ++k) {
    last[(i - at_last) * stride] = clamp_lattice(last[0] + k * high_slope);
  }
}

}  // namespace

void fill_ghosts(const Layout& l, const Coset& c, Border border, std::vector<int32_t>& values) {
  const Index4 count = c.count(l);
  for (const int k : count) {
    if (k == 0) return;
  }
  // Axis by axis; along an axis already done the lines start in the ghosts as well, so corners are filled
  // too.
  Index4 from = c.first, to = l.n;
  for (int a = 0; a < kAxes; ++a) {
    if (l.margin[a] == 0) continue;
    Index4 lo = from, hi = to;
    lo[a] = c.first[a];
    hi[a] = c.first[a] + 1;
    Index4 i = lo;
    for (i[0] = lo[0]; i[0] < hi[0]; i[0] += c.step[0]) {
      for (i[1] = lo[1]; i[1] < hi[1]; i[1] += c.step[1]) {
        for (i[2] = lo[2]; i[2] < hi[2]; i[2] += c.step[2]) {
          for (i[3] = lo[3]; i[3] < hi[3]; i[3] += c.step[3]) {
            extend_line(values.data() + l.at(i), l.stride[a], c.first[a], c.step[a], count[a], l.n[a],
                        l.margin[a], border);
          }
        }
      }
    }
    from[a] = c.first[a] - (c.first[a] + l.margin[a]) / c.step[a] * c.step[a];
    to[a] = l.n[a] + l.margin[a];
  }
}

}  // namespace h5neural

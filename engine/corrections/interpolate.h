// interpolate.h: a field known on a coarse grid, for a look at it: the points between by linear
// interpolation, axis by axis. Integers only, though nothing that is stored depends on it.
#pragma once
#include <cstdint>
#include <span>

#include "corrections/grid.h"

namespace h5neural {

// `field`: one value for each point of n, row-major; those at multiples of `stride` along every axis are
// known, the others are filled in.
inline void interpolate(const Index4& n, const Index4& stride, std::span<int32_t> field) {
  std::array<int64_t, kAxes> place{};  // of a step along each axis in the array
  int64_t size = 1;
  for (int a = kAxes; a-- > 0;) {
    place[a] = size;
    size *= n[a];
  }
  // One line along axis a, from the point at `at`.
  const auto line = [&](int a, int64_t at) {
    const int64_t s = stride[a];
    for (int64_t x = 0; x < n[a]; ++x) {
      const int64_t from = x / s * s;
      if (from == x) continue;
      const int64_t low = field[at + from * place[a]];
      // Beyond the last known point the last step goes on.
      const int64_t last = from >= s ? field[at + (from - s) * place[a]] : low;
      const int64_t step = from + s < n[a] ? field[at + (from + s) * place[a]] - low : low - last;
      field[at + x * place[a]] = clamp_lattice(low + step * (x - from) / s);
    }
  };
  for (int a = 0; a < kAxes; ++a) {
    if (stride[a] == 1) continue;
    Index4 count = n,
           step = stride;  // lines start at all points along axes that are done, at known ones else
    count[a] = 1;
    for (int b = 0; b < a; ++b) step[b] = 1;
    Index4 i{};
    for (i[0] = 0; i[0] < count[0]; i[0] += step[0]) {
      for (i[1] = 0; i[1] < count[1]; i[1] += step[1]) {
        for (i[2] = 0; i[2] < count[2]; i[2] += step[2]) {
          for (i[3] = 0; i[3] < count[3]; i[3] += step[3]) {
            line(a, i[0] * place[0] + i[1] * place[1] + i[2] * place[2] + i[3] * place[3]);
          }
        }
      }
    }
  }
}

}  // namespace h5neural

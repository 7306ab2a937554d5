// ladder.h: the grids of a schedule, finest first, down to the root.
#pragma once
#include <vector>

#include "corrections/schedule.h"

namespace h5neural {

struct Rung {
  Index4 grid{1, 1, 1, 1};    // extents of the level's grid
  Index4 stride{1, 1, 1, 1};  // its spacing in the chunk
};

// levels.size() + 1 rungs; the last is the root.
inline std::vector<Rung> ladder(const Schedule& s) {
  std::vector<Rung> r(1);
  r[0].grid = s.n;
  for (const Level& level : s.levels) {
    Rung next = r.back();
    next.grid = coarser(next.grid, level.mask);
    for (int a = 0; a < kAxes; ++a) next.stride[a] <<= level.mask >> a & 1;
    r.push_back(next);
  }
  return r;
}

}  // namespace h5neural

// stencil.h: the order in which the cosets of a level are coded, and for each coset the known neighbours of a
// point, nearest first, in pairs (p + d, p - d). A pair shares one coefficient: the best linear interpolator
// of a stationary field from a known set that is symmetric about the point is itself symmetric.
#pragma once
#include <cstdint>
#include <vector>

#include "corrections/grid.h"
#include "corrections/schedule.h"
#include "kernels/kernels.h"

namespace h5neural {

struct Stencil {
  std::vector<Index4> offset;     // d of each pair, in points of the level, nearest first; at least one
  std::vector<int64_t> distance;  // its squared length under the level's axis weights, in units of 1/256
};

// Where a point of the coset `axes` finds its neighbour d steps away: the class that holds it, and how far
// apart the two stand in their arrays.
struct Neighbour {
  uint8_t axes;
  int64_t offset;
};
Neighbour neighbour(const Layout& layout, uint8_t axes, const Index4& d);

// The cosets of a level as sets of axes (subsets of the mask), in coding order: body centres first (all axes
// at once), then the rest from the fullest to the thinnest, which leaves each later coset more neighbours.
std::vector<uint8_t> coset_order(uint8_t mask);

// `known`: the cosets decoded before, bit c set for the coset with axes c (0, the coarser grid, always).
Stencil make_stencil(const Layout& layout, const Level& level, uint8_t axes, uint32_t known);

// Squared length of an offset under the weights, in units of 1/256.
int64_t weighted_square(const Index4& d, const std::array<uint8_t, kAxes>& weight);

}  // namespace h5neural

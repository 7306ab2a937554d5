// schedule.h: in which order the grid is refined: for each level which axes are halved, and how far a step
// along each axis counts when neighbours are ranked by distance. Chosen by the writer from the field, sent in
// the payload.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "corrections/grid.h"
#include "entropy/bit_coder.h"
#include "support/extents.h"

namespace h5neural {

struct Level {
  uint8_t mask = 0;                     // bit a: axis a has twice the points of the next coarser level
  std::array<uint8_t, kAxes> weight{};  // squared distance along axis a counts 2^(weight/2), 0 to kMaxWeight
  std::array<uint8_t, kAxes> onward{};  // an Onward (grid.h) for each axis
  uint8_t finer = 0;  // its bins are narrower than those of the bound by 2^(finer/4), 0 to kMaxFiner
  bool operator==(const Level&) const = default;
};
constexpr int kMaxWeight = 11;
constexpr int kMaxFiner = 16;

// Width of a level's bins in lattice units; 2^step_bits where finer is 0, at least 1.
int32_t bin_width(int step_bits, int finer);

struct Schedule {
  Index4 n{1, 1, 1, 1};       // the folded extents of the chunk
  uint8_t wraps = 0;          // axes whose first point follows the last one (longitude, periodic boxes)
  std::vector<Level> levels;  // finest first
  bool operator==(const Schedule&) const = default;
};

// Folds extents into four axes: one-point axes dropped, the slowest ones merged.
Index4 fold(const Extents& extents);

// Extents of the grid that a level with this mask refines.
Index4 coarser(const Index4& n, uint8_t mask);

void write_schedule(BitEncoder& out, const Schedule& schedule);
Schedule read_schedule(BitDecoder& in, const Index4& n);

// The same refinement of a smaller grid (a part of the chunk).
Schedule cropped(const Schedule& schedule, const Index4& n);

// The same where values go on straight beyond the ends of every axis.
Schedule straightened(Schedule schedule);

// What schedules are measured against: all axes refined at every level and alike; the axes of each level
// refined one after the other, as the passes of other codecs do.
Schedule all_axes_alike(const Index4& n);
Schedule axis_by_axis(const Schedule& schedule);

// Schedules worth trying for this field (writer only). `values`: the field in any unit, row-major; `skip`:
// points that are not coded (may be empty); `noise`: standard deviation of what decoded values are off by.
std::vector<Schedule> propose_schedules(const Index4& n, const std::vector<double>& values,
                                        const std::vector<uint8_t>& skip, double noise);

}  // namespace h5neural

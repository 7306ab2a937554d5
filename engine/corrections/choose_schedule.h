// choose_schedule.h: which of several schedules suits a field, by coding a part of it under each. Writer
// only.
#pragma once
#include <span>
#include <vector>

#include "corrections/box.h"

namespace h5neural {

struct Audition {
  std::vector<Schedule> best;  // the smallest first
  size_t bytes = 0;            // of the part under the first one; 0 where none was tried
};

// Codes a box of the chunk under each schedule. Finds the one that takes the least bytes; where `margin` is
// not negative also those that take at most this share more, chance not counted. `effort`: how hard each
// tries.
Audition choose_schedules(const WalkInput& in, const std::vector<Schedule>& schedules,
                          std::span<const double> target, const Box& box, const WalkEffort& effort,
                          double margin);

// How far the bytes that two ways to code a part take may lie apart by chance, as a share.
double chance_between(size_t bytes);

}  // namespace h5neural

// choose_schedule.h: which of several schedules code a field smallest, found on a part of it. Writer only.
#pragma once
#include <span>
#include <vector>

#include "corrections/walk.h"

namespace h5neural {

// Codes a box from the middle of the chunk, `share` of its points but not fewer than a few thousand, under
// each schedule. Returns those that come within `slack` of the best, the best first; all of them where the
// chunk is that small.
std::vector<Schedule> choose_schedules(const WalkInput& in, const std::vector<Schedule>& schedules,
                                       std::span<const double> target, double share, double slack);

}  // namespace h5neural

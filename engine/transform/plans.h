// plans.h: which wavelet plan suits a field. Writer only.
#pragma once
#include <span>
#include <vector>

#include "corrections/schedule.h"
#include "transform/transform.h"

namespace h5neural {

// How hard choose_plans looks.
struct PlanEffort {
  double share = 0.25;  // of the points that plans are tried on, but not fewer than a few ten thousand
  size_t trials = 4;    // plans that are coded there; the others are estimated
  size_t most = 1;      // plans that come back
};

// The plans that take the least for what they leave, best first: out of all axes alike, as the schedules of
// the walk refine, and axes taken apart one after the other as far as that gets better. `target`: the field
// without gaps.
std::vector<WaveletPlan> choose_plans(const WalkInput& in, const std::vector<Schedule>& schedules,
                                      std::span<const double> target, const TransformChoice& choice,
                                      const PlanEffort& effort);

// A field whose points to skip go on smoothly from the others, coarse averages where there are none near.
std::vector<double> smooth_over(const Index4& n, std::span<const double> target,
                                std::span<const uint8_t> skip);

}  // namespace h5neural

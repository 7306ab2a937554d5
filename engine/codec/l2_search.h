// l2_search.h: how finely the coefficients of a transform are to be taken, so that an L2 bound is just kept:
// over the whole chunk, or by each patch of it. Writer only; lattice units throughout.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "codec/l2_error.h"
#include "corrections/walk.h"
#include "support/bytes.h"
#include "transform/transform.h"

namespace h5neural {

// A chunk that is to be coded by the transform, again and again.
struct L2Task {
  const WalkInput& in;
  const Analysis& analysis;
  std::span<const double> target;
  // Makes a payload of a section of the transform and of what it decodes to, which it may change. Returns the
  // largest RMSE of a patch over the one allowed; 0 where there is no error.
  std::function<double(const Bytes& section, std::vector<int32_t>& points)> offer;
};

// Looks for the step whose RMSE just keeps the bound, from `step` on, which is left where it ended. `code`:
// what a step makes, as L2Task::offer.
void search_step(const std::function<double(double step)>& code, double& step);
// Offers what such a step makes.
void search_step(const L2Task& task, TransformChoice& choice);

// The same where each patch has to keep the RMSE `limit`. The bin of in.step_bits must not exceed 2 * limit,
// so that corrections can mend every patch.
//
// One step for the whole chunk would follow the worst patch. So the errors of patches get weights
// (multipliers of Lagrange), which go up where a patch misses the bound and down where it has room; with them
// the coefficients are rounded by rate and distortion, and what is still beyond is mended point by point.
// Gives up on a plan that stays far above `bar` bytes.
void search_patches(const L2Task& task, const L2Error& errors, double limit, size_t bar,
                    TransformChoice& choice);

}  // namespace h5neural

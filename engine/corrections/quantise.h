// quantise.h: from a target to a number of bins. Writer only.
#pragma once
#include <algorithm>
#include <cstdint>

#include "corrections/residual.h"

namespace h5neural {

// To the nearest bin; by adding 1.5 * 2^52, which the compiler vectorises and std::nearbyint it does not.
inline int32_t quantise(double target, int32_t prediction, double per_bin) {
  constexpr double kRound = 6755399441055744.0, kMost = kResidualMax >> 1;
  const double bins = std::clamp((target - prediction) * per_bin, -kMost, kMost);
  return static_cast<int32_t>((bins + kRound) - kRound);
}

}  // namespace h5neural

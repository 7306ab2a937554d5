// latent_section.h: the latents section of the families in latent_frames.h, and its numbers in the bit
// stream: the same models on both sides.
#pragma once
#include <algorithm>
#include <cstdint>

#include "entropy/bit_coder.h"
#include "models/base_scale.h"
#include "models/latent_series.h"
#include "models/latent_spread.h"

namespace h5neural {

// u8: bits 0 to 5: gain, 6 and 7: LatentWraps | BaseScale | bit stream
struct LatentHead {
  static constexpr int kGainBits = 6;
  size_t gain = 0;
  LatentWraps wraps;
  BaseScale scale;
};

constexpr int kSeedBits = 32;

// What adapts while the numbers of a section go by.
struct LatentModels {
  IntModel motion[2];
  SpreadCoder hyper, latents;
};

// Of a latent, as a prior says it.
inline int32_t spread_of(int32_t said) { return std::clamp(said, 0, kLogCodes - 1); }

// A latent from what was expected of it and its number.
inline int32_t latent_of(int32_t mean, int32_t q, int32_t step, int32_t limit) {
  return static_cast<int32_t>(std::clamp<int64_t>(mean + int64_t{q} * step, -limit, limit));
}

}  // namespace h5neural

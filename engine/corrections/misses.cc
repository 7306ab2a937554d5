// misses.cc: see misses.h. Integer arithmetic throughout.
#include "corrections/misses.h"

#include <algorithm>
#include <cstdlib>

namespace h5neural {
namespace {

constexpr int64_t kMostMiss = 1 << 24;  // three axes' sums fit 32 bits

// out: each point twice and its two neighbours along an axis of `length` points, `step` apart; at an end the
// point counts for the neighbour that it has not.
void sum_along(const std::vector<uint32_t>& x, std::vector<uint32_t>& out, size_t length, size_t step) {
  for (size_t block = 0; block < x.size(); block += length * step) {
    for (size_t i = 0; i < length; ++i) {
      const uint32_t* const own = x.data() + block + i * step;
      const uint32_t *const before = i > 0 ? own - step : own, *const after =
                                                                   i + 1 < length ? own + step : own;
      uint32_t* const to = out.data() + block + i * step;
      for (size_t k = 0; k < step; ++k) to[k] = before[k] + 2 * own[k] + after[k];
    }
  }
}

}  // namespace

void Misses::suggest(const WalkInput& in, const LevelState& level, const CosetState& coset,
                     std::vector<uint8_t>& contexts) const {
  contexts.assign(static_cast<size_t>(coset.points), kNone);
  if (mean_.empty()) return;
  std::vector<uint32_t> sum = mean_, next(sum.size());
  size_t step = 1;
  int bits = 0;
  for (int a = kAxes - 1; a > 0; --a) {
    const auto length = static_cast<size_t>(coset.count[a]);
    sum_along(sum, next, length, step);
    sum.swap(next);
    bits += 2;
    step *= length;
  }
  const int origin = context_origin(in, level);
  for (size_t k = 0; k < sum.size(); ++k) {
    // As if a fiftieth of a bin had been missed besides.
    const uint32_t miss = (sum[k] >> bits) + static_cast<uint32_t>(level.bin) * 16 / 50;
    contexts[k] = static_cast<uint8_t>(std::clamp(half_octaves(miss) - origin, 0, kContexts - 1));
  }
}

void Misses::learn(const LevelState& level, const CosetState& coset) {
  const auto count = static_cast<size_t>(coset.points);
  const bool fresh = mean_.empty();
  if (fresh) mean_.resize(count);
  for (size_t k = 0; k < count; ++k) {
    const int64_t miss = std::min(std::abs(int64_t{coset.quantised[k]}) * level.bin * 16, kMostMiss);
    mean_[k] = static_cast<uint32_t>(fresh ? miss : (mean_[k] + miss) / 2);
  }
}

}  // namespace h5neural

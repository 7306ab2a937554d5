// context_counts.h: how often each residual occurs in each context, and which table suits a context best.
// Residuals are looked at once; what they cost under a table is then a product of counts and costs. Writer
// only.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "corrections/side.h"

namespace h5neural {

class ContextCounts {
 public:
  // Of these residuals alone; context[k] < kContexts is that of residual[k].
  void count(std::span<const uint8_t> context, std::span<const int32_t> residual);
  int64_t of(int context) const { return contexts_[static_cast<size_t>(context)].count; }
  // The cheapest table for the residuals of a context that has some, what is said about it counted.
  TableChoice cheapest(int context, const TableChoice& implied) const;

 private:
  static constexpr int32_t kSmall = 256;  // magnitudes below it are counted, the others kept
  // Of symbol_of(q).
  using Counts = std::array<uint32_t, 2 * kSmall>;
  struct Context {
    int64_t count = 0;
    int64_t sum = 0;  // of magnitudes
    int top = 0;      // only symbols below it have counts
    Counts small{};
    std::vector<int32_t> large;
  };
  std::array<Context, kContexts> contexts_;
};

// Bits of numbers that occur so often, coded by their own frequencies.
double entropy(std::span<const int64_t> counts);

// How far, 0 to kMostBlend, contexts suggested by what was coded before should have a say (places.h): what
// costs least by the entropy of each context. `skip`: empty, or 1 where a point is not coded.
int cheapest_blend(std::span<const uint8_t> context, std::span<const uint8_t> suggested,
                   std::span<const int32_t> residual, std::span<const uint8_t> skip);

}  // namespace h5neural

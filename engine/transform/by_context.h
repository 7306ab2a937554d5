// by_context.h: values sorted by context, what tables are chosen from. Writer only.
#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "corrections/grid.h"
#include "kernels/kernels.h"

namespace h5neural {

class ByContext {
 public:
  // context[k] < kContexts is that of value[k]; the order within a context stays.
  ByContext(std::span<const uint8_t> context, std::span<const int32_t> value) : values_(value.size()) {
    for (const uint8_t x : context) ++end_[x + size_t{1}];
    for (size_t x = 0; x < kContexts; ++x) end_[x + 1] += end_[x];
    std::array<size_t, kContexts + 1> next = end_;
    for (size_t k = 0; k < value.size(); ++k) values_[next[context[k]]++] = value[k];
  }
  std::span<const int32_t> of(int context) const {
    const auto x = static_cast<size_t>(context);
    return {values_.data() + end_[x], end_[x + 1] - end_[x]};
  }

 private:
  Array<int32_t> values_;
  std::array<size_t, kContexts + 1> end_{};  // of the context before
};

}  // namespace h5neural

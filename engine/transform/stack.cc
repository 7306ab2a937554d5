// stack.cc: see stack.h. Floats are free here.
#include "transform/stack.h"

#include <algorithm>

namespace h5neural {
namespace {

// Of errors of the field before, which is as it is, whatever it costs.
constexpr float kFixed = 1e30F;

// Along the frame's own axes alone.
WaveletPlan own_axes(WaveletPlan plan) {
  uint8_t own = 0;
  for (size_t a = 0; a < kAxes; ++a) own |= static_cast<uint8_t>((plan.n[a] > 1 ? 1 : 0) << a);
  for (auto& masks : plan.stages) {
    for (uint8_t& m : masks) m &= own;
  }
  return plan;
}

WaveletPlan stacked(WaveletPlan plan, int count) {
  size_t a = 0;
  while (a + 2 < kAxes && plan.n[a + 1] == 1) ++a;
  plan.n[a] = count;
  return plan;
}

template <class A, class B, class At>
void for_bands_of_both(A& one, B& stack, At&& at) {
  for (size_t p = 0; p < one.of.size(); ++p) {
    for (size_t l = 0; l < one.of[p].size(); ++l) {
      for (size_t axes = 0; axes < one.of[p][l].size(); ++axes) at(one.of[p][l][axes], stack.of[p][l][axes]);
    }
  }
}

}  // namespace

StackEncoder::Stacked::Stacked(WaveletPlan one, int count)
    : plan(stacked(std::move(one), count)), parts(wavelet_parts(plan)), quantised(parts) {}

StackEncoder::StackEncoder(const WaveletPlan& plan, int count, double most, const TransformChoice& choice,
                           StackMemory& memory)
    : choice_(choice),
      memory_(memory),
      scales_(scales_for(most, choice.step)),
      one_(own_axes(plan), 1),
      pair_(one_.plan, 2),
      all_(one_.plan, count),
      real_(one_.parts),
      pair_real_(pair_.parts),
      pair_weights_(pair_.parts) {
  scales_.shift_one = memory.shift_one;
  scales_.shift_more = memory.shift_more;
  for_bands_of_both(one_.quantised, pair_weights_, [](const auto& one, auto& pair) {
    const auto n = static_cast<std::ptrdiff_t>(one.size());
    std::fill(pair.begin(), pair.begin() + n, kFixed);
    std::fill(pair.begin() + n, pair.end(), 1.0F);
  });
}

void StackEncoder::add(std::span<const double> target, std::span<int32_t> decoded) {
  to_steps(analyse(one_.plan, target), scales_, real_);
  // Side by side with the field before, so that contexts are about those of the whole stack.
  for_bands_of_both(one_.quantised, pair_real_,
                    [](const auto& last, auto& pair) { std::copy(last.begin(), last.end(), pair.begin()); });
  for_bands_of_both(real_, pair_real_, [](const auto& next, auto& pair) {
    std::copy(next.begin(), next.end(), pair.begin() + static_cast<std::ptrdiff_t>(next.size()));
  });
  quantise_coefficients(pair_real_, {choice_.lambda, &pair_weights_}, memory_.coefficients, pair_.quantised);
  for_bands_of_both(one_.quantised, pair_.quantised, [](auto& one, const auto& pair) {
    std::copy(pair.begin() + static_cast<std::ptrdiff_t>(one.size()), pair.end(), one.begin());
  });
  for_bands_of_both(one_.quantised, all_.quantised, [this](const auto& one, auto& all) {
    std::copy(one.begin(), one.end(), all.begin() + static_cast<std::ptrdiff_t>(added_ * one.size()));
  });
  ++added_;
  centres_.add(real_, one_.quantised);
  synthesise(one_.plan, one_.quantised, scales_, decoded);
}

Bytes StackEncoder::finish() {
  BitEncoder side;
  ResidualEncoder residuals;
  write_plan(side, all_.plan, scales_);
  memory_.coefficients = {};
  code_coefficients(side, residuals, memory_.coefficients, all_.quantised);
  write_shifts(side, scales_);
  side.raw(0, 1);  // no outliers
  TransformScales next = scales_;
  centres_.set_shifts(next);
  memory_.shift_one = next.shift_one;
  memory_.shift_more = next.shift_more;
  return finish_section(side, residuals, choice_.spare);
}

}  // namespace h5neural

// corrections_cost.cc: see corrections_cost.h.
#include "learn/corrections_cost.h"

#include <vector>

namespace h5neural::learn {
namespace {

// In bits, of all values together: between the entropy of a rounded Gaussian far inside and far outside of
// its bin.
torch::Tensor residual_cost(const torch::Tensor& r) { return 0.85 * torch::log2(1 + 4 * r.square()).sum(); }

// In bits, of all values together: the entropy of rounded Gaussian numbers as large as those around each. The
// size is taken from fourth powers, since few large numbers among small ones cost more than their squares
// say.
torch::Tensor cost_among(const torch::Tensor& r, int64_t rank) {
  const auto fourth = r.square().square();
  std::vector<int64_t> width, border;  // of what counts as around
  for (int64_t a = 2; a < 2 + rank; ++a) {
    width.push_back(r.size(a) < 3 ? 1 : 3);
    border.push_back(width.back() / 2);
  }
  const auto around = rank == 3 ? torch::avg_pool3d(fourth, width, 1, border, false, false)
                                : torch::avg_pool2d(fourth, width, 1, border, false, false);
  const auto variance = (around / 3 + 1e-8).sqrt();  // 3: of a Gaussian's fourth power
  // 2 pi e times the variance far above a bin; nothing far below.
  return 0.5 * torch::log2(1 + 17.08 * variance * torch::exp(-0.04 / variance)).sum();
}

// Points halfway between those of x along `axis`, and half a step beyond the last: cubic, the ends repeated.
torch::Tensor halfway(const torch::Tensor& x, int64_t axis) {
  const int64_t n = x.size(axis);
  const auto first = x.narrow(axis, 0, 1), last = x.narrow(axis, n - 1, 1);
  const auto padded = torch::cat({first, x, last, last}, axis);
  const auto from = [&](int64_t k) { return padded.narrow(axis, k, n); };
  return (9 * (from(1) + from(2)) - from(0) - from(3)) / 16;
}

// The factor from 0 to 1 that brings `predicted` nearest to `target`.
torch::Tensor fit(const torch::Tensor& target, const torch::Tensor& predicted) {
  return ((target * predicted).sum() / predicted.square().sum().clamp_min(1e-9)).clamp(0, 1);
}

}  // namespace

torch::Tensor corrections_cost(const torch::Tensor& r, int64_t rank, bool fitted, bool among) {
  constexpr int64_t kCoarsest = 8;
  std::vector<int64_t> stride(static_cast<size_t>(rank), kCoarsest);
  const auto cut = [&](int64_t axis,
                       int64_t first) {  // the points of r at the strides, from `first` along axis
    auto x = r;
    for (int64_t a = 0; a < rank; ++a)
      x = x.slice(a + 2, a == axis ? first : 0, c10::nullopt, stride[static_cast<size_t>(a)]);
    return x;
  };
  const auto cost = [&](const torch::Tensor& rest) {
    return among ? cost_among(rest, rank) : residual_cost(rest);
  };
  auto known = cut(-1, 0);
  auto total = cost(known);
  for (int64_t step = kCoarsest / 2; step > 0; step /= 2) {
    for (int64_t a = 0; a < rank; ++a) {
      const auto target = cut(a, step);
      auto predicted = halfway(known, a + 2);
      if (fitted) predicted = predicted * fit(target.detach(), predicted.detach());
      const auto rest = target - predicted;
      total = total + cost(rest);
      const auto decoded = target - (rest - rest.round()).detach();
      known = torch::stack({known, decoded}, a + 3).flatten(a + 2, a + 3);
      stride[static_cast<size_t>(a)] = step;
    }
  }
  return total / static_cast<double>(r.numel());
}

}  // namespace h5neural::learn

// latent_samples.cc: see latent_samples.h.
#include "learn/latent_samples.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "learn/borders.h"
#include "learn/latent_net.h"

namespace h5neural::learn {
namespace {

constexpr double kWorthMoving = 0.97;  // of the difference without a displacement, which costs bits

int64_t pick(int64_t n) { return torch::randint(n, {1}).item<int64_t>(); }

}  // namespace

LatentSamples::LatentSamples(const Options& o) : file_(o.data) {
  const auto a = file_.get(o.variable);
  if (a.shape.size() != 4 && a.shape.size() != 3)
    throw std::runtime_error("array '" + o.variable + "' has rank " + std::to_string(a.shape.size()) + "; " +
                             o.model + " is learned from [count, frames, Y, X] or [count, Y, X]");
  const size_t rank = a.shape.size();
  series_ = a.shape[0];
  frames_ = rank == 4 ? a.shape[1] : 1;
  extents_ = {a.shape[rank - 2], a.shape[rank - 1]};
  train_ = series_ - (o.validation > 0 ? o.validation : std::max<int64_t>(1, series_ / 10));
  if (train_ < 1) throw std::runtime_error("one series is too few to learn from");
  x_ = torch::from_blob(const_cast<float*>(a.values.data()), {series_, frames_, extents_[0], extents_[1]});
  const auto flat = x_.flatten(1);
  mean_ = flat.mean(1);
  deviation_ = flat.std(1, false);
  const auto varied = deviation_ > 0;
  for (const auto& part : {varied.narrow(0, 0, train_), varied.narrow(0, train_, series_ - train_)}) {
    if (!part.any().item<bool>()) throw std::runtime_error("all series are constant");
  }
  const auto range = std::get<0>(flat.max(1)) - std::get<0>(flat.min(1));
  mean_range_ = (range / deviation_).index({varied}).mean().item<double>();
  periodic_ = periodic_axes(a.values, extents_);
}

torch::Tensor LatentSamples::windows(int64_t count, int64_t first, int64_t end, int64_t frames,
                                     int64_t points, int64_t margin) const {
  std::vector<torch::Tensor> all;
  while (static_cast<int64_t>(all.size()) < count) {
    const int64_t i = first + pick(end - first), at = pick(std::max<int64_t>(1, frames_ - frames + 1));
    if (!(deviation_[i].item<float>() > 0)) continue;
    std::vector<int64_t> times;
    for (int64_t t = at; t < at + frames; ++t) times.push_back(std::min(t, frames_ - 1));
    auto x = x_[i].index_select(0, torch::tensor(times));
    for (size_t axis = 0; axis < 2; ++axis) {
      const int64_t n = extents_[axis], starts = periodic_[axis] ? n : std::max<int64_t>(1, n - points + 1);
      auto index = points_along(n, periodic_[axis], pick(starts) - margin, points + 2 * margin);
      if (pick(2) == 1) std::reverse(index.begin(), index.end());
      x = x.index_select(1 + static_cast<int64_t>(axis), torch::tensor(index));
    }
    all.push_back((x - mean_[i]) / deviation_[i]);
  }
  return torch::stack(all);
}

torch::Tensor displaced(const torch::Tensor& seen, const torch::Tensor& frame, int64_t block, int64_t reach) {
  const torch::NoGradGuard no_grad;
  const int64_t rows = seen.size(2), columns = seen.size(3), side = 2 * reach + 1;
  const auto around = with_mirrored_margin(seen, reach);
  const auto moved = [&](int64_t k) { return around.narrow(2, k / side, rows).narrow(3, k % side, columns); };
  std::vector<torch::Tensor> apart;  // [B, 1, blocks down, blocks across] of each displacement
  for (int64_t k = 0; k < side * side; ++k) {
    apart.push_back(
        torch::avg_pool2d((moved(k) - frame).square(), {block, block}, {block, block}, {0, 0}, true));
  }
  const int64_t none = side * side / 2;
  apart[static_cast<size_t>(none)] = apart[static_cast<size_t>(none)] * kWorthMoving;
  const auto best =
      std::get<1>(torch::stack(apart).min(0)).repeat_interleave(block, 2).repeat_interleave(block, 3);
  auto y = torch::zeros_like(seen);
  const auto choice = best.narrow(2, 0, rows).narrow(3, 0, columns);
  for (int64_t k = 0; k < side * side; ++k) {
    const auto here = choice == k;
    if (here.any().item<bool>()) y = torch::where(here, moved(k), y);
  }
  return y;
}

}  // namespace h5neural::learn

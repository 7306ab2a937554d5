// latent_cost.h: what a rounded latent costs in training. LibTorch; included in few files.
#pragma once
#include <torch/torch.h>

namespace h5neural::learn {

// Bits of a number |v| = `left`, rounded to whole steps, under a Laplace distribution of the mean size `size`
// about 0: of its mass from |v| - 1/2 to |v| + 1/2. Far out a slope takes over, so that gradients do not
// vanish.
inline torch::Tensor laplace_bits(const torch::Tensor& left, const torch::Tensor& size) {
  const auto below = [&](const torch::Tensor& x) {
    return torch::where(x < 0, 0.5 * torch::exp(x.clamp_max(0) / size),
                        1 - 0.5 * torch::exp(-x.clamp_min(0) / size));
  };
  const auto mass = below(0.5 - left) - below(-0.5 - left);
  return -torch::log2(mass.clamp_min(1e-6)) + 0.1 * torch::relu(left - 14 * size);
}

}  // namespace h5neural::learn

// corrections_cost.h: about what the corrections pay, as a loss to train with. LibTorch.
#pragma once
#include <torch/torch.h>

namespace h5neural::learn {

// About what the corrections pay for a difference r [B, 1, n...] in bins, n a multiple of 8, in bits for each
// value: their walk from coarse to fine, every point predicted from decoded ones along one axis. `fitted`:
// predictions are scaled to fit, as those of differences from a base are, which are half noise. `among`:
// what a difference costs depends on those around it, as in the walk's contexts; without, on itself alone,
// which asks too much at loose bounds.
torch::Tensor corrections_cost(const torch::Tensor& r, int64_t rank, bool fitted = false, bool among = false);

}  // namespace h5neural::learn

// device.h: where a training computes: the CPU, or a GPU through CUDA. LibTorch.
#pragma once
#include <torch/torch.h>

#include "learn/options.h"

namespace h5neural::learn {

// Throws std::runtime_error with a sentence where there is no such device.
torch::Device device_of(const Options& options);

// While it lives, matrix products and convolutions on a GPU are done in bfloat16 (autocast: Micikevicius et
// al., Mixed Precision Training, 2018); weights, gradients and sums stay float32. Nothing on a CPU.
class MixedPrecision {
 public:
  // `wanted`: false where rounded numbers are learned with, which have more bits than bfloat16.
  MixedPrecision(torch::Device device, bool wanted);
  ~MixedPrecision();
  MixedPrecision(const MixedPrecision&) = delete;
  MixedPrecision& operator=(const MixedPrecision&) = delete;

 private:
  bool on_;
};

}  // namespace h5neural::learn

// device.cc: see device.h.
#include "learn/device.h"

#include <ATen/autocast_mode.h>

#include <stdexcept>

namespace h5neural::learn {

torch::Device device_of(const Options& o) {
  if (o.device == "cpu") return torch::kCPU;
  if (!torch::cuda::is_available()) {
    throw std::runtime_error(
        "--device cuda: this LibTorch finds no GPU; build with -DH5NEURAL_CUDA=ON on a machine that has one, "
        "or "
        "leave --device out");
  }
  return {torch::kCUDA, 0};
}

MixedPrecision::MixedPrecision(torch::Device device, bool wanted) : on_(wanted && device.is_cuda()) {
  if (!on_) return;
  at::autocast::set_autocast_dtype(at::kCUDA, at::kBFloat16);
  at::autocast::set_autocast_enabled(at::kCUDA, true);
}

MixedPrecision::~MixedPrecision() {
  if (!on_) return;
  at::autocast::set_autocast_enabled(at::kCUDA, false);
  at::autocast::clear_cache();  // weights as they were before the step
}

}  // namespace h5neural::learn

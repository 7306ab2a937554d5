// torch.h: the backend that runs integer programs in LibTorch: integers carried in float32 where the proof
// keeps every sum below 2^24, in float64 otherwise. Matrix products only; never linked into the engine.
#pragma once
#include "exact/backend.h"

namespace h5neural {

// kCuda: the first GPU. Where its library rounds products (TF32, emulation by narrower types) sums are not
// exact: that is switched off as far as LibTorch can, and the known answers decide.
enum class TorchDevice { kCpu, kCuda };
const Backend& torch_backend(TorchDevice device = TorchDevice::kCpu);

}  // namespace h5neural

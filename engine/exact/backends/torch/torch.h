// torch.h: the backend that runs integer programs in LibTorch: integers carried in float32 where the proof
// keeps every sum below 2^24, in float64 otherwise. Matrix products only; never linked into the engine.
#pragma once
#include "exact/backend.h"

namespace h5neural {

const Backend& torch_backend();

}  // namespace h5neural

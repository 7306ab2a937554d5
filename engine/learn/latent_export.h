// latent_export.h: a trained network of latents as integer programs and arrays of a weights file. LibTorch.
#pragma once
#include "learn/export.h"
#include "learn/latent_net.h"
#include "learn/latent_sampler.h"

namespace h5neural::learn {

struct LatentFile {
  std::string family, name;
  int64_t tile = 8;                  // cells along each axis, a multiple of hyper
  std::vector<SamplerStep> sampler;  // where groups are generated
  double signal = 1;                 // the latents' usual size
};

WeightsWriter latent_weights(const LatentNet& net, const LatentFile& file);

// Units of the programs' inputs and outputs: the frames to be encoded, and those that are made and seen.
constexpr double kLatentInUnit = 1.0 / 1024, kLatentOutUnit = 1.0 / 4096;
constexpr int64_t kLatentFrameLimit = 16383, kLatentSeenLimit = 32767;

}  // namespace h5neural::learn

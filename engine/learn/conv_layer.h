// conv_layer.h: a convolution as it is trained: its weights can be rounded as the integer program will hold
// them. LibTorch.
#pragma once
#include <torch/torch.h>

#include <string>

namespace h5neural::learn {

// A convolution over `rank` axes, or a transposed one of twice the extents.
struct Conv {
  torch::Tensor weight, bias;  // as LibTorch has them: [out, in, k...], transposed [in, out, k...]
  int64_t rank = 3, stride = 1, padding = 0;
  bool transposed = false;
  int bits = 8;

  // Weights rounded to `bits` bits, with a unit for each output, where `quantise`.
  torch::Tensor operator()(const torch::Tensor& x, bool quantise) const;
};

// A layer whose parameters are `net`'s, NAME_weight and NAME_bias, drawn for sums of the inputs' own size.
Conv make_conv(torch::nn::Module& net, const std::string& name, Conv geometry, int64_t in, int64_t out,
               int64_t kernel);

}  // namespace h5neural::learn

// conv_layer.cc: see conv_layer.h.
#include "learn/conv_layer.h"

#include <cmath>
#include <vector>

namespace h5neural::learn {

torch::Tensor Conv::operator()(const torch::Tensor& x, bool quantise) const {
  torch::Tensor w = weight;
  if (quantise) {
    std::vector<int64_t> all;
    for (int64_t d = 0; d < w.dim(); ++d) {
      if (d != (transposed ? 1 : 0)) all.push_back(d);
    }
    const auto unit = w.detach().abs().amax(all, true).clamp_min(1e-9) / (std::ldexp(1.0, bits - 1) - 1);
    w = w + ((w / unit).round() * unit - w).detach();
  }
  const std::vector<int64_t> s(static_cast<size_t>(rank), stride), p(static_cast<size_t>(rank), padding);
  if (transposed) {
    return rank == 3 ? torch::conv_transpose3d(x, w, bias, s, p) : torch::conv_transpose2d(x, w, bias, s, p);
  }
  return rank == 3 ? torch::conv3d(x, w, bias, s, p) : torch::conv2d(x, w, bias, s, p);
}

Conv make_conv(torch::nn::Module& net, const std::string& name, Conv c, int64_t in, int64_t out,
               int64_t kernel) {
  std::vector<int64_t> size = c.transposed ? std::vector<int64_t>{in, out} : std::vector<int64_t>{out, in};
  double terms = static_cast<double>(in);  // of one sum
  for (int64_t a = 0; a < c.rank; ++a) {
    size.push_back(kernel);
    terms *= static_cast<double>(kernel) / static_cast<double>(c.transposed ? c.stride : 1);
  }
  c.weight = net.register_parameter(name + "_weight", torch::randn(size) * std::sqrt(2 / terms));
  c.bias = net.register_parameter(name + "_bias", torch::zeros({out}));
  return c;
}

}  // namespace h5neural::learn

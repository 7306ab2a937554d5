// nets.h: what both SWAE forms train with: rounding of weights and activations as the integer program will
// round them, the sliced Wasserstein distance, and the cost that the corrections will have. LibTorch;
// included in few files.
#pragma once
#include <torch/torch.h>

#include <cmath>
#include <string>
#include <vector>

#include "learn/export.h"

namespace h5neural::learn {

// Units of the integer programs' activations: pre-activations and normalised inputs in 2^-10 up to 8,
// activations in 2^-11 (silu's largest value is then 16384, and every layer's input fits 15 bits).
constexpr double kUnit = 1.0 / 1024, kActivationUnit = 1.0 / 2048;
constexpr int64_t kLimit = 8191;

// x rounded to multiples of `unit`; the gradient passes as if nothing had happened.
inline torch::Tensor round_to(const torch::Tensor& x, double unit) {
  return x + ((x / unit).round() * unit - x).detach();
}

// A linear layer whose weights are rounded to `bits` bits with one power-of-two unit, as
// ProgramWriter::linear does.
inline torch::Tensor quantised_linear(torch::nn::Linear& layer, const torch::Tensor& x, int bits,
                                      bool quantise) {
  torch::Tensor w = layer->weight;
  if (quantise) {
    const double largest = std::max(w.detach().abs().max().item<double>(), 1e-12);
    w = round_to(w, std::exp2(std::ceil(std::log2(largest / (std::ldexp(1.0, bits - 1) - 1)))));
  }
  return torch::linear(x, w, layer->bias);
}

// silu with the rounding of its table.
inline torch::Tensor quantised_silu(const torch::Tensor& x, bool quantise) {
  if (!quantise) return torch::silu(x);
  return round_to(torch::silu(round_to(x.clamp(-kLimit * kUnit, kLimit * kUnit), kUnit)), kActivationUnit);
}

// Sliced Wasserstein distance between a batch of latents [B, K] and N(0, I), over `directions` random
// projections (Kolouri, Pope, Martin and Rohde, Sliced Wasserstein Auto-Encoders, 2019).
inline torch::Tensor sliced_wasserstein(const torch::Tensor& z, int64_t directions) {
  auto d = torch::randn({z.size(1), directions}, z.options());
  d = d / d.norm(2, 0, true);
  const auto a = std::get<0>(torch::matmul(z, d).sort(0));
  const auto b = std::get<0>(torch::matmul(torch::randn_like(z), d).sort(0));
  return (a - b).square().mean();
}

// Mean over the bounds of log2(1 + |r + u| / bin): about what the corrections pay for a residual r when all
// that they know besides is rounded to bins (u is uniform over one bin). `bins`: in units of r.
inline torch::Tensor walk_cost(const torch::Tensor& residual, const std::vector<double>& bins) {
  auto total = torch::zeros({}, residual.options());
  for (const double bin : bins) {
    const auto noise = torch::rand_like(residual) - 0.5;
    total = total + torch::log2(1 + (residual / bin + noise).abs()).mean() - 0.3122;  // the noise's own cost
  }
  return total / static_cast<double>(bins.size());
}

inline std::vector<float> to_floats(const torch::Tensor& t) {
  const auto c = t.detach().to(torch::kCPU, torch::kFloat32).contiguous();
  return {c.data_ptr<float>(), c.data_ptr<float>() + c.numel()};
}
inline std::vector<double> to_doubles(const torch::Tensor& t) {
  const auto c = t.detach().to(torch::kCPU, torch::kFloat64).contiguous();
  return {c.data_ptr<double>(), c.data_ptr<double>() + c.numel()};
}
// Rows [first, end) of a linear layer.
inline Layer to_layer(torch::nn::Linear& l, int64_t first, int64_t end) {
  return {end - first, l->weight.size(1), to_floats(l->weight.slice(0, first, end)),
          to_floats(l->bias.slice(0, first, end))};
}
inline Layer to_layer(torch::nn::Linear& l) { return to_layer(l, 0, l->weight.size(0)); }

}  // namespace h5neural::learn

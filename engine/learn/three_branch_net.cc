// three_branch_net.cc: see three_branch_net.h.
#include "learn/three_branch_net.h"

#include "learn/latent_cost.h"

namespace h5neural::learn {
namespace {

// Steps and what latents cost have far to go: their parameters are held in this unit, so that a step of Adam
// moves them as many times further.
constexpr double kFar = 8;
constexpr int64_t kFused = 32;  // channels where the branches meet, and of the decoder's first layer

torch::Tensor activation(const torch::Tensor& x) { return x.clamp(0, kGridLimit * kGridUnit); }

// x shifted by one to the back along the axes of the bits of `back` (bit 0: the last axis), 0 coming in.
torch::Tensor neighbour(const torch::Tensor& x, int64_t rank, size_t back) {
  torch::Tensor y = x;
  for (int64_t a = 0; a < rank; ++a) {
    if ((back >> a & 1) == 0) continue;
    const int64_t axis = y.dim() - 1 - a, n = y.size(axis);
    auto zero = torch::zeros_like(y.narrow(axis, 0, 1));
    y = n == 1 ? zero : torch::cat({zero, y.narrow(axis, 0, n - 1)}, axis);
  }
  return y;
}

torch::Tensor per_channel(const torch::Tensor& v, int64_t rank) {  // [C] -> [1, C, 1...]
  std::vector<int64_t> shape(static_cast<size_t>(rank) + 2, 1);
  shape[1] = -1;
  return v.view(shape);
}

}  // namespace

Conv ThreeBranchNet::make(const std::string& name, int64_t in, int64_t out, int64_t kernel, int64_t stride,
                          int64_t padding, bool transposed) {
  Conv c;
  c.rank = shape.rank;
  c.stride = stride;
  c.padding = padding;
  c.transposed = transposed;
  return make_conv(*this, name, c, in, out, kernel);
}

ThreeBranchNet::Branch ThreeBranchNet::make_branch(const std::string& name, std::vector<int64_t> widths,
                                                   bool residual) {
  Branch b;
  int64_t in = 1;
  for (size_t k = 0; k < widths.size(); ++k) {
    const std::string at = std::string(name).append(std::to_string(k));
    b.down.push_back(make(at, in, widths[k], k == 0 ? 5 : 3, 2, k == 0 ? 2 : 1));
    in = widths[k];
    if (residual) b.residual.emplace_back(make(at + "a", in, in, 3, 1, 1), make(at + "b", in, in, 3, 1, 1));
  }
  b.fuse = make(name + "f", in, kFused, 1, 1, 0);
  return b;
}

ThreeBranchNet::ThreeBranchNet(const ThreeBranchShape& s) : shape(s) {
  const std::vector<int64_t> spatial = {8, 24, 32}, spectral = {8, 16, 32};
  const auto first = [&](const std::vector<int64_t>& w) {
    return std::vector<int64_t>(w.begin(), w.begin() + s.stages);
  };
  branches.push_back(make_branch("spatial", first(spatial), true));
  if (s.spectrum) {
    branches.push_back(make_branch("magnitude", first(spectral), false));
    branches.push_back(make_branch("phase", first(spectral), false));
  }
  head = make("head", kFused, s.channels, 3, 1, 0);
  decoder.push_back(make("d0", s.channels, kFused, 3, 1, 0));
  int64_t in = kFused;
  for (int64_t k = 0; k < s.stages; ++k) {
    const int64_t out = int64_t{8} << (s.stages - 1 - k);
    decoder.push_back(make(std::string("d").append(std::to_string(k + 1)), in, out, 4, 2, 2, true));
    in = out;
  }
  decoder.push_back(make("out", in, 1, 3, 1, 0));
  const int64_t cell = s.step();
  analysis = make("analysis", 1, s.channels, 3 * cell, cell, 0);
  synthesis = make("synthesis", s.channels, 1, 4 * cell, cell, 7 * cell / 2, true);
  // What goes into the base is worth more than the bytes of the file.
  analysis.bits = synthesis.bits = 16;
  for (Conv& c : decoder) c.bits = 16;
  const int64_t near = (int64_t{1} << s.rank) - 1;
  std::vector<double> start;
  for (int64_t g = 0; g < kGainCount; ++g) start.push_back(std::log(gain_bin(g)) / kFar);
  log_step = register_parameter(
      "log_step",
      torch::tensor(start, torch::kFloat32).view({kGainCount, 1}).repeat({1, s.adaptive ? s.channels : 1}));
  predict = register_parameter("predict", torch::zeros({s.channels, near}));
  spread = register_parameter("spread", torch::full({s.channels, near + 2}, -5.0 / kFar));
  floor = register_parameter("floor", torch::full({kGainCount, s.channels}, -2.0 / kFar));
}

void ThreeBranchNet::start_from(const torch::Tensor& blocks) {
  const torch::NoGradGuard no_grad;
  const auto x = blocks.to(torch::kFloat64);
  const auto eigen = torch::linalg_eigh(torch::matmul(x.t(), x) / static_cast<double>(x.size(0)));
  const int64_t points = x.size(1), cell = shape.step();
  const auto take = std::min(points, shape.channels);
  // Largest first. Latents are coefficients brought to the size of the field's values.
  const auto basis = std::get<1>(eigen).flip(1).narrow(1, 0, take).t().to(torch::kFloat32);  // [C, points]
  const double scale = 2 / std::sqrt(static_cast<double>(points));
  std::vector<int64_t> of(static_cast<size_t>(shape.rank) + 2, cell);
  of[0] = take;
  of[1] = 1;
  const auto middle = [&](torch::Tensor w, int64_t first) {
    w = w.narrow(0, 0, take);
    for (int64_t a = 2; a < 2 + shape.rank; ++a) w = w.narrow(a, first, cell);
    return w;
  };
  analysis.weight.zero_();
  synthesis.weight.zero_();
  middle(analysis.weight, cell).copy_(basis.view(of) * scale);
  middle(synthesis.weight, 3 * cell / 2).copy_(basis.view(of) / scale);
  head.weight.mul_(0.1);
  decoder.back().weight.mul_(0.1);
  // |coefficient| in steps; softplus(v) = v but for small v.
  const auto size = 0.7 * scale * std::get<0>(eigen).flip(0).narrow(0, 0, take).clamp_min(1e-12).sqrt();
  for (int64_t g = 0; g < kGainCount; ++g) {
    log_step[g].fill_(std::log(gain_bin(g) * scale) / kFar);
    const auto steps = (size / (gain_bin(g) * scale)).clamp(0.02, 50).to(torch::kFloat32);
    floor[g].narrow(0, 0, take).copy_(torch::log(torch::expm1(steps)) / kFar);
  }
}

std::vector<torch::Tensor> ThreeBranchNet::spectrum(const torch::Tensor& x, int64_t rank) {
  std::vector<int64_t> axes;
  for (int64_t a = 0; a < rank; ++a) axes.push_back(a + 2);
  const auto f = torch::fft::fftn(x, c10::nullopt, axes);
  return {torch::log1p(f.abs()) / 8, torch::angle(f) / M_PI};
}

torch::Tensor ThreeBranchNet::run_branch(const Branch& b, torch::Tensor x, bool quantise) const {
  for (size_t k = 0; k < b.down.size(); ++k) {
    x = activation(b.down[k](x, quantise));
    if (b.residual.empty()) continue;
    const auto inner = activation(b.residual[k].first(x, quantise));
    x = activation(x + b.residual[k].second(inner, quantise));
  }
  return b.fuse(x, quantise);
}

torch::Tensor ThreeBranchNet::encode(const torch::Tensor& x, bool quantise) {
  auto sum = run_branch(branches[0], x, quantise);
  if (shape.spectrum) {
    const torch::NoGradGuard no_grad;
    const auto s = spectrum(x, shape.rank);
    const torch::AutoGradMode grad(true);
    for (size_t k = 0; k < 2; ++k) sum = sum + run_branch(branches[k + 1], s[k], quantise);
  }
  const double limit = kGridLimit * kGridUnit;
  return (analysis(x, quantise) + head(activation(sum), quantise)).clamp(-limit, limit);
}

torch::Tensor ThreeBranchNet::decode(const torch::Tensor& z, bool quantise) {
  const std::vector<int64_t> border(static_cast<size_t>(2 * shape.rank), ThreeBranchShape::kDecoderHalo);
  const auto padded = torch::constant_pad_nd(z, border);
  auto y = padded;
  for (size_t k = 0; k < decoder.size(); ++k) {
    y = decoder[k](y, quantise);
    if (k + 1 < decoder.size()) y = activation(y);
  }
  return y + synthesis(padded, quantise);
}

torch::Tensor ThreeBranchNet::steps(int64_t gain, bool quantise) {
  auto s = torch::exp(kFar * log_step[gain]).clamp(kGridUnit, 16.0);
  if (quantise) s = round_to(s, kGridUnit);
  return per_channel(s.expand({shape.channels}), shape.rank);
}

torch::Tensor ThreeBranchNet::spreads() const { return torch::softplus(kFar * spread); }
torch::Tensor ThreeBranchNet::floors() const { return torch::softplus(kFar * floor); }

torch::Tensor ThreeBranchNet::bits(const torch::Tensor& y, int64_t gain, bool quantise) {
  const auto near = static_cast<size_t>(predict.size(1));
  auto p = torch::zeros_like(y);
  for (size_t k = 0; k < near; ++k)
    p = p +
        per_channel(predict.select(1, static_cast<int64_t>(k)), shape.rank) * neighbour(y, shape.rank, k + 1);
  if (quantise) p = round_to(p, 1);
  const auto rest = y - p;
  const auto left = rest.abs();
  const auto w = spreads();
  auto size = per_channel(floors()[gain], shape.rank).expand_as(y);
  for (size_t k = 0; k < near; ++k)
    size = size +
           per_channel(w.select(1, static_cast<int64_t>(k)), shape.rank) * neighbour(left, shape.rank, k + 1);
  const auto n = static_cast<int64_t>(near);
  size = size + per_channel(w.select(1, n), shape.rank) * (left.cumsum(1) - left);
  const auto all = left.sum(1, true);
  for (int64_t a = 0; a < shape.rank; ++a)
    size = size + per_channel(w.select(1, n + 1), shape.rank) * neighbour(all, shape.rank, size_t{1} << a);
  return laplace_bits(left, size);
}

}  // namespace h5neural::learn

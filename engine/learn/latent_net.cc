// latent_net.cc: see latent_net.h.
#include "learn/latent_net.h"

#include <array>
#include <cmath>

#include "learn/latent_cost.h"
#include "learn/nets.h"
#include "models/tiles.h"

namespace h5neural::learn {
namespace {

// Steps and sizes have far to go: their parameters are held in this unit, so that a step of Adam moves them
// as many times further.
constexpr double kFar = 8;
constexpr int64_t kHyperWidth = 48, kPriorWidth = 64, kMemoryWidth = 96, kLookWidth = 64,
                  kGeneratorWidth = 96;
constexpr int64_t kManyFrames = 4;
constexpr double kMoreForMany = 1.5;
constexpr double kLargest = 4;  // deviation of the largest latent, where they do not saturate
constexpr double kLargestSaturated = 1.5;

std::string numbered(const char* name, int64_t k) { return std::string(name).append(std::to_string(k)); }

torch::Tensor activation(const torch::Tensor& x) {
  return x.clamp(0, kLatentGrid * static_cast<double>(kLatentLimit));
}

torch::Tensor with_zeros(const torch::Tensor& x, int64_t margin) {
  return torch::constant_pad_nd(x, {margin, margin, margin, margin});
}

// `crop` of a transposed convolution of 4 that makes `to` points around a tile of `from` cells.
int64_t crop_between(int64_t from, int64_t to) { return 2 * from + 1 - to; }

}  // namespace

torch::Tensor without_margin(const torch::Tensor& x, int64_t margin) {
  if (margin == 0) return x;
  return x.narrow(2, margin, x.size(2) - 2 * margin).narrow(3, margin, x.size(3) - 2 * margin);
}

torch::Tensor with_mirrored_margin(const torch::Tensor& x, int64_t margin) {
  auto y = x;
  for (const int64_t axis : {2, 3}) {
    std::vector<int64_t> index;
    for (int64_t k = -margin; k < x.size(axis) + margin; ++k)
      index.push_back(TileGrid::reflect(k, x.size(axis)));
    y = y.index_select(axis,
                       torch::tensor(index, torch::TensorOptions().dtype(torch::kLong).device(x.device())));
  }
  return y;
}

// A transposed convolution of 4 needs one cell around what it makes, every other layer one point.
int64_t LatentShape::result_margin(int64_t level) const {
  const int64_t finer = level <= 1 ? 0 : input_margin(level - 1);
  return (finer + 2) / 2;
}

int64_t LatentShape::decoder_channels(int64_t level) const {
  constexpr std::array<int64_t, 6> kUsual{0, 24, 48, 64, 64, 64};
  return level == 0 ? window : widened(kUsual[static_cast<size_t>(level)]);
}
int64_t LatentShape::encoder_channels(int64_t level) const {
  constexpr std::array<int64_t, 6> kUsual{0, 16, 32, 48, 64, 64};
  return widened(kUsual[static_cast<size_t>(level)]);
}
// Groups of many frames have more to say.
int64_t LatentShape::widened(int64_t usual) const {
  const double more = window < kManyFrames ? 1 : kMoreForMany;
  return std::max<int64_t>(4, std::lround(width * more * static_cast<double>(usual)));
}
int64_t LatentShape::hyper_levels() const {
  int64_t n = 0;
  while (int64_t{1} << n < hyper) ++n;
  return n;
}

Conv LatentNet::make(const std::string& name, int64_t in, int64_t out, int64_t kernel, int64_t stride,
                     int64_t padding, bool transposed) {
  Conv c;
  c.rank = 2;
  c.stride = stride;
  c.padding = padding;
  c.transposed = transposed;
  return make_conv(*this, name, c, in, out, kernel);
}

// 3x3, begun as the identity with a little noise: deep chains of them learn at once.
Conv LatentNet::identity(const std::string& name, int64_t channels) {
  Conv c = make(name, channels, channels, 3);
  c.weight.mul_(0.2);
  c.weight.select(2, 1).select(2, 1).add_(torch::eye(channels));
  return c;
}

LatentNet::LatentNet(const LatentShape& s, std::vector<double> b) : shape(s), bins(std::move(b)) {
  const torch::NoGradGuard no_grad;
  make_encoder();
  make_decoder();
  make_prior();
  if (shape.every > 1) make_generator();
  log_step_ = register_parameter("log_step", torch::zeros({kLatentGains, shape.channels}));
}

void LatentNet::make_encoder() {
  int64_t in = shape.window;
  for (int64_t level = 1; level <= shape.stages; ++level) {
    const std::string at = numbered("e", level);
    const int64_t out = shape.encoder_channels(level), kernel = level == 1 ? 5 : 3;
    down.push_back({make(at, in, out, kernel, 2, kernel / 2), make(at + "a", out, out, 3, 1, 1),
                    make(at + "b", out, out, 3, 1, 1)});
    down.back().second.weight.mul_(0.3);
    in = out;
  }
  head = make("head", in, shape.channels, 3);
  head.weight.mul_(0.1);
  analysis = make("analysis", shape.window, shape.channels, shape.step(), shape.step());
  analysis.bits = 16;
  if (shape.motion == 0) return;
  stem_seen = make("e1s", 1, shape.encoder_channels(1), 5, 2, 2);
  analysis_seen = make("analysis_seen", 1, shape.channels, shape.step(), shape.step());
  analysis_seen.bits = 16;
}

void LatentNet::make_decoder() {
  const int64_t n = shape.stages, s = shape.step();
  first = make("d", shape.channels, shape.decoder_channels(n), 3);
  same = identity("ds", shape.decoder_channels(n));
  for (int64_t level = n - 1; level >= 0; --level) {
    const std::string at = numbered("d", level);
    const int64_t crop =
        crop_between(shape.result_margin(level + 1), level == 0 ? 0 : shape.input_margin(level));
    up.push_back(
        {make(at, shape.decoder_channels(level + 1), shape.decoder_channels(level), 4, 2, crop, true), {}});
    if (level > 0) up.back().same = identity(at + "s", shape.decoder_channels(level));
  }
  up.back().up.weight.mul_(0.1);
  synthesis = make("synthesis", shape.channels, shape.window, 2 * s, s, 3 * s / 2, true);
  // What goes straight into the base is worth more than the bytes of the file.
  synthesis.bits = up.back().up.bits = 16;
  if (shape.motion == 0) return;
  seen_coarse = make("seen", 1, shape.decoder_channels(n), s, s);
  if (n > 1) {
    seen_detail = make("seen_detail", 1, shape.decoder_channels(1), LatentShape::kDetail, 2);
    seen_detail.weight.mul_(0.5);
  }
  seen_near = make("seen_near", 1, shape.window, LatentShape::kNear);
  seen_near.weight.zero_();
  seen_near.weight.select(2, LatentShape::kNear / 2).select(2, LatentShape::kNear / 2).fill_(1);
  seen_near.bits = 16;
}

void LatentNet::make_prior() {
  const int64_t c = shape.channels, z = LatentShape::kHyperChannels;
  if (shape.hyper > 0) {
    hyper_down.push_back(make("h0", c, kHyperWidth, 3));
    for (int64_t k = 1; k <= shape.hyper_levels(); ++k) {
      hyper_down.push_back(
          make(numbered("h", k), kHyperWidth, k < shape.hyper_levels() ? kHyperWidth : z, 4, 2));
    }
    hyper_down.back().weight.mul_(0.3);
    hyper_in = make("p", z, kPriorWidth, 3);
    for (int64_t k = 0; k < shape.hyper_levels(); ++k)
      hyper_up.push_back(make(numbered("p", k), kPriorWidth, kPriorWidth, 4, 2, crop_between(1, 1), true));
    hyper_size_ = register_parameter("hyper_size", torch::zeros({z}));
  }
  if (shape.memory > 0) {
    remember.push_back(make("m0", shape.memory * c, kMemoryWidth, 3));
    remember.push_back(identity("m1", kMemoryWidth));
    remember.push_back(make("m2", kMemoryWidth, kPriorWidth, 3));
    remember_linear = make("m", shape.memory * c, c, 3);
    remember_linear.weight.zero_();
    remember_linear.weight.narrow(1, 0, c).select(2, 1).select(2, 1).copy_(0.9 * torch::eye(c));
    remember_linear.bits = 16;
  }
  if (shape.motion > 0) {
    look.push_back(make("v0", 1, kLookWidth, shape.step(), shape.step()));
    look.push_back(identity("v1", kLookWidth));
    look.push_back(make("v2", kLookWidth, kPriorWidth, 3));
  }
  mean = make("mean", kPriorWidth, c, 3);
  spread = make("spread", kPriorWidth, c, 3);
  mean.weight.mul_(0.1);
  spread.weight.mul_(0.1);
}

void LatentNet::make_generator() {
  const int64_t c = shape.channels, made = (shape.every - 1) * c;
  from_ends = make("g", 2 * c, kGeneratorWidth, 3);
  if (shape.samples > 1) {
    from_x = make("gx", made, kGeneratorWidth, 3);
    from_level = make("gl", LatentShape::kLevelChannels, kGeneratorWidth, 3);
  }
  for (int64_t k = 0; k < 3; ++k) denoise.push_back(identity(numbered("g", k), kGeneratorWidth));
  generated = make("go", kGeneratorWidth, made, 3);
  generated.weight.mul_(0.1);
  // Begun as the straight line between both ends.
  between = make("gb", 2 * c, made, 3);
  between.weight.zero_();
  for (int64_t k = 1; k < shape.every; ++k) {
    const double share = static_cast<double>(k) / static_cast<double>(shape.every);
    const auto middle = between.weight.narrow(0, (k - 1) * c, c).select(2, 1).select(2, 1);
    middle.narrow(1, 0, c).copy_((1 - share) * torch::eye(c));
    middle.narrow(1, c, c).copy_(share * torch::eye(c));
  }
  between.bits = generated.bits = 16;
}

void LatentNet::start_from(const torch::Tensor& cells) {
  const torch::NoGradGuard no_grad;
  const auto x = cells.to(torch::kFloat64);
  const auto eigen = torch::linalg_eigh(torch::matmul(x.t(), x) / static_cast<double>(x.size(0)));
  const int64_t points = x.size(1), s = shape.step(), take = std::min(points, shape.channels);
  const auto basis = std::get<1>(eigen).flip(1).narrow(1, 0, take).t().to(torch::kFloat32);  // [C, points]
  const auto sizes =
      std::get<0>(eigen).flip(0).narrow(0, 0, take).clamp_min(1e-12).sqrt().to(torch::kFloat32);
  // Latents are coefficients times this.
  const double scale =
      (shape.saturated ? kLargestSaturated : kLargest) / std::max(1e-6, sizes[0].item<double>());
  const auto field = basis.view({take, shape.window, s, s});
  analysis.weight.zero_();
  analysis.weight.narrow(0, 0, take).copy_(field * scale);
  synthesis.weight.zero_();
  synthesis.weight.narrow(0, 0, take).narrow(2, s / 2, s).narrow(3, s / 2, s).copy_(field / scale);
  if (shape.motion > 0) {  // what stays as it was needs no latents
    analysis_seen.weight.zero_();
    analysis_seen.weight.narrow(0, 0, take).copy_(-field.sum(1, true) * scale);
  }
  spread.bias.narrow(0, 0, take).copy_(spreads_of(sizes * scale / shape.latent_unit()) * kSpreadUnit);
  for (int64_t g = 0; g < kLatentGains; ++g)
    log_step_[g].fill_(std::log(bins[static_cast<size_t>(g)] * scale) / kFar);
}

torch::Tensor LatentNet::encode(const torch::Tensor& x, const torch::Tensor& seen, bool quantise) const {
  const int64_t margin = LatentShape::kEncoderHalo * shape.step();
  auto y = x;
  for (size_t k = 0; k < down.size(); ++k) {
    y = down[k].in(y, quantise);
    if (k == 0 && shape.motion > 0) y = y + stem_seen(seen, quantise);
    y = activation(y);
    y = activation(y + down[k].second(activation(down[k].first(y, quantise)), quantise));
  }
  y = head(y, quantise) + analysis(without_margin(x, margin), quantise);
  if (shape.motion > 0) y = y + analysis_seen(without_margin(seen, margin), quantise);
  if (shape.saturated) y = y / (1 + (y / kSaturation).square()).sqrt();
  return rounded(y, false);
}

torch::Tensor LatentNet::decode(const torch::Tensor& latents, const torch::Tensor& seen,
                                bool quantise) const {
  const int64_t n = shape.stages;
  const auto padded = with_zeros(latents, shape.decoder_halo());
  const auto look_at = [&](int64_t points) { return with_mirrored_margin(seen, points); };
  auto y = first(padded, quantise);
  if (shape.motion > 0) y = y + seen_coarse(look_at(shape.input_margin(n) * shape.step()), quantise);
  y = activation(same(activation(y), quantise));
  for (size_t k = 0; k < up.size(); ++k) {
    const int64_t level = n - 1 - static_cast<int64_t>(k);
    y = up[k].up(y, quantise);
    if (level == 0) break;
    if (level == 1 && shape.motion > 0) y = y + seen_detail(look_at(2 * shape.input_margin(1) + 1), quantise);
    y = activation(up[k].same(activation(y), quantise));
  }
  y = y + synthesis(without_margin(padded, shape.decoder_halo() - 1), quantise);
  if (shape.motion > 0) y = y + seen_near(look_at(LatentShape::kNear / 2), quantise);
  return y;
}

torch::Tensor LatentNet::hyper_encode(const torch::Tensor& latents, bool quantise) const {
  auto y = with_zeros(latents, shape.hyper);
  for (size_t k = 0; k < hyper_down.size(); ++k) {
    y = hyper_down[k](y, quantise);
    if (k + 1 < hyper_down.size()) y = activation(y);
  }
  return y.clamp(-kHyperMost, kHyperMost);
}

LatentNet::Expected LatentNet::prior(const Known& known, bool quantise) const {
  torch::Tensor sum, linear;
  const auto add = [](torch::Tensor& to, const torch::Tensor& x) { to = to.defined() ? to + x : x; };
  if (shape.hyper > 0) {
    auto y = hyper_in(with_zeros(known.hyper, LatentShape::kHyperHalo), quantise);
    for (const Conv& c : hyper_up) y = c(activation(y), quantise);
    add(sum, y);
  }
  if (shape.memory > 0) {
    const auto x = with_zeros(known.memory, LatentShape::kMemoryHalo);
    add(sum, remember[2](activation(remember[1](activation(remember[0](x, quantise)), quantise)), quantise));
    linear = remember_linear(without_margin(x, LatentShape::kMemoryHalo - 1), quantise);
  }
  if (shape.motion > 0) {
    const auto x = with_mirrored_margin(known.seen, LatentShape::kSeenHalo * shape.step());
    add(sum, look[2](activation(look[1](activation(look[0](x, quantise)), quantise)), quantise));
  }
  const auto hidden = activation(sum);
  auto m = mean(hidden, quantise);
  if (linear.defined()) m = m + linear;
  const auto code = (spread(hidden, quantise) / kSpreadUnit).clamp(0, 127);
  return {rounded(m, quantise), quantise ? round_to(code, 1) : code};
}

torch::Tensor LatentNet::generate(const torch::Tensor& x, const torch::Tensor& ends,
                                  const torch::Tensor& level, bool quantise) const {
  const auto padded = with_zeros(ends, LatentShape::kGeneratorHalo);
  auto y = from_ends(padded, quantise);
  if (shape.samples > 1) {
    const auto plane = level.view({1, -1, 1, 1}).expand({1, level.numel(), 3, 3});
    y = y + from_x(with_zeros(x, LatentShape::kGeneratorHalo), quantise) + from_level(plane, quantise);
  }
  y = activation(y);
  for (const Conv& c : denoise) y = activation(c(y, quantise));
  return rounded(
      generated(y, quantise) + between(without_margin(padded, LatentShape::kGeneratorHalo - 1), quantise),
      quantise);
}

torch::Tensor LatentNet::rounded(const torch::Tensor& latents, bool quantise) const {
  const auto y = latents.clamp(-shape.latent_limit(), shape.latent_limit());
  return quantise ? round_to(y, shape.latent_unit()) : y;
}

torch::Tensor LatentNet::steps(int64_t gain, bool quantise) const {
  auto s = torch::exp(kFar * log_step_[gain]).clamp(shape.latent_unit(), shape.latent_limit() / 4);
  if (quantise) s = round_to(s, shape.latent_unit());
  return s.view({1, -1, 1, 1});
}

torch::Tensor LatentNet::hyper_spread(bool quantise) const {
  const auto code = (kFar * hyper_size_ / kSpreadUnit + 32).clamp(0, 127);  // 32: a deviation of kHyperStep
  return quantise ? round_to(code, 1) : code;
}

torch::Tensor LatentNet::spreads_of(const torch::Tensor& deviation) { return 4 * torch::log2(deviation); }

torch::Tensor LatentNet::bits(const torch::Tensor& v, const torch::Tensor& spread, double unit,
                              const torch::Tensor& step) {
  // The mean size of a Laplace distribution, in steps.
  const auto size = torch::exp2(spread / 4) * (unit * M_SQRT1_2) / step;
  return laplace_bits(v.abs(), size);
}

}  // namespace h5neural::learn

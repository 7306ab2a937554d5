// block_net.cc: see block_net.h.
#include "learn/block_net.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "learn/nets.h"

namespace h5neural::learn {
namespace {

constexpr double kNormEpsilon = 1e-5, kNormMomentum = 0.1;
constexpr std::array<int64_t, 4> kChannels = {32, 64, 128, 256};
constexpr std::array<int64_t, 2> kHidden = {512, 256};
constexpr int64_t kContextHidden = 64;
constexpr double kStartDeviation = 2;  // of the first latent, which may reach +-16

// Logarithms of values v from 0 to 1: (log2(v + 2^-10) + 5) / 10, about -1/2 to 1/2.
constexpr double kLogFloor = 1.0 / 1024, kLogMiddle = 5, kLogSpan = 10;
double to_log(double v) { return (std::log2(std::max(v, 0.0) + kLogFloor) + kLogMiddle) / kLogSpan; }
double from_log(double u) { return std::exp2(u * kLogSpan - kLogMiddle) - kLogFloor; }
constexpr int64_t kLogLimit = 5500;  // of u, in its unit; beyond every value that occurs

// Whole numbers of at most four significant binary digits: E4M3 without its smallest exponents.
torch::Tensor to_fp8(const torch::Tensor& x) {
  const auto exponent = torch::floor(torch::log2(x.abs().clamp_min(1)));
  const auto step = torch::exp2((exponent - 3).clamp_min(0));
  return torch::round(x / step) * step;
}

double largest_weight(Precision p) {
  return p == Precision::kInt8 ? 127 : p == Precision::kInt16 ? 32767 : 15 << 11;
}

}  // namespace

int64_t BlockNetShape::size(size_t layer, int64_t published) const {
  if (layer < sizes.size()) return sizes[layer];
  return std::max<int64_t>(4, std::llround(static_cast<double>(published) * width));
}

int64_t BlockLayerImpl::Geometry::after(size_t a) const {
  if (kind == Kind::kTransposed) return (in[a] - 1) * stride[a] + kernel[a] - before(a) - out[a];
  return kernel[a] / 2;
}

BlockLayerImpl::BlockLayerImpl(const Geometry& g, Numbers in, Numbers out, Precision precision,
                               bool batch_norm)
    : g_(g), in_(in), out_(out), precision_(precision) {
  const auto [kz, ky, kx] = g.kernel;
  std::vector<int64_t> shape{g.outputs, g.channels};
  if (g.kind == Kind::kTransposed) std::swap(shape[0], shape[1]);
  if (g.kind != Kind::kLinear) shape.insert(shape.end(), {kz, ky, kx});
  double terms = static_cast<double>(g.channels);
  for (size_t a = 0; a < 3; ++a)
    terms *= static_cast<double>(g.kernel[a]) /
             (g.kind == Kind::kTransposed ? static_cast<double>(g.stride[a]) : 1);
  weight = register_parameter("weight", torch::randn(shape) * std::sqrt(2 / terms));
  bias = register_parameter("bias", torch::zeros({g.outputs}));
  if (!batch_norm) return;
  gain = register_parameter("gain", torch::ones({g.outputs}));
  mean = register_buffer("mean", torch::zeros({g.outputs}));
  variance = register_buffer("variance", torch::ones({g.outputs}));
}

torch::Tensor BlockLayerImpl::per_output(const torch::Tensor& t, const torch::Tensor& like) const {
  std::vector<int64_t> shape(static_cast<size_t>(like.dim()), 1);
  shape[g_.kind == Kind::kTransposed ? 1 : 0] = -1;
  return t.reshape(shape);
}

BlockLayerImpl::Folded BlockLayerImpl::folded() const {
  if (!gain.defined()) return {weight, bias};
  const auto factor = gain / torch::sqrt(variance + kNormEpsilon);
  return {weight * per_output(factor, weight), bias - mean * factor};
}

torch::Tensor BlockLayerImpl::rows(const torch::Tensor& w) const {
  return (g_.kind == Kind::kTransposed ? w.transpose(0, 1) : w).flatten(1);
}

// The finest unit at which all weights of an output fit, and its sums stay below 2^30.
torch::Tensor BlockLayerImpl::units(const Folded& f) const {
  const auto w = rows(f.weight).detach().abs();
  const auto most = static_cast<double>(std::max(-in_.low, in_.high));
  const auto by_weight = std::get<0>(w.max(1)) / largest_weight(precision_);
  const auto by_sum = (w.sum(1) * most + f.bias.detach().abs() / in_.unit) * std::exp2(-30);
  return torch::maximum(by_weight, by_sum).clamp_min(1e-9);
}

torch::Tensor BlockLayerImpl::in_units(const torch::Tensor& w, const torch::Tensor& u) const {
  const auto x = w / per_output(u, w);
  return precision_ == Precision::kFp8 ? to_fp8(x) : torch::round(x);
}

torch::Tensor BlockLayerImpl::apply(const torch::Tensor& x, const torch::Tensor& w,
                                    const torch::Tensor& b) const {
  if (g_.kind == Kind::kLinear) return torch::linear(x, w, b);
  const std::vector<int64_t> stride(g_.stride.begin(), g_.stride.end());
  std::vector<int64_t> padding, more;
  for (size_t a = 0; a < 3; ++a) {
    padding.push_back(g_.before(a));
    more.push_back(g_.before(a) - g_.after(a));  // transposed: positions added at the end
  }
  if (g_.kind == Kind::kConv) return torch::conv3d(x, w, b, stride, padding);
  return torch::conv_transpose3d(x, w, b, stride, padding, more);
}

torch::Tensor BlockLayerImpl::forward(const torch::Tensor& x, bool learning) {
  torch::Tensor y;
  if (learning && gain.defined()) {
    y = torch::batch_norm(apply(x, weight, {}), gain, bias, mean, variance, true, kNormMomentum, kNormEpsilon,
                          false);
  } else {
    const Folded f = folded();
    const auto u = units(f).detach();
    const auto rounded = in_units(f.weight, u) * per_output(u, f.weight);
    y = apply(x, f.weight + (rounded - f.weight).detach(), f.bias);
  }
  const double low = static_cast<double>(out_.low) * out_.unit,
               high = static_cast<double>(out_.high) * out_.unit;
  return round_to(y.clamp(low, high), out_.unit);
}

int BlockLayerImpl::store(ProgramWriter& p, int x) {
  const torch::NoGradGuard no_grad;
  const Folded f = folded();
  const auto u = units(f);
  auto w = in_units(f.weight, u);
  if (g_.kind == Kind::kConv) w = w.permute({0, 2, 3, 4, 1});
  if (g_.kind == Kind::kTransposed) w = w.permute({1, 2, 3, 4, 0});
  const int bits = precision_ == Precision::kInt8 ? 8 : 16;
  const IntegerLayer layer{
      {w.sizes().begin(), w.sizes().end()}, to_doubles(w), bits, to_doubles(f.bias / (u * in_.unit))};
  int y = 0;
  if (g_.kind == Kind::kLinear) {
    y = p.linear(x, layer);
  } else {
    IntegerConv c;
    c.transposed = g_.kind == Kind::kTransposed;
    for (size_t a = 0; a < 3; ++a) {
      c.stride.push_back(g_.stride[a]);
      c.before.push_back(g_.before(a));
      c.after.push_back(g_.after(a));
    }
    y = p.conv(x, layer, c);
  }
  return p.requantise(y, to_doubles(u * (in_.unit / out_.unit)), out_.low, out_.high);
}

bool BlockLayerImpl::load(const StoredLayer& s) {
  const torch::NoGradGuard no_grad;
  const bool linear = s.kind == OpKind::kLinear;
  const Kind kind = linear ? Kind::kLinear : s.kind == OpKind::kConv ? Kind::kConv : Kind::kTransposed;
  auto w = torch::tensor(s.weight, torch::kFloat64);
  if (kind != g_.kind || w.numel() != weight.numel() || s.shape[0] != g_.outputs || s.factor.empty())
    return false;
  w = w.reshape(s.shape);
  if (kind == Kind::kConv) w = w.permute({0, 4, 1, 2, 3});
  if (kind == Kind::kTransposed) w = w.permute({4, 0, 1, 2, 3});
  if (w.sizes() != weight.sizes()) return false;
  std::vector<double> factors;  // of `store`: the weights' unit, times the unit of what they are for
  for (int64_t k = 0; k < g_.outputs; ++k) factors.push_back(s.factor_of(static_cast<size_t>(k)));
  const auto u = torch::tensor(factors, torch::kFloat64) * (out_.unit / in_.unit);
  weight.copy_(w * per_output(u, w));
  bias.copy_(torch::tensor(s.bias, torch::kFloat64) * u * in_.unit);
  return true;
}

BlockNet::BlockNet(const BlockNetShape& shape) : shape_(shape) {
  shape_.net == "mlp" ? make_mlp() : make_conv();
  const Numbers latents{kBlockLatentUnit, -kBlockLatentLimit, kBlockLatentLimit};
  const int64_t k = shape_.latents;
  const auto linear = [](int64_t in, int64_t out) {
    return BlockLayerImpl::Geometry{BlockLayerImpl::Kind::kLinear, in, out};
  };
  const Numbers values{kBlockValueUnit, -kBlockValueLimit, kBlockValueLimit};
  straight_encoder_ = register_module(
      "straight_e", BlockLayer(linear(shape_.points(), k), values, latents, Precision::kInt16, false));
  straight_decoder_ = register_module(
      "straight_d", BlockLayer(linear(k, shape_.points()), latents, values, Precision::kInt16, false));
  hidden_ = register_module("hidden", BlockLayer(linear(shape_.axes * shape_.neighbour(), kContextHidden),
                                                 latents, kBlockHidden, Precision::kInt16, false));
  mean_ = register_module(
      "mean", BlockLayer(linear(kContextHidden, k), kBlockHidden, latents, Precision::kInt16, false));
  // In octaves of the latents' unit, four codes each.
  spread_ = register_module("spread", BlockLayer(linear(kContextHidden, k), kBlockHidden,
                                                 Numbers{0.25, 0, 63}, Precision::kInt16, false));
  const torch::NoGradGuard no_grad;
  for (auto& p : mean_->named_parameters()) p.value().zero_();  // at first: about 0, about 1
  for (auto& p : spread_->named_parameters()) p.value().fill_(p.key() == "bias" ? 10 : 0);
}

void BlockNet::add(std::vector<BlockLayer>& to, const BlockLayerImpl::Geometry& g, Numbers in, Numbers out,
                   bool norm) {
  std::string name(1, &to == &encoder_ ? 'e' : 'd');
  name += std::to_string(to.size());
  to.push_back(register_module(name, BlockLayer(g, in, out, shape_.precision, norm)));
}

// P - 512 - 256 - K and back.
void BlockNet::make_mlp() {
  const Numbers values{kBlockValueUnit, -kBlockValueLimit, kBlockValueLimit};
  const Numbers latents{kBlockLatentUnit, -kBlockLatentLimit, kBlockLatentLimit};
  const std::array<int64_t, 4> n = {shape_.points(), shape_.size(0, kHidden[0]), shape_.size(1, kHidden[1]),
                                    shape_.latents};
  for (size_t i = 0; i < 3; ++i) {
    add(encoder_, {BlockLayerImpl::Kind::kLinear, n[i], n[i + 1]}, i == 0 ? values : kBlockHidden,
        i == 2 ? latents : kBlockHidden, false);
  }
  for (size_t i = 3; i > 0; --i) {
    add(decoder_, {BlockLayerImpl::Kind::kLinear, n[i], n[i - 1]}, i == 3 ? latents : kBlockHidden,
        i == 1 ? values : kBlockHidden, false);
  }
}

// Levels of 3^3 convolutions that halve an axis while it is longer than 2, a linear layer, and back by
// transposed convolutions. With batch norm two convolutions a level, as published.
void BlockNet::make_conv() {
  using Kind = BlockLayerImpl::Kind;
  const Numbers values{kBlockValueUnit, -kBlockValueLimit, kBlockValueLimit};
  const Numbers latents{kBlockLatentUnit, -kBlockLatentLimit, kBlockLatentLimit};
  const bool norm = has_batch_norm(), two = shape_.net == "conv-bn";
  std::vector<BlockLayerImpl::Geometry> levels;
  BlockLayerImpl::Geometry g{Kind::kConv, 1, 0, shape_.block, {}, {}, {}};
  for (size_t level = 0; level < kChannels.size(); ++level) {
    g.outputs = shape_.size(level, kChannels[level]);
    for (size_t a = 0; a < 3; ++a) {
      g.kernel[a] = g.in[a] > 1 ? 3 : 1;
      g.stride[a] = g.in[a] > 2 ? 2 : 1;
      g.out[a] = (g.in[a] - 1) / g.stride[a] + 1;
    }
    levels.push_back(g);
    add(encoder_, g, levels.size() == 1 ? values : kBlockHidden, kBlockHidden, norm);
    g.in = g.out;
    g.channels = g.outputs;
    if (!two) continue;
    BlockLayerImpl::Geometry second = g;
    second.out = g.in;
    second.stride = {1, 1, 1};
    for (size_t a = 0; a < 3; ++a) second.kernel[a] = g.in[a] > 1 ? 3 : 1;
    add(encoder_, second, kBlockHidden, kBlockHidden, norm);
  }
  const int64_t flat = g.outputs * g.out[0] * g.out[1] * g.out[2];
  add(encoder_, {Kind::kLinear, flat, shape_.latents}, kBlockHidden, latents, false);
  add(decoder_, {Kind::kLinear, shape_.latents, flat}, latents, kBlockHidden, false);
  for (size_t i = levels.size(); i-- > 0;) {
    BlockLayerImpl::Geometry back = levels[i];
    back.kind = Kind::kTransposed;
    std::swap(back.in, back.out);
    std::swap(back.channels, back.outputs);
    add(decoder_, back, kBlockHidden, i == 0 ? values : kBlockHidden, norm && i > 0);
  }
}

// Between a linear layer and a convolution the numbers change places: channels last, as in the programs.
torch::Tensor BlockNet::run(std::vector<BlockLayer>& layers, torch::Tensor x) const {
  for (auto& layer : layers) {
    const auto& g = layer->geometry();
    if (g.kind == BlockLayerImpl::Kind::kLinear && x.dim() == 5) x = x.permute({0, 2, 3, 4, 1}).flatten(1);
    if (g.kind != BlockLayerImpl::Kind::kLinear && x.dim() == 2)
      x = x.reshape({x.size(0), g.in[0], g.in[1], g.in[2], g.channels}).permute({0, 4, 1, 2, 3});
    x = layer->forward(x, learning);
  }
  return x.flatten(1);
}

torch::Tensor BlockNet::values_in(const torch::Tensor& x) const {
  const auto v = shape_.logarithm ? (torch::log2(x.clamp_min(0) + kLogFloor) + kLogMiddle) / kLogSpan : x;
  return round_to(v.clamp(-2, 2), kBlockValueUnit);
}

double BlockNet::start_from_klt(torch::Tensor x) {
  const torch::NoGradGuard no_grad;
  x = values_in(x).to(torch::kFloat64);
  const auto mean = x.mean(0);
  x = x - mean;
  // Eigenvectors of the smaller of the two products.
  const bool few = x.size(0) < x.size(1);
  const auto [values, vectors] = torch::linalg_eigh(few ? torch::matmul(x, x.t()) : torch::matmul(x.t(), x));
  auto top = vectors.slice(1, vectors.size(1) - shape_.latents).flip(1);
  if (few) top = torch::matmul(x.t(), top);
  top = top / top.norm(2, 0, true).clamp_min(1e-12);  // [points, K]
  const double scale = kStartDeviation / torch::matmul(x, top.slice(1, 0, 1)).std().item<double>();
  const auto set = [](BlockLayer& layer, const torch::Tensor& w, const torch::Tensor& b) {
    for (auto& p : layer->named_parameters()) p.value().copy_(p.key() == "bias" ? b : w);
  };
  set(straight_encoder_, scale * top.t(), -scale * torch::mv(top.t(), mean));
  set(straight_decoder_, top / scale, mean);
  for (auto* layers : {&encoder_, &decoder_}) {
    for (auto& p : layers->back()->named_parameters()) p.value().zero_();
  }
  return scale;
}

bool BlockNet::load_layers(const std::vector<StoredLayer>& stored, BlockLayer& straight,
                           std::vector<BlockLayer>& layers) {
  if (stored.size() != layers.size() + 1 || !straight->load(stored[0])) return false;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (!layers[i]->load(stored[i + 1])) return false;
  }
  return true;
}

bool BlockNet::start_from(const StartingWeights& weights) {
  const auto context = weights.layers("context");
  return load_layers(weights.layers("encode"), straight_encoder_, encoder_) &&
         load_layers(weights.layers("decode"), straight_decoder_, decoder_) && context.size() == 3 &&
         hidden_->load(context[0]) && mean_->load(context[1]) && spread_->load(context[2]);
}

BlockNetShape shape_of(const StartingWeights& weights, BlockNetShape shape) {
  const auto layers = weights.layers("encode");
  const auto convolutions = static_cast<size_t>(
      std::count_if(layers.begin(), layers.end(), [](const auto& l) { return l.kind != OpKind::kLinear; }));
  shape.net = convolutions == 0 ? "mlp" : convolutions == kChannels.size() ? "conv" : "conv-bn";
  shape.folded = true;
  if (!layers.empty()) shape.latents = layers[0].shape[0];  // of the straight layer
  const size_t each = shape.net == "conv-bn" ? 2 : 1;       // layers of a level; the last makes the latents
  for (size_t i = 1; i + 1 < layers.size(); i += each) shape.sizes.push_back(layers[i].shape[0]);
  return shape;
}

torch::Tensor BlockNet::encode(torch::Tensor x) {
  x = values_in(x);
  const double limit = static_cast<double>(kBlockLatentLimit) * kBlockLatentUnit;
  return (straight_encoder_->forward(x, false) + run(encoder_, x)).clamp(-limit, limit);
}

torch::Tensor BlockNet::decode(const torch::Tensor& z) {
  const auto rounded = round_to(z, kBlockLatentUnit);
  const auto y = straight_decoder_->forward(rounded, false) + run(decoder_, rounded);
  if (!shape_.logarithm) return y;
  const double limit = static_cast<double>(kLogLimit) * kBlockValueUnit;
  return torch::exp2(y.clamp(-limit, limit) * kLogSpan - kLogMiddle) - kLogFloor;
}

BlockNet::Suggestion BlockNet::context(const torch::Tensor& neighbours) {
  const auto h = hidden_->forward(round_to(neighbours, kBlockLatentUnit), false);
  return {mean_->forward(h, false), kBlockLatentUnit * torch::exp2(spread_->forward(h, false))};
}

int BlockNet::store_layers(ProgramWriter& p, std::vector<BlockLayer>& layers, int x) {
  bool flat = true;
  for (auto& layer : layers) {
    const auto& g = layer->geometry();
    const bool linear = g.kind == BlockLayerImpl::Kind::kLinear;
    if (!linear && flat) x = p.reshape(x, {g.in[0], g.in[1], g.in[2], g.channels});
    if (linear && !flat) x = p.reshape(x, {g.channels});
    flat = linear;
    x = layer->store(p, x);
  }
  const auto& last = layers.back()->geometry();
  return flat ? x : p.reshape(x, {last.outputs * last.out[0] * last.out[1] * last.out[2]});
}

std::string BlockNet::encode_program(WeightsWriter& w) {
  ProgramWriter p(w, "encoder.");
  int x = p.input(shape_.points(), -kBlockValueLimit, kBlockValueLimit);
  if (shape_.logarithm) {
    std::vector<double> table;
    for (int64_t v = 0; v <= kBlockValueLimit; ++v)
      table.push_back(to_log(static_cast<double>(v) * kBlockValueUnit) / kBlockValueUnit);
    w.tensor("encoder.log", {table.size()}, table, 1, 16);
    x = p.table(p.clamp(x, 0, kBlockValueLimit), "encoder.log", 0);
  }
  const int straight = straight_encoder_->store(p, x);
  p.output(p.clamp(p.add(straight, store_layers(p, encoder_, x)), -kBlockLatentLimit, kBlockLatentLimit));
  return p.json();
}

std::string BlockNet::decode_program(WeightsWriter& w) {
  ProgramWriter p(w, "decoder.");
  const int z = p.input(shape_.latents, -kBlockLatentLimit, kBlockLatentLimit);
  const int straight = straight_decoder_->store(p, z);
  int x = p.add(straight, store_layers(p, decoder_, z));
  if (shape_.logarithm) {
    std::vector<double> table;
    for (int64_t u = -kLogLimit; u <= kLogLimit; ++u)
      table.push_back(from_log(static_cast<double>(u) * kBlockValueUnit) / kBlockValueUnit);
    w.tensor("decoder.exp", {table.size()}, table, 1, 32);
    x = p.table(p.clamp(x, -kLogLimit, kLogLimit), "decoder.exp", -kLogLimit);
  }
  p.output(x);
  return p.json();
}

std::string BlockNet::context_program(WeightsWriter& w) {
  ProgramWriter p(w, "context.");
  const int h =
      hidden_->store(p, p.input(shape_.axes * shape_.neighbour(), -kBlockLatentLimit, kBlockLatentLimit));
  p.output(mean_->store(p, h));
  p.output(spread_->store(p, h));
  return p.json();
}

void BlockNet::store(WeightsWriter& w) {
  w.metadata["program.encode"] = encode_program(w);
  w.metadata["program.decode"] = decode_program(w);
  w.metadata["program.context"] = context_program(w);
}

}  // namespace h5neural::learn

// three_branch_export.cc: see three_branch_export.h.
#include "learn/three_branch_export.h"

#include "models/three_branch.h"

namespace h5neural::learn {
namespace {

constexpr int64_t kInputLimit = 16383;
constexpr double kMostSum = 0x1p30;
constexpr int64_t kOutputLimit = 1 << 18;

// The text of a program of convolutions. Values are multiples of a unit; each call returns a value's index.
class Text {
 public:
  Text(WeightsWriter& weights, std::string prefix) : weights_(weights), prefix_(std::move(prefix)) {}

  int input(int64_t rank, int64_t n, int64_t channels, int64_t limit) {
    std::vector<int64_t> shape(static_cast<size_t>(rank), n);
    shape.push_back(channels);
    inputs_.push_back({{"shape", shape}, {"min", -limit}, {"max", limit}});
    return static_cast<int>(inputs_.size()) - 1;
  }

  // The convolution of x (multiples of in_unit up to `most`), rounded to multiples of out_unit, lo to hi.
  int conv(int x, const Conv& c, double in_unit, double most, double out_unit, int64_t lo, int64_t hi) {
    // [outputs, kernel..., inputs]
    auto w = (c.transposed ? c.weight.transpose(0, 1) : c.weight).detach().to(torch::kFloat64);
    std::vector<int64_t> order{0};
    for (int64_t a = 0; a < c.rank; ++a) order.push_back(2 + a);
    order.push_back(1);
    w = w.permute(order).contiguous();
    const auto rows = w.reshape({w.size(0), -1});
    const auto sums = largest_sums(w.abs(), c);
    const auto bias = c.bias.detach().to(torch::kFloat64);
    // 8 bits for each output's largest weight, unless its sum could leave 32.
    const auto unit = torch::maximum(std::get<0>(rows.abs().max(1)).clamp_min(1e-9) / 127,
                                     (sums * most + bias.abs() / in_unit) / kMostSum);
    const std::string at = std::to_string(ops_.size());
    std::vector<uint64_t> shape;
    for (const int64_t n : w.sizes()) shape.push_back(static_cast<uint64_t>(n));
    weights_.tensor(prefix_ + "w" + at, shape, to_doubles(rows / unit.unsqueeze(1)), 1, c.bits);
    weights_.tensor(prefix_ + "b" + at, {shape[0]}, to_doubles(bias / (unit * in_unit)), 1, 32);
    const std::vector<int64_t> stride(static_cast<size_t>(c.rank), c.stride),
        border(static_cast<size_t>(c.rank), c.padding);
    const int y = push({{"op", c.transposed ? "conv_transposed" : "conv"},
                        {"in", {x}},
                        {"weight", prefix_ + "w" + at},
                        {"bias", prefix_ + "b" + at},
                        {"stride", stride},
                        {"before", border},
                        {"after", border}});
    const auto factor = to_doubles(unit * in_unit / out_unit);
    const int shift = std::clamp(29 - std::ilogb(*std::max_element(factor.begin(), factor.end())), 0, 62);
    weights_.tensor(prefix_ + "m" + at, {shape[0]}, factor, std::ldexp(1.0, shift), 32);
    return push({{"op", "requantise"},
                 {"in", {y}},
                 {"multiplier", prefix_ + "m" + at},
                 {"shift", shift},
                 {"min", lo},
                 {"max", hi}});
  }
  int add(int a, int b) { return push({{"op", "add"}, {"in", {a, b}}}); }
  int clamp(int x, int64_t lo, int64_t hi) {
    return push({{"op", "clamp"}, {"in", {x}}, {"min", lo}, {"max", hi}});
  }
  std::string json(int output) const {
    return Json{{"inputs", inputs_}, {"ops", ops_}, {"outputs", {output}}}.dump();
  }

 private:
  // Of each output, over the taps that one position sees: every stride-th where transposed.
  static torch::Tensor largest_sums(torch::Tensor w, const Conv& c) {
    w = w.sum(-1);  // [outputs, kernel...]
    if (!c.transposed) return w.flatten(1).sum(1);
    for (int64_t a = 1; a <= c.rank; ++a) {
      const int64_t k = w.size(a);
      w = w.unflatten(a, std::vector<int64_t>{k / c.stride, c.stride}).sum(a);
    }
    return std::get<0>(w.flatten(1).max(1));
  }

  int push(Json op) {
    ops_.push_back(std::move(op));
    return static_cast<int>(inputs_.size() + ops_.size()) - 1;
  }
  WeightsWriter& weights_;
  std::string prefix_;
  Json inputs_ = Json::array(), ops_ = Json::array();
};

// An activation's result lies in 0 ... kGridLimit.
int activated(Text& t, int x, const Conv& c, double unit, int64_t most) {
  return t.conv(x, c, unit, static_cast<double>(most), kGridUnit, 0, kGridLimit);
}

int branch(Text& t, int x, const ThreeBranchNet::Branch& b, double unit) {
  int64_t most = kInputLimit;
  for (size_t k = 0; k < b.down.size(); ++k) {
    x = activated(t, x, b.down[k], unit, most);
    unit = kGridUnit;
    most = kGridLimit;
    if (b.residual.empty()) continue;
    const int inner = activated(t, x, b.residual[k].first, unit, most);
    const int more = t.conv(inner, b.residual[k].second, unit, kGridLimit, unit, -kGridLimit, kGridLimit);
    x = t.clamp(t.add(x, more), 0, kGridLimit);
  }
  return t.conv(x, b.fuse, unit, static_cast<double>(most), unit, -(kGridLimit * 16), kGridLimit * 16);
}

std::string encoder(WeightsWriter& w, const ThreeBranchNet& net) {
  Text t(w, "encode.");
  const ThreeBranchShape& s = net.shape;
  std::vector<int> x;
  for (size_t k = 0; k < net.branches.size(); ++k) x.push_back(t.input(s.rank, s.window(), 1, kInputLimit));
  int sum = -1;
  for (size_t k = 0; k < x.size(); ++k) {
    const double unit = std::ldexp(1.0, k == 0 ? -kThreeBranchInBits : -kThreeBranchPhaseBits);
    const int b = branch(t, x[k], net.branches[k], unit);
    sum = k == 0 ? b : t.add(sum, b);
  }
  sum = t.clamp(sum, 0, kGridLimit);
  const int learned = t.conv(sum, net.head, kGridUnit, kGridLimit, kGridUnit, -kGridLimit, kGridLimit);
  const int linear = t.conv(x[0], net.analysis, std::ldexp(1.0, -kThreeBranchInBits), kInputLimit, kGridUnit,
                            -kGridLimit, kGridLimit);
  return t.json(t.clamp(t.add(learned, linear), -kGridLimit, kGridLimit));
}

std::string decoder(WeightsWriter& w, const ThreeBranchNet& net) {
  Text t(w, "decode.");
  const ThreeBranchShape& s = net.shape;
  const int z = t.input(s.rank, s.tile + 2 * ThreeBranchShape::kDecoderHalo, s.channels, kGridLimit);
  int x = z;
  for (size_t k = 0; k + 1 < net.decoder.size(); ++k)
    x = activated(t, x, net.decoder[k], kGridUnit, kGridLimit);
  const double unit = std::ldexp(1.0, -kThreeBranchOutBits);
  const int learned = t.conv(x, net.decoder.back(), kGridUnit, kGridLimit, unit, -kOutputLimit, kOutputLimit);
  const int linear = t.conv(z, net.synthesis, kGridUnit, kGridLimit, unit, -kOutputLimit, kOutputLimit);
  return t.json(t.add(learned, linear));
}

std::vector<int32_t> integers(const torch::Tensor& x) {
  std::vector<int32_t> v;
  for (const double d : to_doubles(x)) v.push_back(static_cast<int32_t>(std::lround(d)));
  return v;
}

// Counts to frequencies that add up to kSlots, at least 1 each. What a Laplace distribution of the context's
// size expects goes in as a few symbols more.
std::vector<double> frequencies(const std::vector<double>& counts, size_t table) {
  const auto& edges = size_thresholds();
  const double size = static_cast<double>(edges[std::min(table, edges.size() - 1)]) / 256;
  std::vector<double> f(counts.size());
  double total = 0;
  for (size_t s = 0; s < f.size(); ++s) {
    const double magnitude = std::floor((static_cast<double>(s) + 1) / 2);
    f[s] = counts[s] + 16 * std::exp(-magnitude / size) / (1 + 2 * size) + 1e-3;
    total += f[s];
  }
  const double room = kSlots - static_cast<double>(f.size());
  double given = 0;
  for (double& v : f) {
    v = 1 + std::floor(v / total * room);
    given += v;
  }
  *std::max_element(f.begin(), f.end()) += kSlots - given;
  return f;
}

}  // namespace

const std::vector<int32_t>& size_thresholds() {
  static const std::vector<int32_t> edges = [] {
    std::vector<int32_t> e;
    for (int k = 0; k < 31; ++k) e.push_back(static_cast<int32_t>(std::lround(4 * std::exp2(k / 2.5))));
    return e;
  }();
  return edges;
}

LatentContexts integer_contexts(const ThreeBranchNet& net, int64_t first_gain, int64_t gains) {
  LatentContexts c;
  c.rank = static_cast<int>(net.shape.rank);
  const double one = 1 << LatentContexts::kFraction;
  c.predict = integers(net.predict * one);
  c.spread = integers(net.spreads() * one);
  c.floor = integers(net.floors().narrow(0, first_gain, gains) * one);
  return c;
}

WeightsWriter three_branch_weights(ThreeBranchNet& net, int64_t first_gain, int64_t gains,
                                   const SymbolCounts& counts, const std::string& name) {
  const torch::NoGradGuard no_grad;
  WeightsWriter w;
  w.metadata["program.encode"] = encoder(w, net);
  w.metadata["program.decode"] = decoder(w, net);
  const LatentContexts c = integer_contexts(net, first_gain, gains);
  const auto store = [&](const char* array, const std::vector<int32_t>& v, size_t rows, int bits) {
    w.tensor(array, {rows, v.size() / rows}, {v.begin(), v.end()}, 1, bits);
  };
  const auto channels = static_cast<size_t>(net.shape.channels);
  store("predict", c.predict, channels, 16);
  store("spread", c.spread, channels, 16);
  store("floor", c.floor, static_cast<size_t>(gains), 32);
  std::vector<torch::Tensor> steps;
  std::vector<int64_t> bins;
  for (int64_t g = first_gain; g < first_gain + gains; ++g) {
    steps.push_back(net.steps(g, true).flatten() / kGridUnit);
    bins.push_back(std::lround(gain_bin(g) * 65536));
  }
  store("steps", integers(torch::cat(steps)), static_cast<size_t>(gains), 32);
  const auto& edges = size_thresholds();
  w.tensor("thresholds", {edges.size()}, {edges.begin(), edges.end()}, 1, 32);
  std::vector<double> f;
  for (size_t k = 0; k < counts.size(); ++k) {
    const auto row = frequencies(counts[k], k);
    f.insert(f.end(), row.begin(), row.end());
  }
  w.tensor("frequencies", {counts.size(), kLatentSymbols}, f, 1, 16);
  w.metadata["name"] = name;
  w.metadata["family"] = "three-branch";
  w.metadata["config"] = Json{
      {"rank", net.shape.rank},
      {"step", net.shape.step()},
      {"tile", net.shape.tile},
      {"bins", bins}}.dump();
  return w;
}

}  // namespace h5neural::learn

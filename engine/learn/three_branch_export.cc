// three_branch_export.cc: see three_branch_export.h.
#include "learn/three_branch_export.h"

#include "learn/conv_program.h"
#include "models/three_branch.h"

namespace h5neural::learn {
namespace {

constexpr int64_t kInputLimit = 16383;
constexpr int64_t kOutputLimit = 1 << 18;

// An activation's result lies in 0 ... kGridLimit.
int activated(ConvProgram& t, int x, const Conv& c, double unit, int64_t most) {
  return t.conv(x, c, unit, static_cast<double>(most), kGridUnit, 0, kGridLimit);
}

int branch(ConvProgram& t, int x, const ThreeBranchNet::Branch& b, double unit) {
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
  ConvProgram t(w, "encode.");
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
  ConvProgram t(w, "decode.");
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

// train_block.cc: trains and exports the block form, as published for BSSN fields: blocks of 5^3, each
// normalised by its middle and range, 125-512-256-16 and back with ReLU, MSE and the sliced Wasserstein
// distance of the latents to N(0, I). Weights are rounded to 8 bits all through training.
#include <algorithm>
#include <random>
#include <sstream>

#include "learn/arrays.h"
#include "learn/card.h"
#include "learn/loop.h"
#include "learn/nets.h"
#include "learn/train.h"
#include "models/factory.h"

namespace h5neural::learn {
namespace {

constexpr int64_t kEdge = 5, kPoints = kEdge * kEdge * kEdge;
constexpr int64_t kBlocks = 200000;        // training blocks drawn from all fields
constexpr int64_t kValidation = 4096;      // of the tenth that is not trained on
constexpr double kSmallest = 1e-3;         // blocks of a smaller range (of the field's) are flat at any bound
constexpr double kValueUnit = 1.0 / 8192;  // of normalised values; they lie within -1/2 ... 1/2
constexpr double kHiddenUnit = 1.0 / 256, kLatentUnit = 1.0 / 256;
constexpr int64_t kHiddenLimit = 16383, kLatentLimit = 2047, kValueLimit = 16383;
constexpr double kWassersteinWeight = 1e-3;
constexpr int64_t kProjections = 50;

struct BlockNet : torch::nn::Module {
  explicit BlockNet(int64_t latents) {
    const std::vector<int64_t> widths = {kPoints, 512, 256, latents};
    for (size_t i = 0; i < 3; ++i) {
      encoder.push_back(
          register_module("e" + std::to_string(i), torch::nn::Linear(widths[i], widths[i + 1])));
    }
    for (size_t i = 0; i < 3; ++i) {
      decoder.push_back(
          register_module("d" + std::to_string(i), torch::nn::Linear(widths[3 - i], widths[2 - i])));
    }
  }

  // Linear, ReLU, linear, ReLU, linear; rounded as the program rounds.
  static torch::Tensor forward(std::vector<torch::nn::Linear>& layers, torch::Tensor x) {
    for (size_t i = 0; i < layers.size(); ++i) {
      x = quantised_linear(layers[i], x, 8, true);
      if (i + 1 < layers.size()) x = round_to(x.clamp(0, kHiddenLimit * kHiddenUnit), kHiddenUnit);
    }
    return x;
  }
  torch::Tensor encode(const torch::Tensor& x) {
    return forward(encoder, x).clamp(-kLatentLimit * kLatentUnit, kLatentLimit * kLatentUnit);
  }
  torch::Tensor decode(const torch::Tensor& z) { return forward(decoder, z); }

  std::vector<torch::nn::Linear> encoder, decoder;
};

// Normalised blocks [N, 125] and their ranges [N].
struct Blocks {
  torch::Tensor values, ranges;
};

// Random blocks from random fields of every variable named in `variables` (separated by commas).
Blocks draw_blocks(const ArrayFile& file, const Options& o) {
  std::mt19937_64 random(o.seed);
  std::vector<float> values, ranges;
  std::vector<std::string> names;
  std::stringstream list(o.variable);
  for (std::string name; std::getline(list, name, ',');) names.push_back(name);
  const int64_t wanted = kBlocks / static_cast<int64_t>(names.size());
  for (const std::string& name : names) {
    const auto a = file.get(name);
    if (a.shape.size() != 4 || a.shape[1] < kEdge || a.shape[2] < kEdge || a.shape[3] < kEdge) {
      throw std::runtime_error("array '" + name + "' is not [count, Z, Y, X] with extents of at least 5");
    }
    const auto at = [&](int64_t n, int64_t z, int64_t y, int64_t x) {
      return a.values[static_cast<size_t>(((n * a.shape[1] + z) * a.shape[2] + y) * a.shape[3] + x)];
    };
    const auto pick = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
    int64_t found = 0;
    for (int64_t tries = 0; found < wanted && tries < 20 * wanted; ++tries) {
      const int64_t n = pick(a.shape[0]), z = pick(a.shape[1] - kEdge + 1), y = pick(a.shape[2] - kEdge + 1),
                    x = pick(a.shape[3] - kEdge + 1);
      float block[kPoints];
      for (int64_t p = 0; p < kPoints; ++p) block[p] = at(n, z + p / 25, y + p / 5 % 5, x + p % 5);
      const auto [lo, hi] = std::minmax_element(block, block + kPoints);
      const float range = *hi - *lo, middle = *lo + range / 2;
      if (range < kSmallest * o.range) continue;
      for (const float v : block) values.push_back((v - middle) / range);
      ranges.push_back(range);
      ++found;
    }
    if (found < 1000)
      throw std::runtime_error("array '" + name + "' is nearly constant: nothing to train on");
  }
  const auto count = static_cast<int64_t>(ranges.size());
  const auto order = torch::randperm(count, torch::kLong);
  return {torch::from_blob(values.data(), {count, kPoints}).index_select(0, order),
          torch::from_blob(ranges.data(), {count}).index_select(0, order)};
}

class BlockTraining {
 public:
  explicit BlockTraining(const Options& o) : o_(o), file_(o.data), net_(o.latents) {
    torch::manual_seed(o.seed);
    blocks_ = draw_blocks(file_, o);
    train_ = blocks_.values.size(0) * 9 / 10;
    if (blocks_.values.size(0) - train_ < kValidation)
      throw std::runtime_error("too few blocks to train on; give more fields");
    std::fprintf(stderr, "%ld blocks\n", static_cast<long>(blocks_.values.size(0)));
  }

  void run() {
    Loop loop(net_, o_,
              {{"blocks", 0.7, 1.0, [&] { return block_loss(); }, [&] { return validate_blocks(); }},
               {"walk", 1.0, 0.3, [&] { return walk_loss(); }, [&] { return validate_walk(); }}});
    finish(loop.run());
  }

 private:
  torch::Tensor index() const { return torch::randint(train_, {o_.batch}, torch::kLong); }

  // Steps of the latents from 1/16 to 1/2.
  static torch::Tensor with_noise(const torch::Tensor& z) {
    const auto step = torch::exp2(-1 - 3 * torch::rand({z.size(0), 1}));
    return z + step * (torch::rand_like(z) - 0.5);
  }

  torch::Tensor block_loss() {
    const auto x = blocks_.values.index_select(0, index());
    const auto z = net_.encode(x);
    return (net_.decode(with_noise(z)) - x).square().mean() +
           kWassersteinWeight * sliced_wasserstein(z, kProjections);
  }
  double validate_blocks() {
    const auto x = blocks_.values.slice(0, train_, train_ + kValidation);
    return (net_.decode(net_.encode(x)) - x).square().mean().item<double>();
  }

  std::vector<double> bins() const {
    std::vector<double> b;
    for (const double bound : {3e-2, 1e-2, 3e-3, 1e-3}) b.push_back(2 * bound * o_.range);
    return b;
  }
  torch::Tensor residual(const torch::Tensor& of, bool noise) {
    const auto x = blocks_.values.index_select(0, of);
    const auto z = net_.encode(x);
    return (net_.decode(noise ? with_noise(z) : z) - x) * blocks_.ranges.index_select(0, of).unsqueeze(1);
  }
  torch::Tensor walk_loss() { return walk_cost(residual(index(), true), bins()); }
  double validate_walk() {
    return walk_cost(residual(torch::arange(train_, train_ + kValidation), false), bins()).item<double>();
  }

  // Linear, ReLU, linear, ReLU, linear.
  static std::string program(WeightsWriter& w, const std::string& prefix,
                             std::vector<torch::nn::Linear>& layers, double in_unit, int64_t in_limit,
                             double out_unit, int64_t out_limit) {
    ProgramWriter p(w, prefix);
    int x = p.input(layers[0]->weight.size(1), -in_limit, in_limit);
    double unit = in_unit, made = 0;
    for (size_t i = 0; i < layers.size(); ++i) {
      const bool last = i + 1 == layers.size();
      const auto limit = static_cast<double>(i == 0 ? in_limit : kHiddenLimit);
      x = p.linear(x, to_layer(layers[i]), unit, limit, 8, made);
      unit = last ? out_unit : kHiddenUnit;
      x = p.requantise(x, made / unit, last ? -out_limit : 0, last ? out_limit : kHiddenLimit);
    }
    p.output(x);
    return p.json();
  }

  void finish(const Progress& progress) {
    const torch::NoGradGuard no_grad;
    WeightsWriter w;
    w.metadata["program.encode"] =
        program(w, "encoder.", net_.encoder, kValueUnit, kValueLimit, kLatentUnit, kLatentLimit);
    w.metadata["program.decode"] =
        program(w, "decoder.", net_.decoder, kLatentUnit, kLatentLimit, kValueUnit, kValueLimit);
    w.metadata["name"] = o_.name;
    w.metadata["family"] = "swae";
    w.metadata["config"] = Json{{"form", "block"}, {"edge", kEdge}}.dump();
    CardFacts f;
    f.sha256 = save_weights(o_.out, w);
    const Bytes bytes = w.bytes();
    const WeightsFile file(bytes, sha256(bytes), o_.out);
    const Program p = file.program("decode");
    f.data = o_.about.empty() ? o_.data + ", " + o_.variable : o_.about;
    f.results = results();
    f.curve = progress.curve;
    f.seconds = progress.seconds;
    f.steps = progress.step;
    f.bytes = bytes.size();
    f.parameters = p.parameters;
    f.macs = p.macs;
    f.largest_sum = p.largest_sum;
    write_card(o_, f);
    std::fprintf(stderr, "%s\n%s: %zu bytes, SHA-256 %s\n", f.results.c_str(), o_.out.c_str(), bytes.size(),
                 f.sha256.c_str());
  }

  // The network against the linear autoencoder with as many numbers (KLT: the leading eigenvectors).
  std::string results() {
    const auto of = torch::arange(train_, blocks_.values.size(0));
    const auto train = blocks_.values.slice(0, 0, train_).to(torch::kFloat64);
    const auto mean = train.mean(0);
    const auto vectors = std::get<1>(torch::linalg_eigh(torch::matmul((train - mean).t(), train - mean)));
    const auto top = vectors.slice(1, kPoints - o_.latents);
    const auto x = blocks_.values.slice(0, train_).to(torch::kFloat64) - mean;
    const auto klt = ((x - torch::matmul(torch::matmul(x, top), top.t())) *
                      blocks_.ranges.index_select(0, of).unsqueeze(1))
                         .to(torch::kFloat32);
    std::ostringstream out;
    out << "Blocks whose range is at least " << kSmallest << " of the field's, " << o_.range
        << "; errors relative to it; cost: proxy of the corrections in bits per value, at each bound.\n\n"
        << "| base | latents | RMS error | 3e-2 | 1e-2 | 3e-3 | 1e-3 |\n|---|---|---|---|---|---|---|\n";
    const auto row = [&](const char* base, const torch::Tensor& r) {
      out << "| " << base << " | " << o_.latents << " | "
          << r.square().mean().sqrt().item<double>() / o_.range;
      for (const double b : bins()) {
        torch::manual_seed(1);
        out << " | " << walk_cost(r, {b}).item<double>();
      }
      out << " |\n";
    };
    row("KLT", klt);
    row("network", residual(of, false));
    return out.str();
  }

  const Options& o_;
  ArrayFile file_;
  BlockNet net_;
  Blocks blocks_;
  int64_t train_ = 0;
};

}  // namespace

void train_block(const Options& options) { BlockTraining(options).run(); }

}  // namespace h5neural::learn

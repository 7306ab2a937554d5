// train_corrections.cc: trains and exports family corrections, the network inside of the walk. The loss is
// what the walk pays: the logarithm of the chance of the bin that the residual falls into, under a mixture of
// logistic distributions (as Salimans et al., PixelCNN++, 2017) whose scale is the context's. The move of a
// prediction is learned through bins with soft edges.
#include <fstream>
#include <sstream>

#include "exact/backend.h"
#include "learn/export.h"
#include "learn/finish.h"
#include "learn/loop.h"
#include "learn/nets.h"
#include "learn/train.h"
#include "learn/walk_samples.h"
#include "models/corrections.h"
#include "weights/weights_file.h"

namespace h5neural::learn {
namespace {

using torch::Tensor;

constexpr double kInput = 1.0 / 32;        // the network's unit of an input
constexpr double kActivation = 1.0 / 128;  // and of an activation, which ends at kActivationMost of these
constexpr int64_t kActivationMost = 1023;
constexpr double kMove = 1.0 / 32, kChange = 1.0 / 8;  // units of the outputs
constexpr int64_t kOutputMost = 64;                    // of both
constexpr double kSoftness = 0.1;                      // of the edges of bins, in bins
constexpr double kLeastBits = 0.2;  // groups count by 1 / (this + their bits for each point)
constexpr int64_t kDraws = 1 << 22;
constexpr int kWeightBits = 16;

class RefineNetImpl : public torch::nn::Module {
 public:
  RefineNetImpl(int64_t inputs, const std::vector<int64_t>& hidden) {
    std::vector<int64_t> widths{inputs};
    widths.insert(widths.end(), hidden.begin(), hidden.end());
    widths.push_back(kNetworkOutputs);
    for (size_t k = 0; k + 1 < widths.size(); ++k) {
      layers.push_back(
          register_module("layer" + std::to_string(k), torch::nn::Linear(widths[k], widths[k + 1])));
    }
    const torch::NoGradGuard none;
    layers.back()->weight.mul_(0.1);
    layers.back()->bias.zero_();
    shares = register_parameter("shares", torch::zeros(3));
    scales = register_parameter("scales", torch::tensor({-0.5, -1.5, 0.8}));
  }

  // [B, inputs] integers to [B, 2]: moves in expected magnitudes, changes in contexts.
  Tensor forward(const Tensor& x) {
    Tensor y = x.to(torch::kFloat32) * kInput;
    for (size_t k = 0; k < layers.size(); ++k) {
      y = layers[k]->forward(y);
      if (k + 1 < layers.size()) y = y.clamp(0, kActivationMost * kActivation);
    }
    const auto limit = torch::tensor({kOutputMost * kMove, kOutputMost * kChange});
    return torch::minimum(torch::maximum(y, -limit), limit);
  }

  // Bits of the residuals q (whole numbers of bins) at a scale in bins.
  Tensor bits(const Tensor& q, const Tensor& scale) {
    const auto share = torch::softmax(shares, 0);
    const auto a = q.abs();
    Tensor chance = torch::full_like(a, 1e-6);
    for (int m = 0; m < 3; ++m) {
      const auto s = scale * scales[m].exp();
      chance = chance + share[m] * (torch::sigmoid((0.5 - a) / s) - torch::sigmoid((-0.5 - a) / s));
    }
    return -chance.log2();
  }

  std::vector<torch::nn::Linear> layers;
  Tensor shares, scales;
};
TORCH_MODULE(RefineNet);

// Context 10 expects one bin.
Tensor bins_expected(const Tensor& context) { return torch::exp2((context - 10) / 2); }

struct Samples {
  Tensor inputs, residual, context, group;  // [N, inputs] int16, [N], [N], [N]
  int64_t groups = 0;
  int64_t size() const { return residual.size(0); }
};

Samples tensors_of(const WalkSamples& s, int64_t inputs) {
  const auto n = static_cast<int64_t>(s.group.size());
  Samples t;
  t.inputs = torch::tensor(at::ArrayRef<int16_t>(s.of.inputs)).view({n, inputs});
  t.residual = torch::tensor(at::ArrayRef<float>(s.of.residual));
  t.context = torch::tensor(at::ArrayRef<uint8_t>(s.of.context)).to(torch::kFloat32);
  t.group = torch::tensor(at::ArrayRef<int32_t>(s.group)).to(torch::kInt64);
  t.groups = s.coded;
  return t;
}

std::vector<double> numbers(const std::string& text) {
  std::vector<double> n;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) {
    n.push_back(std::stod(word));
    if (!(n.back() > 0)) throw std::runtime_error("'" + text + "' is no list of positive numbers");
  }
  return n;
}

// An exported layer made real again, by the units before and after it.
void take_layer(const Op& layer, const Op& after, double in_unit, bool last, torch::nn::Linear& to) {
  const torch::NoGradGuard none;
  for (uint32_t r = 0; r < layer.rows; ++r) {
    const double out_unit = !last ? kActivation : r == 0 ? kMove : kChange;
    const int32_t multiplier = after.multiplier[after.multiplier.size() == 1 ? 0 : r];
    const double factor = std::ldexp(double(multiplier), -static_cast<int>(after.shift)) * out_unit;
    for (uint32_t c = 0; c < layer.columns; ++c)
      to->weight[r][c] = layer.weights[size_t{r} * layer.columns + c] * factor / in_unit;
    to->bias[r] = layer.bias[r] * factor;
  }
}

class CorrectionsTraining {
 public:
  explicit CorrectionsTraining(const Options& o) : o_(o), file_(o.data) {
    torch::manual_seed(o.seed);
    how_.bounds = numbers(o.bounds);
    how_.seed = o.seed;
    if (o.from.empty()) {
      how_.shape.pairs = static_cast<int>(o.pairs);
      how_.shape.differences = static_cast<int>((o.pairs + 1) / 2);
      inputs_ = network_inputs(how_.shape);
      std::vector<int64_t> hidden;
      for (const double w : numbers(o.widths)) hidden.push_back(static_cast<int64_t>(w));
      net_ = RefineNet(inputs_, hidden);
    } else {
      start_from(o.from);
    }
    sample();
    draw();
  }

  void run() {
    Loop loop(*net_, o_, {{"bits", 1, 1, [this] { return loss(); }, [this] { return validate(); }}});
    finish(loop.run());
  }

 private:
  void sample() {
    constexpr double kShareOfTime = 0.4;
    constexpr int64_t kOneInSo = 10;  // of arrays of one chunk is kept apart
    std::vector<ChunkRange> learn, apart;
    std::istringstream in(o_.variable);
    int64_t single = 0;
    for (std::string name; std::getline(in, name, ',');) {
      const auto a = file_.get(name);
      if (a.shape.size() < 2) throw std::runtime_error("array '" + name + "' is no stack of chunks");
      const int64_t count = a.shape[0];
      int64_t validation = o_.validation > 0 ? std::min(o_.validation, count - 1) : count / 10;
      if (count == 1) validation = ++single % kOneInSo == 0 ? 1 : 0;
      learn.push_back({a, 0, count - validation});
      apart.push_back({a, count - validation, count});
    }
    how_.points = o_.points;
    how_.seconds = kShareOfTime * o_.seconds;
    train_ = tensors_of(sample_walks(learn, how_), inputs_);
    how_.points /= 8;
    how_.seconds /= 3;
    apart_ = tensors_of(sample_walks(apart, how_), inputs_);
    if (train_.size() == 0)
      throw std::runtime_error("the chunks are too small, or constant: no walk has points");
    if (apart_.size() == 0) {  // one chunk only: a part of its points
      apart_ = train_;
    }
    std::fprintf(stderr, "%ld points of %ld codings to learn from, %ld of %ld kept apart\n",
                 static_cast<long>(train_.size()), static_cast<long>(train_.groups),
                 static_cast<long>(apart_.size()), static_cast<long>(apart_.groups));
  }

  // Points of groups that take few bits count more: payloads are compared as ratios.
  void draw() {
    const torch::NoGradGuard none;
    const auto bits = plain_bits(train_.residual, train_.context);
    const auto ones = torch::ones_like(bits);
    const auto zeros = torch::zeros({train_.groups});
    const auto count = zeros.index_add(0, train_.group, ones).clamp_min(1);
    const auto mean = zeros.index_add(0, train_.group, bits) / count;
    const auto weight = (1 / (count * (mean + kLeastBits))).index_select(0, train_.group).to(torch::kFloat64);
    const auto sums = weight.cumsum(0);
    const auto places = torch::rand({kDraws}, torch::kFloat64) * sums[-1];
    drawn_ = torch::searchsorted(sums, places).clamp_max(train_.size() - 1);
  }

  Tensor plain_bits(const Tensor& residual, const Tensor& context) {
    return net_->bits(residual.round(), bins_expected(context));
  }

  // Bits of each point when the network is followed in full; `soft`: with edges that a gradient can climb.
  Tensor refined_bits(const Tensor& outputs, const Tensor& residual, const Tensor& context, bool soft) {
    const auto unit = bins_expected(context.clamp_min(kNetworkLeastContext));
    const auto r = residual - outputs.select(1, 0) * unit;
    const auto scale = bins_expected(context + outputs.select(1, 1));
    if (!soft) return net_->bits(r.round(), scale);
    const auto below = r.detach().floor();
    const auto up = torch::sigmoid((r - below - 0.5) / kSoftness);
    return (1 - up) * net_->bits(below, scale) + up * net_->bits(below + 1, scale);
  }

  Tensor loss() {
    const auto i = drawn_.index_select(0, torch::randint(kDraws, {o_.batch}));
    auto x = train_.inputs.index_select(0, i).to(torch::kFloat32);
    auto r = train_.residual.index_select(0, i);
    // The negative of a field is a field: sums and differences, the first inputs, change their sign.
    const auto sign = torch::randint(2, {o_.batch, 1}).to(torch::kFloat32) * 2 - 1;
    const int64_t odd = how_.shape.pairs + how_.shape.differences;
    x = torch::cat({x.narrow(1, 0, odd) * sign, x.narrow(1, odd, inputs_ - odd)}, 1);
    r = r * sign.squeeze(1);
    return refined_bits(net_->forward(x), r, train_.context.index_select(0, i), true).mean();
  }

  // Bits of each group kept apart, with the network followed in full and without.
  struct GroupBits {
    Tensor with, without;
  };
  template <class Outputs>
  GroupBits group_bits(Outputs&& outputs) {
    const torch::NoGradGuard none;
    const Samples& s = apart_;
    GroupBits bits{torch::zeros({s.groups}), torch::zeros({s.groups})};
    constexpr int64_t kStep = 1 << 16;
    for (int64_t at = 0; at < s.size(); at += kStep) {
      const int64_t n = std::min(kStep, s.size() - at);
      const auto part = [&](const Tensor& t) { return t.narrow(0, at, n); };
      const auto residual = part(s.residual), context = part(s.context);
      bits.with.index_add_(0, part(s.group), refined_bits(outputs(part(s.inputs)), residual, context, false));
      bits.without.index_add_(0, part(s.group), plain_bits(residual, context));
    }
    return bits;
  }
  GroupBits float_bits() {
    return group_bits([this](const Tensor& x) { return net_->forward(x); });
  }

  // Mean over the groups of their bits with the network over those without; where it is worse it is not
  // followed.
  static double share(const GroupBits& bits) {
    constexpr double kHeader = 200;  // bits that a group has besides
    return ((bits.with + kHeader) / (bits.without + kHeader)).clamp_max(1).mean().item<double>();
  }
  double validate() { return share(float_bits()); }

  // ---- export

  // The layers as integers, what requantises them between.
  WeightsWriter weights() {
    WeightsWriter w;
    ProgramWriter p(w, "refine.");
    int x = p.input(inputs_, -kNetworkMost, kNetworkMost);
    double unit = kInput, most = kNetworkMost;
    for (size_t k = 0; k < net_->layers.size(); ++k) {
      double out_unit = 0;
      x = p.linear(x, to_layer(net_->layers[k]), unit, most, kWeightBits, out_unit);
      if (k + 1 < net_->layers.size()) {
        x = p.requantise(x, out_unit / kActivation, 0, kActivationMost);
        unit = kActivation;
        most = kActivationMost;
      } else {
        x = p.requantise(x, std::vector<double>{out_unit / kMove, out_unit / kChange}, -kOutputMost,
                         kOutputMost);
      }
    }
    p.output(x);
    w.metadata["program.refine"] = p.json();
    w.metadata["name"] = o_.name;
    w.metadata["family"] = "corrections";
    w.metadata["config"] = Json{{"pairs", how_.shape.pairs},
                                {"differences", how_.shape.differences},
                                {"magnitudes", how_.shape.magnitudes},
                                {"from_context", how_.shape.from_context}}
                               .dump();
    return w;
  }

  // The network of exported weights, and its shape.
  void start_from(const std::string& path);

  void finish(const Progress& progress) {
    const torch::NoGradGuard none;
    const WeightsWriter w = weights();
    const Bytes bytes = w.bytes();
    const WeightsFile file(bytes, sha256(bytes), o_.out);
    const Program program = file.program("refine");
    const GroupBits
        floats = float_bits(),
        integers = group_bits([&](const Tensor&x) {
          std::vector<Batch> in(1);
          for (const double v : to_doubles(x)) in[0].push_back(static_cast<int32_t>(v));
          const Batch y = h5neural::run(program, in, static_cast<size_t>(x.size(0)))[0];
          const auto out = torch::tensor(std::vector<float>(y.begin(), y.end())).view({-1, kNetworkOutputs});
          return out * torch::tensor({kMove, kChange});
        });
    const double lost = (integers.with.sum() / floats.with.sum()).item<double>() - 1;
    std::ostringstream out;
    out << "Bits of the residuals with the network over those without, mean over " << apart_.groups
        << " codings (chunk and bound) kept apart, 1 where it is worse: " << share(integers)
        << ". Of all bits together integers lose " << 100 * lost << " % against float weights.\n";
    finish_training(o_, w, {"refine"}, progress, out.str());
  }

  const Options& o_;
  ArrayFile file_;
  WalkSampling how_;
  int64_t inputs_ = 0;
  RefineNet net_{nullptr};
  Samples train_, apart_;
  Tensor drawn_;
};

void CorrectionsTraining::start_from(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  const ByteSpan bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  const WeightsFile file(bytes, sha256(bytes), path);
  if (file.family() != "corrections")
    throw std::runtime_error(path + " is of family " + file.family() +
                             "; start from one of family corrections");
  const CorrectionsModel model(file);
  how_.shape = model.network()->shape;
  inputs_ = network_inputs(how_.shape);
  // Layers and what requantises them take turns.
  const std::vector<Op>& ops = model.network()->program.ops;
  std::vector<int64_t> hidden;
  bool fits = ops.size() % 2 == 0;
  for (size_t i = 0; i < ops.size(); ++i) {
    fits = fits && ops[i].kind == (i % 2 == 0 ? OpKind::kLinear : OpKind::kRequantise);
    if (i % 2 == 0 && i + 2 < ops.size()) hidden.push_back(ops[i].rows);
  }
  if (!fits)
    throw std::runtime_error(path + " was not made by this program; its network cannot be learned on");
  net_ = RefineNet(inputs_, hidden);
  double unit = kInput;
  for (size_t k = 0; k < net_->layers.size(); ++k) {
    const bool last = k + 1 == net_->layers.size();
    take_layer(ops[2 * k], ops[2 * k + 1], unit, last, net_->layers[k]);
    unit = kActivation;
  }
}

}  // namespace

void train_corrections(const Options& options) { CorrectionsTraining(options).run(); }

}  // namespace h5neural::learn

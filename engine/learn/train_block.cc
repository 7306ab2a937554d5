// train_block.cc: trains and exports the form `blocks`: a latent vector for each block of a chunk. The
// default loss is what a payload will cost: bits of the latents, quantised for a random bound and coded as
// the neighbours suggest, and bits of the corrections. The published losses (MSE and others, with the sliced
// Wasserstein distance of the latents to N(0, I)) are there as well; the network of the neighbours then
// learns beside them.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>
#include <sstream>

#include "learn/arrays.h"
#include "learn/block_net.h"
#include "learn/block_samples.h"
#include "learn/finish.h"
#include "learn/loop.h"
#include "learn/nets.h"
#include "learn/train.h"
#include "models/factory.h"

namespace h5neural::learn {
namespace {

constexpr double kTightest = 1e-3, kLoosest = 1e-1;  // bounds, relative to the range of a chunk
constexpr double kPublishedWasserstein = 1e-3;
constexpr int64_t kProjections = 50;
constexpr int64_t kValidation = 512;      // blocks
constexpr int64_t kStart = 2000;          // blocks that the start is computed from
constexpr double kFirstGain = 2;          // in orthonormal coefficients, to a step
constexpr double kLogUnit = 1e-2;         // of the log loss: values below it count as they are
constexpr double kRelativeFloor = 1e-2;   // of the relative loss
constexpr double kRobustUnit = 1e-2;      // errors well above it count by their size, not its square
constexpr uint64_t kMostBytes = 8 << 20;  // of a weights file
constexpr double kSearchShare = 0.5;      // of the time, for all candidates together

Precision precision_of(const std::string& name) {
  return name == "int16" ? Precision::kInt16 : name == "fp8" ? Precision::kFp8 : Precision::kInt8;
}

BlockNetShape shape_of(const Options& o, const BlockSamples& samples) {
  BlockNetShape s;
  s.net = o.net;
  s.block = samples.block();
  s.axes = samples.axes();
  s.latents = o.latents;
  s.width = o.width;
  s.precision = precision_of(o.precision);
  s.logarithm = o.normalise == "pos_log";
  return s;
}

// Network and, in the same module, the gain: latents' step = gain * bin / range of the block.
struct Learned : torch::nn::Module {
  explicit Learned(const BlockNetShape& shape)
      : net(register_module("net", std::make_shared<BlockNet>(shape))),
        log_gain(register_parameter("log_gain", torch::zeros({1}))) {}
  std::shared_ptr<BlockNet> net;
  torch::Tensor log_gain;
};

// Bits of z in steps of `step` about `mean`, from a Laplace distribution: the mass of one step.
torch::Tensor laplace_bits(const torch::Tensor& z, const torch::Tensor& mean, const torch::Tensor& deviation,
                           const torch::Tensor& step) {
  const auto scale = deviation / std::sqrt(2.0);
  const auto x = (z - mean).abs() / scale, half = step / scale / 2;
  // Beyond half a step: exp(-x) sinh(half); within: 1 - exp(-half) cosh(x).
  const auto far = half - x + torch::log(-torch::expm1(-2 * half) / 2 + 1e-12);
  const auto inside = torch::minimum(x, half);
  const auto near = torch::log(1 + 1e-6 - (torch::exp(inside - half) + torch::exp(-inside - half)) / 2);
  return -torch::where(x < half, near, far) / std::log(2.0);
}

class BlockTraining {
 public:
  // `start`: weights to go on from, or nullptr.
  BlockTraining(const Options& o, const BlockSamples& samples, const StartingWeights* start = nullptr)
      : o_(o), device_(device_of(o)), samples_(samples), random_(o.seed) {
    torch::manual_seed(o.seed);
    const BlockNetShape shape = shape_of(o, samples);
    learned_ = std::make_shared<Learned>(start != nullptr ? shape_of(*start, shape) : shape);
    wasserstein_ = o.wasserstein >= 0 ? o.wasserstein : o.loss == "bytes" ? 0 : kPublishedWasserstein;
    stretch_ = o.range > 0 ? o.range / samples.median_range() : 1;
    std::mt19937_64 draw(o.seed + 1);
    const BlockBatch first = samples.draw(kStart, draw);
    const torch::NoGradGuard no_grad;
    if (start != nullptr) {
      go_on_from(*start);
    } else {
      const double scale = learned_->net->start_from_klt(first.values.select(1, 0));
      learned_->log_gain.fill_(std::log(kFirstGain * scale));
    }
    kept_ = samples.draw_kept(kValidation, draw).to(device_);
    learned_->to(device_);
    if (start != nullptr) {
      torch::manual_seed(kValidationSeed + o.seed);
      std::fprintf(stderr, "starting from %s: validation %.6g\n", start->path().c_str(), validate());
    }
  }

  // The best validation loss: bits per block over the bounds.
  double run() {
    BlockNet& net = *learned_->net;
    std::vector<Stage> stages;
    // Batch norm follows the batches first, and is folded into rounded weights after.
    if (net.has_batch_norm())
      stages.push_back({"batches", 0.5, 1, [&] { return loss(true); }, [&] { return validate(); }, true});
    stages.push_back({"rounded", 1, 1, [&] { return loss(false); }, [&] { return validate(); }, true});
    Loop loop(*learned_, o_, std::move(stages));
    progress_ = loop.run();
    const torch::NoGradGuard no_grad;
    net.learning = false;
    return validate();
  }

  void finish(const std::string& search);

 private:
  struct Coded {
    torch::Tensor y, bits;  // [B, points], [B]
    torch::Tensor z;        // [B, K], as the encoder gave them
  };

  void go_on_from(const StartingWeights& start) {
    if (!learned_->net->start_from(start)) start.refuse("its networks are none that this program makes");
    learned_->log_gain.fill_(std::log(start.config().at("gain").get<double>() / 16 * kBlockLatentUnit));
  }

  // Bins (two bounds) for each block of a batch: log-uniform, but small enough for latents to matter.
  torch::Tensor random_bins(const BlockBatch& b) const {
    const auto unit = 2 * b.scale * stretch_;
    const auto low = torch::log(unit * kTightest);
    const auto high = torch::minimum(torch::log(unit * kLoosest), torch::log(b.range.select(1, 0)));
    return torch::exp(low + (high - low).clamp_min(0) * torch::rand_like(low));
  }

  // `noise`: uniform in place of rounding.
  Coded code(const BlockBatch& b, const torch::Tensor& bins, bool noise, bool detached) {
    BlockNet& net = *learned_->net;
    const auto all = torch::cat({net.encode(b.values.select(1, 0)).unsqueeze(1), before(b)}, 1);
    const auto step = (torch::exp(learned_->log_gain) * bins.unsqueeze(1) / b.range)
                          .clamp(kBlockLatentUnit, 16)
                          .unsqueeze(2);
    const auto source = detached ? all.detach() : all;
    const auto quantised = noise ? source + step * (torch::rand_like(source) - 0.5) : round_by(source, step);
    const auto context = suggestion(b, bins, quantised);
    const auto own = source.select(1, 0), own_step = step.select(1, 0);
    auto q = own_step * (torch::rand_like(own) - 0.5) + own;
    if (!noise) q = context.mean + round_by(own - context.mean, own_step);
    const auto bits = laplace_bits(q, context.mean, context.spread, own_step).sum(1);
    if (!detached) return {net.decode(q), bits, own};
    return {net.decode(all.select(1, 0) + (q - own)), bits, all.select(1, 0)};
  }

  // Latents of the blocks before; they do not learn to be predicted from.
  torch::Tensor before(const BlockBatch& b) {
    const torch::NoGradGuard no_grad;
    const auto x = b.values.slice(1, 1);
    const auto z = learned_->net->encode(x.reshape({x.size(0) * x.size(1), -1}));
    return z.reshape({x.size(0), x.size(1), -1});
  }

  static torch::Tensor round_by(const torch::Tensor& x, const torch::Tensor& step) {
    return (x / step).round() * step;
  }

  // What the blocks before say, as the engine tells it to the context program.
  BlockNet::Suggestion suggestion(const BlockBatch& b, const torch::Tensor& bins, const torch::Tensor& z) {
    constexpr double kLimit = 8191.0 / 1024;
    const int64_t axes = b.present.size(1);
    const auto own_range = b.range.slice(1, 0, 1), own_offset = b.offset.slice(1, 0, 1);
    const auto range = b.range.slice(1, 1), offset = b.offset.slice(1, 1);
    const auto has = b.present * (range > bins.unsqueeze(1)).to(torch::kFloat32);
    const auto flag = 2 * has - b.present;
    const auto octaves = has * torch::log2(range / own_range).clamp(-kLimit, kLimit);
    const auto above = b.present * ((offset - own_offset) / own_range).clamp(-kLimit, kLimit);
    const auto about = torch::stack({flag, octaves, above}, 2);
    const auto latents = z.slice(1, 1) * has.unsqueeze(2);
    return learned_->net->context(
        torch::cat({latents, about}, 2).reshape({z.size(0), axes * (z.size(2) + 3)}));
  }

  torch::Tensor loss(bool batches) {
    learned_->net->learning = batches;
    const BlockBatch b = samples_.draw(o_.batch, random_).to(device_);
    const auto bins = random_bins(b);
    const bool bytes = o_.loss == "bytes";
    const Coded c = code(b, bins, true, !bytes);
    const auto x = b.values.select(1, 0);
    auto total = c.bits.mean() / static_cast<double>(x.size(1));
    if (bytes) {
      total = total + correction_bits(c.y - x, b, bins).mean();
    } else {
      total = total + error(c.y, x);
    }
    if (wasserstein_ > 0) total = total + wasserstein_ * sliced_wasserstein(c.z, kProjections);
    return total;
  }

  // Bits of each value, about; [B, points].
  static torch::Tensor correction_bits(const torch::Tensor& residual, const BlockBatch& b,
                                       const torch::Tensor& bins) {
    const auto r = residual * (b.range.select(1, 0) / bins).unsqueeze(1);
    return torch::log2(1 + (r + torch::rand_like(r) - 0.5).abs()) - kNoiseCost;
  }

  // The published losses.
  torch::Tensor error(const torch::Tensor& y, const torch::Tensor& x) const {
    const auto d = y - x;
    if (o_.loss == "log") {
      const auto compress = [](const torch::Tensor& v) {
        return torch::sign(v) * torch::log1p(v.abs() / kLogUnit);
      };
      return (compress(y) - compress(x)).square().mean() * (kLogUnit * kLogUnit);
    }
    if (o_.loss == "relative")
      return (d / (x.abs() + kRelativeFloor)).square().mean() * (kRelativeFloor * kRelativeFloor);
    if (o_.loss == "robust")  // Charbonnier
      return kRobustUnit * (torch::sqrt(d.square() + kRobustUnit * kRobustUnit) - kRobustUnit).mean();
    return d.square().mean();
  }

  // Bits of a block, latents and corrections, with what is really rounded; the mean of four bounds.
  struct Bits {
    double latents = 0, corrections = 0;
  };
  Bits bits_at(double bound) {
    const auto bins = 2 * kept_.scale * stretch_ * bound;
    const auto worth = (kept_.range.select(1, 0) > bins).to(torch::kFloat32);
    const Coded c = code(kept_, bins, false, false);
    const auto residual = (c.y - kept_.values.select(1, 0));
    const auto r = residual * (kept_.range.select(1, 0) / bins).unsqueeze(1) * 2;
    const auto paid = torch::log2(1 + r.pow(4)).sum(1) / 2;  // as models/residual_cost.h
    const double share = 1 / samples_.blocks_for_each();
    return {(c.bits * worth).mean().item<double>() * share, (paid * worth).mean().item<double>() * share};
  }
  double validate() {
    const bool before = learned_->net->learning;
    learned_->net->learning = false;
    double sum = 0;
    for (const double bound : kBounds) {
      const Bits b = bits_at(bound);
      sum += b.latents + b.corrections;
    }
    learned_->net->learning = before;
    return sum / static_cast<double>(kBounds.size());
  }

  WeightsWriter weights() {
    WeightsWriter w;
    learned_->net->store(w);
    w.metadata["name"] = o_.name;
    w.metadata["family"] = "swae";
    const auto& block = samples_.block();
    const std::vector<int64_t> extents(block.end() - samples_.axes(), block.end());
    const double gain = std::exp(learned_->log_gain.item<double>()) / kBlockLatentUnit * 16;
    w.metadata["config"] = Json{{"form", "blocks"},
                                {"block", extents},
                                {"normalise", o_.normalise},
                                {"gain", std::max<int64_t>(1, std::llround(gain))}}
                               .dump();
    return w;
  }

  std::string results();

  static constexpr double kNoiseCost = 0.3122;  // of the noise in correction_bits
  static constexpr std::array<double, 4> kBounds = {3e-2, 1e-2, 3e-3, 1e-3};
  const Options& o_;
  torch::Device device_;
  const BlockSamples& samples_;
  std::mt19937_64 random_;
  std::shared_ptr<Learned> learned_;
  BlockBatch kept_;
  double wasserstein_ = 0;
  double stretch_ = 1;  // of the samples' ranges, to which bounds are relative
  Progress progress_;
};

void BlockTraining::finish(const std::string& search) {
  const torch::NoGradGuard no_grad;
  const WeightsWriter w = weights();
  const Bytes bytes = w.bytes();
  if (bytes.size() > kMostBytes)
    throw std::runtime_error("the weights would take " + std::to_string(bytes.size() >> 20) +
                             " MiB, more than 8; give a smaller --width, or --precision int8");
  finish_training(o_, w, {"decode"}, progress_, results() + search);
}

std::string BlockTraining::results() {
  std::ostringstream out;
  out << "Blocks of samples kept apart; bounds relative to the range of a sample. Estimates of bits per "
         "block, and how "
         "many each value costs by that.\n\n"
      << "| bound | latents | corrections | bits per value |\n|---|---|---|---|\n";
  for (const double bound : kBounds) {
    const Bits b = bits_at(bound);
    out << "| " << bound << " | " << b.latents << " | " << b.corrections << " | "
        << (b.latents + b.corrections) / static_cast<double>(samples_.points()) << " |\n";
  }
  return out.str();
}

std::vector<int64_t> candidates(const std::string& list) {
  std::vector<int64_t> n;
  std::istringstream in(list);
  for (std::string part; std::getline(in, part, ',');) {
    n.push_back(std::atoll(part.c_str()));
    if (n.back() < 1 || n.back() > 64)
      throw std::runtime_error("--search " + list + ": numbers from 1 to 64, as in 4,8,16");
  }
  return n;
}

// A short training for each number of latents; returns the best, and the table.
int64_t search(const Options& o, const BlockSamples& samples, std::string& table) {
  const std::vector<int64_t> all = candidates(o.search);
  table = "\n## Search\n\n| latents | seconds | bits per block, mean of the bounds |\n|---|---|---|\n";
  int64_t best = o.latents;
  double fewest = 1e300;
  for (const int64_t latents : all) {
    Options short_run = o;
    short_run.latents = latents;
    short_run.seconds = o.seconds * kSearchShare / static_cast<double>(all.size());
    short_run.checkpoint = o.checkpoint + "." + std::to_string(latents);
    const double bits = BlockTraining(short_run, samples).run();
    std::filesystem::remove(short_run.checkpoint);
    std::ostringstream row;
    row << "| " << latents << " | " << short_run.seconds << " | " << bits << " |\n";
    table += row.str();
    if (bits < fewest) fewest = bits, best = latents;
  }
  std::fprintf(stderr, "%s", table.c_str());
  return best;
}

// The weights to go on from; blocks and normalisation are theirs.
std::unique_ptr<StartingWeights> start_of(Options& o) {
  if (o.from.empty()) return nullptr;
  auto start = std::make_unique<StartingWeights>(o.from, "blocks");
  o.normalise = start->config().at("normalise").get<std::string>();
  o.block.clear();
  for (const auto& extent : start->config().at("block")) {
    if (!o.block.empty()) o.block += ',';
    o.block += std::to_string(extent.get<int64_t>());
  }
  return start;
}

}  // namespace

void train_block(const Options& options) {
  Options o = options;
  const auto start = start_of(o);
  const ArrayFile file(o.data);
  const BlockSamples samples(file, o);
  std::string table;
  if (!o.search.empty()) {
    o.latents = search(o, samples, table);
    o.seconds *= 1 - kSearchShare;
  }
  BlockTraining training(o, samples, start.get());
  training.run();
  training.finish(table);
}

}  // namespace h5neural::learn

// train_three_branch.cc: trains and exports family three-branch. The loss is an estimate of the payload in
// bits for each value: of the latents (uniform noise in place of rounding, Balle, Laparra and Simoncelli,
// 2017; rounding at the end) and of what the corrections still need, for bins drawn from a range of a
// thousand to one, each with its own steps of the latents.
#include <sstream>

#include "learn/arrays.h"
#include "learn/finish.h"
#include "learn/loop.h"
#include "learn/three_branch_export.h"
#include "learn/train.h"
#include "models/three_branch.h"
#include "models/tiles.h"

namespace h5neural::learn {
namespace {

constexpr int64_t kBatch = 2, kBatchFlat = 12;  // windows at once, of rank 3 and of rank 2
constexpr int64_t kValidation = 24;             // windows
constexpr int64_t kCounted = 192;               // windows whose symbols make the tables
constexpr double kDeadZone = 0.08;              // as the engine's encoder rounds
constexpr double kLeastGain = 0.98;             // of the bits without latents: a gain is worth keeping

class ThreeBranchTraining {
 public:
  explicit ThreeBranchTraining(const Options& o) : o_(o), device_(device_of(o)), file_(o.data) {
    torch::manual_seed(o.seed);
    load();
    net_ = std::make_shared<ThreeBranchNet>(shape_);
    net_->start_from(cells().to(torch::kCPU));
    net_->to(device_);
    double none = 0;
    const auto x = inner(windows(batch_, train_, samples_));
    for (int64_t g = 0; g < kGainCount; ++g)
      none += corrections_cost(x / gain_bin(g), shape_.rank).item<double>() / kGainCount;
    std::fprintf(stderr, "%ld samples to learn from, %ld kept apart; without latents %.6g\n",
                 static_cast<long>(train_), static_cast<long>(samples_ - train_), none);
  }

  void run() {
    Loop loop(*net_, o_,
              {{"noise", 0.7, 1, [this] { return loss(false); }, [this] { return validate(false); }, false},
               {"integers", 1, 0.3, [this] { return loss(true); }, [this] { return validate(true); }, true}});
    finish(loop.run());
  }

 private:
  // Samples [count, 1, (Z,) Y, X], each less its mean and divided by its deviation.
  void load() {
    const auto a = file_.get(o_.variable);
    std::vector<int64_t> extents;
    for (size_t k = 1; k < a.shape.size(); ++k) {
      if (a.shape[k] > 1) extents.push_back(a.shape[k]);
    }
    if (extents.size() < 2 || extents.size() > 4) {
      throw std::runtime_error("array '" + o_.variable +
                               "' has samples of another rank than 2 to 4; three-branch learns those");
    }
    int64_t slices = a.shape[0],
            validation = o_.validation > 0 ? o_.validation : std::max<int64_t>(1, slices / 10);
    if (extents.size() == 4) {  // a model of rank 3 takes the first axis for slices
      slices *= extents.front();
      validation *= extents.front();
      extents.erase(extents.begin());
    }
    shape_.rank = static_cast<int64_t>(extents.size());
    batch_ = shape_.rank == 3 ? kBatch : kBatchFlat;
    shape_.stages = o_.stages;
    shape_.channels = o_.channels;
    shape_.tile = (shape_.rank == 3 ? 32 : 64) / shape_.step();
    shape_.spectrum = o_.branches == "all";
    shape_.adaptive = o_.quantiser == "adaptive";
    std::vector<int64_t> all{slices, 1};
    all.insert(all.end(), extents.begin(), extents.end());
    extents_ = extents;
    x_ = torch::from_blob(const_cast<float*>(a.values.data()), all);
    const auto flat = x_.flatten(1);
    auto one = all;
    std::fill(one.begin() + 1, one.end(), 1);
    mean_ = flat.mean(1).view(one);
    deviation_ = flat.std(1, false).view(one);
    samples_ = slices;
    train_ = samples_ - validation;
    if (train_ < 1) throw std::runtime_error("one sample is too few to learn from");
  }

  // `count` windows [count, 1, window...] of samples first ... end - 1, mirrored at random.
  torch::Tensor windows(int64_t count, int64_t first, int64_t end) {
    std::vector<torch::Tensor> w;
    const int64_t points = shape_.tile * shape_.step(),
                  margin = ThreeBranchShape::kEncoderHalo * shape_.step();
    const auto pick = [this](int64_t n) { return torch::randint(n, {1}).item<int64_t>(); };
    while (static_cast<int64_t>(w.size()) < count) {
      const int64_t i = first + pick(end - first);
      if (!(deviation_[i].item<float>() > 0)) continue;
      auto x = (x_[i] - mean_[i]) / deviation_[i];
      for (int64_t a = 0; a < shape_.rank; ++a) {
        const int64_t n = extents_[static_cast<size_t>(a)], room = std::max<int64_t>(0, n - points);
        const int64_t at = room == 0 ? 0 : pick(room + 1);
        std::vector<int64_t> index;
        for (int64_t k = -margin; k < points + margin; ++k) index.push_back(TileGrid::reflect(at + k, n));
        if (pick(2) == 1) std::reverse(index.begin(), index.end());
        x = x.index_select(1 + a, torch::tensor(index));
      }
      w.push_back(x);
    }
    return torch::stack(w).to(device_);
  }

  // Cells of random windows [N, step^rank].
  torch::Tensor cells() {
    const int64_t step = shape_.step();
    const auto x = inner(windows(kCounted, 0, train_));
    std::vector<int64_t> split{-1}, order{0};
    for (int64_t a = 0; a < shape_.rank; ++a) split.insert(split.end(), {shape_.tile, step});
    for (int64_t a = 0; a < shape_.rank; ++a) order.push_back(1 + 2 * a);
    for (int64_t a = 0; a < shape_.rank; ++a) order.push_back(2 + 2 * a);
    return x.reshape(split).permute(order).flatten(1 + shape_.rank).flatten(0, shape_.rank);
  }

  torch::Tensor inner(torch::Tensor x) const {
    const int64_t margin = ThreeBranchShape::kEncoderHalo * shape_.step();
    for (int64_t a = 2; a < 2 + shape_.rank; ++a) x = x.narrow(a, margin, x.size(a) - 2 * margin);
    return x;
  }

  struct Bits {  // for each value
    torch::Tensor latents, corrections;
  };
  Bits bits(const torch::Tensor& x, int64_t gain, double bin, bool quantise) {
    const auto step = net_->steps(gain, quantise);
    const auto z = net_->encode(x, quantise) / step;
    const auto y = quantise ? round_to(z, 1) : z + torch::rand_like(z) - 0.5;
    const auto target = inner(x);
    const double limit = kGridLimit * kGridUnit;
    const auto rest = target - net_->decode((y * step).clamp(-limit, limit), quantise);
    return {net_->bits(y, gain, quantise).sum() / target.numel(), corrections_cost(rest / bin, shape_.rank)};
  }

  torch::Tensor loss(bool quantise) {
    const int64_t gain = torch::randint(kGainCount, {1}).item<int64_t>();
    const double bin = gain_bin(gain) * std::exp2(torch::rand({1}).item<double>() - 0.5);
    const Bits b = bits(windows(batch_, 0, train_), gain, bin, quantise);
    return b.latents + b.corrections;
  }

  double validate(bool quantise) {
    const auto x = windows(batch_, train_, samples_);
    double sum = 0;
    for (int64_t g = 0; g < kGainCount; ++g) {
      const Bits b = bits(x, g, gain_bin(g), quantise);
      sum += (b.latents + b.corrections).item<double>() / kGainCount;
    }
    return sum;
  }

  // Latents as the engine's encoder rounds them, [B, C, tile...].
  torch::Tensor quantised(const torch::Tensor& x, int64_t gain) {
    const auto z = net_->encode(x, true) / net_->steps(gain, true);
    return (z.abs() + 0.5 - kDeadZone).floor() * z.sign();
  }

  SymbolCounts count_symbols(int64_t first, int64_t gains) {
    const auto& edges = size_thresholds();
    SymbolCounts counts(edges.size() + 1, std::vector<double>(kLatentSymbols, 0.0));
    const LatentContexts contexts = integer_contexts(*net_, first, gains);
    for (int64_t done = 0; done < kCounted; done += batch_) {
      const auto x = windows(batch_, 0, train_);
      for (int64_t g = 0; g < gains; ++g) {
        const auto y = quantised(x, first + g).flatten(2).transpose(1, 2).contiguous();  // [B, cells, C]
        LatentGrid grid{
            batch_, {shape_.rank == 3 ? shape_.tile : 1, shape_.tile, shape_.tile}, shape_.channels};
        std::vector<int32_t> q;
        for (const double v : to_doubles(y)) q.push_back(static_cast<int32_t>(v));
        contexts.walk(
            grid, static_cast<size_t>(g), q, [&](size_t i, size_t, int64_t prediction, int64_t size) {
              const auto table =
                  static_cast<size_t>(std::upper_bound(edges.begin(), edges.end(), size) - edges.begin());
              const int64_t rest = q[i] - prediction;
              const int64_t symbol = rest == 0 ? 0 : rest < 0 ? -2 * rest - 1 : 2 * rest;
              counts[table][static_cast<size_t>(std::min<int64_t>(symbol, kLatentSymbols - 1))] += 1;
              return q[i];
            });
      }
    }
    return counts;
  }

  // Estimated bits for each value of one gain: latents, corrections with them, corrections without.
  struct Row {
    double latents = 0, with = 0, without = 0;
    bool pays() const { return latents + with < kLeastGain * without; }
  };
  Row row(int64_t gain) {
    torch::manual_seed(o_.seed + 99);
    Row r;
    const double parts = static_cast<double>(kValidation) / batch_;
    for (int64_t done = 0; done < kValidation; done += batch_) {
      const auto x = windows(batch_, train_, samples_);
      const Bits b = bits(x, gain, gain_bin(gain), true);
      r.latents += b.latents.item<double>() / parts;
      r.with += b.corrections.item<double>() / parts;
      r.without += corrections_cost(inner(x) / gain_bin(gain), shape_.rank).item<double>() / parts;
    }
    return r;
  }

  void finish(const Progress& progress) {
    const torch::NoGradGuard no_grad;
    std::vector<Row> rows;
    for (int64_t g = 0; g < kGainCount; ++g) rows.push_back(row(g));
    const auto share = [](const Row& r) { return (r.latents + r.with) / r.without; };
    int64_t best = 0;
    for (int64_t g = 1; g < kGainCount; ++g) {
      if (share(rows[static_cast<size_t>(g)]) < share(rows[static_cast<size_t>(best)])) best = g;
    }
    int64_t first = best, last = best;
    while (first > 0 && rows[static_cast<size_t>(first - 1)].pays()) --first;
    while (last + 1 < kGainCount && rows[static_cast<size_t>(last + 1)].pays()) ++last;
    const int64_t gains = last - first + 1;
    const WeightsWriter w = three_branch_weights(*net_, first, gains, count_symbols(first, gains), o_.name);
    std::ostringstream out;
    out << "Bits for each value as the training estimates them, by the bin (two bounds) in deviations of the "
           "field; bins\nthat latents do not pay for are not in the file.\n\n"
        << "| bin | latents | corrections | without latents | kept |\n|---|---|---|---|---|\n";
    for (int64_t g = 0; g < kGainCount; ++g) {
      const Row& r = rows[static_cast<size_t>(g)];
      out << "| " << gain_bin(g) << " | " << r.latents << " | " << r.with << " | " << r.without << " | "
          << (g >= first && g <= last ? "yes" : "no") << " |\n";
    }
    if (!rows[static_cast<size_t>(best)].pays())
      out << "\nLatents pay for none of them: with these weights the writer will hardly ever use any.\n";
    finish_training(o_, w, {"decode"}, progress, out.str() + compare_programs(w, first, gains));
  }

  // What the corrections cost after the integer decoder, against the float one, for the same latents.
  std::string compare_programs(const WeightsWriter& w, int64_t first, int64_t gains) {
    const Bytes bytes = w.bytes();
    const WeightsFile file(bytes, sha256(bytes), o_.out);
    const Program decode = file.program("decode");
    std::ostringstream out;
    out << "\nBits of all, integer program against float network (weights not rounded), for the same "
           "latents:";
    for (int64_t g = first; g < first + gains; ++g) {
      torch::manual_seed(o_.seed + 98);
      const auto x = windows(batch_, train_, samples_);
      const auto z = quantised(x, g) * net_->steps(g, true);
      const std::vector<int64_t> border(static_cast<size_t>(2 * shape_.rank), ThreeBranchShape::kDecoderHalo);
      auto in = torch::constant_pad_nd(z / kGridUnit, border).movedim(1, -1).contiguous();
      std::vector<Batch> batch(1);
      for (const double v : to_doubles(in)) batch[0].push_back(static_cast<int32_t>(std::lround(v)));
      const Batch y = h5neural::run(decode, batch, static_cast<size_t>(batch_))[0];
      const auto target = inner(x);
      const auto made =
          torch::tensor(std::vector<float>(y.begin(), y.end())).to(device_).view(target.sizes()) *
          std::ldexp(1.0, -kThreeBranchOutBits);
      const double latents = (net_->bits(quantised(x, g), g, true).sum() / target.numel()).item<double>();
      const auto price = [&](const torch::Tensor& base) {
        torch::manual_seed(o_.seed + 97);
        return latents + corrections_cost((target - base) / gain_bin(g), shape_.rank).item<double>();
      };
      const double integers = price(made), floats = price(net_->decode(z, false));
      out << (g == first ? " " : ", ") << gain_bin(g) << ": " << 100 * (integers / floats - 1) << " %";
    }
    out << ".\n";
    return out.str();
  }

  const Options& o_;
  torch::Device device_;
  ArrayFile file_;
  torch::Tensor x_, mean_, deviation_;
  std::vector<int64_t> extents_;
  ThreeBranchShape shape_;
  std::shared_ptr<ThreeBranchNet> net_;
  int64_t samples_ = 0, train_ = 0, batch_ = kBatch;
};

}  // namespace

void train_three_branch(const Options& options) { ThreeBranchTraining(options).run(); }

}  // namespace h5neural::learn

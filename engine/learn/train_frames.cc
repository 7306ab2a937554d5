// train_frames.cc: trains and exports family frames: a network that predicts a frame from the decoded ones
// before it. The loss is an estimate of what the corrections pay for what it lacks, in bits for each value,
// at bounds drawn from a range; the frames it sees carry the errors that such a bound leaves.
#include <array>
#include <cmath>
#include <sstream>

#include "exact/backend.h"
#include "learn/arrays.h"
#include "learn/borders.h"
#include "learn/corrections_cost.h"
#include "learn/finish.h"
#include "learn/frames_export.h"
#include "learn/loop.h"
#include "learn/nets.h"
#include "learn/train.h"
#include "weights/weights_file.h"

namespace h5neural::learn {
namespace {

constexpr int64_t kWindows = 3, kWindow = 96;      // of a step, and points of each along its axes
constexpr int64_t kValidation = 2, kReported = 6;  // steps' worth of windows
// Extents of windows and tiles are multiples of it: of the coarsest cell, and for the loss.
constexpr int64_t kStep = 8;
constexpr int64_t kLargestTile = 128;                // points along each axis of a tile of the file
constexpr double kTightest = 1e-3, kLoosest = 1e-1;  // bounds, relative to the range of a chunk
constexpr double kAround = 3;                        // the same about a bound that was asked for, as a factor

class FramesTraining {
 public:
  explicit FramesTraining(const Options& o) : o_(o), file_(o.data) {
    torch::manual_seed(o.seed);
    load();
    net_ = std::make_shared<FramesNet>(shape_of(o));
    std::fprintf(stderr, "%ld series of %ld frames to learn from, %ld kept apart; %s\n",
                 static_cast<long>(train_), static_cast<long>(frames_), static_cast<long>(samples_ - train_),
                 said(wraps_).c_str());
  }

  void run() {
    Loop loop(*net_, o_,
              {{"floats", 0.75, 1, [this] { return loss(false); }, [this] { return validate(false); }},
               {"integers", 1, 0.3, [this] { return loss(true); }, [this] { return validate(true); }}});
    finish(loop.run());
  }

 private:
  static FramesShape shape_of(const Options& o) {
    FramesShape s;
    s.history = o.history;
    const auto wide = [&](int64_t n) {
      return std::max<int64_t>(4, std::lround(static_cast<double>(n) * o.width));
    };
    if (o.levels == 1) s.levels = {{wide(32), 3, 0}};
    if (o.levels == 2) s.levels = {{wide(32), 1, 1}, {wide(48), 2, 0}};
    if (o.levels == 3) s.levels = {{wide(32), 1, 1}, {wide(48), 1, 1}, {wide(48), 2, 0}};
    return s;
  }

  // Samples [count, frames, Y, X], each less its mean and divided by its deviation.
  void load() {
    const auto a = file_.get(o_.variable);
    if (a.shape.size() != 4)
      throw std::runtime_error("array '" + o_.variable + "' has rank " + std::to_string(a.shape.size()) +
                               "; frames are learned from [count, frames, Y, X]");
    samples_ = a.shape[0];
    frames_ = a.shape[1];
    extents_ = {a.shape[2], a.shape[3]};
    if (frames_ <= o_.history)
      throw std::runtime_error("series of " + std::to_string(frames_) +
                               " frames are too short to predict one from " + std::to_string(o_.history) +
                               " before it");
    train_ = samples_ - (o_.validation > 0 ? o_.validation : std::max<int64_t>(1, samples_ / 10));
    if (train_ < 1) throw std::runtime_error("one series is too few to learn from");
    x_ = torch::from_blob(const_cast<float*>(a.values.data()), {samples_, frames_, extents_[0], extents_[1]});
    const auto flat = x_.flatten(1);
    mean_ = flat.mean(1);
    deviation_ = flat.std(1, false);
    range_ = std::get<0>(flat.max(1)) - std::get<0>(flat.min(1));
    if (!(deviation_.max().item<float>() > 0)) throw std::runtime_error("all series are constant");
    wraps_ = periodic_axes(a.values, extents_);
  }

  struct Windows {
    torch::Tensor seen, frame, bin;  // [B, history, n, n] decoded, [B, 1, w, w], [B, 1, 1, 1]; in deviations
  };

  // Windows of series first ... end - 1, at bounds of `relative` times a series' range, or drawn where that
  // is 0.
  Windows windows(int64_t first, int64_t end, double relative, int64_t window) {
    const int64_t halo = net_->shape.halo();
    const auto pick = [](int64_t n) { return torch::randint(n, {1}).item<int64_t>(); };
    std::vector<torch::Tensor> all;
    std::vector<float> bins;
    while (static_cast<int64_t>(all.size()) < kWindows) {
      const int64_t i = first + pick(end - first);
      const double deviation = deviation_[i].item<double>();
      const int64_t time = pick(frames_ - o_.history);
      auto x = x_[i].narrow(0, time, o_.history + 1);
      const bool blank = !(deviation > 0);
      x = (x - mean_[i]) / (blank ? 1 : deviation);
      for (size_t axis = 0; axis < 2; ++axis) {
        const int64_t n = extents_[axis],
                      at = wraps_[axis] ? pick(n) : pick(std::max<int64_t>(1, n - window + 1));
        x = x.index_select(1 + static_cast<int64_t>(axis),
                           torch::tensor(points_along(n, wraps_[axis], at - halo, window + 2 * halo)));
      }
      const double bound = relative > 0 ? relative : drawn_bound();
      all.push_back(x);
      bins.push_back(static_cast<float>(blank ? 1 : 2 * bound * range_[i].item<double>() / deviation));
    }
    const auto x = torch::stack(all), bin = torch::tensor(bins).view({-1, 1, 1, 1});
    const auto before = x.narrow(1, 0, o_.history);
    return {before + (torch::rand_like(before) - 0.5) * bin, inner(x.narrow(1, o_.history, 1)), bin};
  }

  int64_t window() const {
    return std::min(kWindow, (std::min(extents_[0], extents_[1]) + kStep - 1) / kStep * kStep);
  }
  torch::Tensor inner(const torch::Tensor& x) const {
    const int64_t halo = net_->shape.halo();
    return x.narrow(2, halo, x.size(2) - 2 * halo).narrow(3, halo, x.size(3) - 2 * halo);
  }

  double drawn_bound() const {
    const double low = o_.bound > 0 ? o_.bound / kAround : kTightest,
                 high = o_.bound > 0 ? o_.bound * kAround : kLoosest;
    return low * std::pow(high / low, torch::rand({1}).item<double>());
  }
  std::vector<double> bounds() const {
    if (o_.bound > 0) return {o_.bound * kAround, o_.bound, o_.bound / kAround};
    return {3e-2, 1e-2, 3e-3};
  }

  static torch::Tensor cost(const Windows& w, const torch::Tensor& base) {
    return corrections_cost((w.frame - base) / w.bin, 2, true);
  }

  torch::Tensor loss(bool quantise) {
    const Windows w = windows(0, train_, 0, window());
    return cost(w, net_->forward(w.seen, quantise));
  }

  double validate(bool quantise) {
    double sum = 0;
    for (const double b : bounds()) sum += row(b, quantise, kValidation).with;
    return sum / static_cast<double>(bounds().size());
  }

  // Estimated bits for each value of series kept apart.
  struct Row {
    double none = 0, before = 0, with = 0;
  };
  Row row(double bound, bool quantise, int64_t count) {
    torch::manual_seed(o_.seed + 99);
    Row r;
    for (int64_t k = 0; k < count; ++k) {
      const Windows w = windows(train_, samples_, bound, window());
      const auto add = [&](double& sum, const torch::Tensor& base) {
        sum += cost(w, base).item<double>() / static_cast<double>(count);
      };
      add(r.none, torch::zeros_like(w.frame));
      add(r.before, inner(w.seen.narrow(1, o_.history - 1, 1)));
      add(r.with, net_->forward(w.seen, quantise));
    }
    return r;
  }

  // The tile that covers such frames with the least work.
  int64_t tile() const {
    const int64_t halo = net_->shape.halo();
    int64_t best = kStep;
    double least = 1e300;
    for (int64_t t = kStep; t <= kLargestTile; t += kStep) {
      double work = 1;
      for (const int64_t n : extents_)
        work *= static_cast<double>((n + t - 1) / t) * static_cast<double>(t + halo);
      if (work < least) least = work, best = t;
    }
    return best;
  }

  void finish(const Progress& progress) {
    const torch::NoGradGuard no_grad;
    const WeightsWriter w = frames_weights(*net_, tile(), wraps_[0] && wraps_[1], o_.name);
    std::ostringstream out;
    out << "Bits for each value as the training estimates them, of frames predicted from decoded ones; "
           "bounds "
           "relative to the\nrange of a series.\n\n"
        << "| bound | without | from the frame before | with the network | in integers "
           "|\n|---|---|---|---|---|\n";
    for (const double b : bounds()) {
      const Row r = row(b, false, kReported);
      out << "| " << b << " | " << r.none << " | " << r.before << " | " << r.with << " | " << integers(w, b)
          << " % more |\n";
    }
    finish_training(o_, w, {"predict"}, progress, out.str());
  }

  // What the integer program costs more than the float network whose weights are not rounded, in percent.
  double integers(const WeightsWriter& writer, double bound) {
    const Bytes bytes = writer.bytes();
    const WeightsFile file(bytes, sha256(bytes), o_.out);
    const Program predict = file.program("predict");
    torch::manual_seed(o_.seed + 98);
    double whole = 0, real = 0;
    for (int64_t k = 0; k < kReported; ++k) {
      const Windows w = windows(train_, samples_, bound, tile());
      const auto rounded = (w.seen * static_cast<double>(kFramePoint)).round().clamp(-32767, 32767);
      std::vector<Batch> batch(1);
      for (const double v : to_doubles(rounded.movedim(1, -1).contiguous()))
        batch[0].push_back(static_cast<int32_t>(v));
      const Batch y = h5neural::run(predict, batch, static_cast<size_t>(w.seen.size(0)))[0];
      const auto made = torch::tensor(std::vector<float>(y.begin(), y.end())).view(w.frame.sizes()) /
                        static_cast<double>(kFramePoint);
      whole += cost(w, made).item<double>();
      real += cost(w, net_->forward(w.seen, false)).item<double>();
    }
    return 100 * (whole / real - 1);
  }

  const Options& o_;
  ArrayFile file_;
  torch::Tensor x_, mean_, deviation_, range_;
  std::array<int64_t, 2> extents_{};
  std::array<bool, 2> wraps_{};
  std::shared_ptr<FramesNet> net_;
  int64_t samples_ = 0, train_ = 0, frames_ = 0;
};

}  // namespace

void train_frames(const Options& options) { FramesTraining(options).run(); }

}  // namespace h5neural::learn

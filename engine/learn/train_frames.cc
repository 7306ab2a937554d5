// train_frames.cc: trains and exports family frames: a network that predicts a frame from the decoded ones
// before it, and where it is asked for another that predicts it from one on each side. The loss is an
// estimate of what the corrections pay for what is lacking, in bits for each value, at bounds drawn from a
// range; the frames that a network sees carry the errors that such a bound leaves.
#include <sstream>

#include "exact/backend.h"
#include "learn/corrections_cost.h"
#include "learn/finish.h"
#include "learn/frames_export.h"
#include "learn/frames_samples.h"
#include "learn/loop.h"
#include "learn/nets.h"
#include "learn/train.h"
#include "weights/weights_file.h"

namespace h5neural::learn {
namespace {

using Part = FramesSamples::Part;

constexpr int64_t kValidation = 2, kReported = 6;  // steps' worth of windows
constexpr double kFloats = 0.75;                   // of a network's time, before its weights are rounded

FramesShape shape_of(const Options& o, bool between) {
  FramesShape s;
  s.between = between;
  s.history = between ? 2 : o.history;
  const auto wide = [&](int64_t n) {
    return std::max<int64_t>(4, std::lround(static_cast<double>(n) * o.width));
  };
  if (o.levels == 1) s.levels = {{wide(32), 3, 0}};
  if (o.levels == 2) s.levels = {{wide(32), 1, 1}, {wide(48), 2, 0}};
  if (o.levels == 3) s.levels = {{wide(32), 1, 1}, {wide(48), 1, 1}, {wide(48), 2, 0}};
  return s;
}

// The networks of a file, one state of training.
struct FramesNets : torch::nn::Module {
  explicit FramesNets(const Options& o) {
    predict = register_module("predict", std::make_shared<FramesNet>(shape_of(o, false)));
    if (o.order == "both")
      between = register_module("between", std::make_shared<FramesNet>(shape_of(o, true)));
  }
  std::shared_ptr<FramesNet> predict, between;
};

torch::Tensor cost(const FrameWindows& w, const torch::Tensor& base) {
  return corrections_cost((w.frame - base) / w.bin, 2, true);
}

class FramesTraining {
 public:
  explicit FramesTraining(const Options& o) : o_(o), samples_(o) {
    torch::manual_seed(o.seed);
    nets_ = std::make_shared<FramesNets>(o);
  }

  // One network after the other, each in its share of the time.
  void run() {
    std::vector<Stage> stages;
    const auto add = [&](const FramesNet& net, const char* floats, const char* integers, double begin,
                         double end) {
      for (const bool rounded : {false, true})
        stages.push_back({rounded ? integers : floats, rounded ? end : begin + kFloats * (end - begin),
                          rounded ? 0.3 : 1, [this, &net, rounded] { return loss(net, rounded); },
                          [this, &net, rounded] { return validate(net, rounded); }});
    };
    const double first = nets_->between ? 0.5 : 1;
    add(*nets_->predict, "floats", "integers", 0, first);
    if (nets_->between) add(*nets_->between, "between, floats", "between, integers", first, 1);
    Loop loop(*nets_, o_, std::move(stages));
    finish(loop.run());
  }

 private:
  static FrameSight sight(const FramesNet& net, int64_t window, double bound) {
    return {net.shape.between, net.shape.history, net.shape.halo(), window, bound};
  }

  torch::Tensor loss(const FramesNet& net, bool quantise) const {
    const FrameWindows w = samples_.draw(Part::kLearn, sight(net, samples_.window(), 0));
    return cost(w, net.forward(w.seen, quantise));
  }

  double validate(const FramesNet& net, bool quantise) const {
    double sum = 0;
    for (const double b : samples_.bounds()) sum += row(net, b, quantise, kValidation).with;
    return sum / static_cast<double>(samples_.bounds().size());
  }

  // Estimated bits for each value of series kept apart.
  struct Row {
    double none = 0, start = 0, with = 0;
  };
  Row row(const FramesNet& net, double bound, bool quantise, int64_t count) const {
    torch::manual_seed(o_.seed + 99);
    Row r;
    for (int64_t k = 0; k < count; ++k) {
      const FrameWindows w = samples_.draw(Part::kKept, sight(net, samples_.window(), bound));
      const auto add = [&](double& sum, const torch::Tensor& base) {
        sum += cost(w, base).item<double>() / static_cast<double>(count);
      };
      const int64_t halo = net.shape.halo(), n = w.frame.size(2), last = w.seen.size(1) - 1;
      const auto seen = w.seen.narrow(2, halo, n).narrow(3, halo, n);
      add(r.none, torch::zeros_like(w.frame));
      add(r.start, net.shape.between ? seen.mean(1, true) : seen.narrow(1, last, 1));
      add(r.with, net.forward(w.seen, quantise));
    }
    return r;
  }

  void finish(const Progress& progress) const {
    const torch::NoGradGuard no_grad;
    const WeightsWriter w =
        frames_weights(*nets_->predict, nets_->between.get(), samples_.tile(nets_->predict->shape.halo()),
                       samples_.periodic(), o_.name);
    std::ostringstream out;
    out << "Bits for each value as the training estimates them; bounds relative to the range of a series.\n\n"
        << "Frames predicted from decoded ones before them:\n\n";
    table(out, w, "predict", *nets_->predict);
    if (!nets_->between) return finish_training(o_, w, {"predict"}, progress, out.str());
    out << "\nFrames predicted from a decoded one on each side, as far away as in a series coded level by "
           "level:\n\n";
    table(out, w, "between", *nets_->between);
    out << "\nA frame is predicted by one of the two programs, with half of the multiply-accumulates "
           "above.\n";
    finish_training(o_, w, {"predict", "between"}, progress, out.str());
  }

  void table(std::ostringstream& out, const WeightsWriter& w, const char* program,
             const FramesNet& net) const {
    out << "| bound | without | " << (net.shape.between ? "from the mean of both" : "from the frame before")
        << " | with the network | in integers |\n|---|---|---|---|---|\n";
    for (const double b : samples_.bounds()) {
      const Row r = row(net, b, false, kReported);
      out << "| " << b << " | " << r.none << " | " << r.start << " | " << r.with << " | "
          << integers(w, program, net, b) << " % more |\n";
    }
  }

  // What the integer program costs more than the float network whose weights are not rounded, in percent.
  double integers(const WeightsWriter& writer, const char* name, const FramesNet& net, double bound) const {
    const Bytes bytes = writer.bytes();
    const WeightsFile file(bytes, sha256(bytes), o_.out);
    const Program program = file.program(name);
    const int64_t tile = samples_.tile(net.shape.halo());
    torch::manual_seed(o_.seed + 98);
    double whole = 0, real = 0;
    for (int64_t k = 0; k < kReported; ++k) {
      const FrameWindows w = samples_.draw(Part::kKept, sight(net, tile, bound));
      const auto rounded = (w.seen * static_cast<double>(kFramePoint)).round().clamp(-32767, 32767);
      std::vector<Batch> batch(1);
      for (const double v : to_doubles(rounded.movedim(1, -1).contiguous()))
        batch[0].push_back(static_cast<int32_t>(v));
      const Batch y = h5neural::run(program, batch, static_cast<size_t>(w.seen.size(0)))[0];
      const auto made = torch::tensor(std::vector<float>(y.begin(), y.end())).view(w.frame.sizes()) /
                        static_cast<double>(kFramePoint);
      whole += cost(w, made).item<double>();
      real += cost(w, net.forward(w.seen, false)).item<double>();
    }
    return 100 * (whole / real - 1);
  }

  const Options& o_;
  FramesSamples samples_;
  std::shared_ptr<FramesNets> nets_;
};

}  // namespace

void train_frames(const Options& options) { FramesTraining(options).run(); }

}  // namespace h5neural::learn

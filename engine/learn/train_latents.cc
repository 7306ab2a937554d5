// train_latents.cc: trains and exports families vae, contextual, dcae and diffusion. The loss is an estimate
// of the payload in bits for each value: of the latents and hyper-latents (uniform noise in place of
// rounding, Balle, Laparra and Simoncelli, 2017; rounding at the end) and of what the corrections still need,
// for bins drawn from those of kLatentGains gains. Groups that are generated are learned last, on latents
// that stay. Where asked for, an adversarial loss joins in the last part.
#include <cmath>
#include <sstream>

#include "exact/backend.h"
#include "learn/borders.h"
#include "learn/corrections_cost.h"
#include "learn/discriminator.h"
#include "learn/finish.h"
#include "learn/latent_export.h"
#include "learn/latent_samples.h"
#include "learn/loop.h"
#include "learn/nets.h"
#include "learn/train.h"
#include "weights/weights_file.h"

namespace h5neural::learn {
namespace {

// Windows of a step: one of frames that are coded one by one, which take longer.
constexpr int64_t kWindows = 2, kWindowsOfFrames = 1, kFewFrames = 4;
// Points of each along its axes.
constexpr int64_t kWindow = 64, kFewestCells = 4;
constexpr int64_t kTimes = 8;  // frames of a window, about; and what the corrections' cost is cut to
constexpr int64_t kValidation = 2, kReported = 4;  // steps' worth of windows
constexpr int64_t kValidated[] = {1, 3, 5};        // gains
constexpr int64_t kLargestTile = 128;              // points along each axis of a tile of the file
constexpr int64_t kReach = 8;                      // points that blocks are displaced by, at most
constexpr double kFinestBin = 0.06;  // of the first gain, in deviations; each next one is twice it
constexpr double kAround = 3;        // the same about a bound that was asked for, as a factor
constexpr double kDeadZone = 0.08;   // as the engine's encoder rounds

LatentShape shape_of(const Options& o) {
  LatentShape s;
  s.window = o.window;
  s.stages = o.stages;
  s.channels = o.channels;
  s.hyper = o.hyper;
  s.width = o.width;
  s.saturated = o.model == "dcae";
  s.memory = o.memory;
  s.motion = o.motion;
  if (o.model == "diffusion") {
    s.every = o.every;
    s.samples = o.steps;
  }
  return s;
}

class LatentTraining {
 public:
  explicit LatentTraining(const Options& o)
      : o_(o),
        device_(device_of(o)),
        samples_(o),
        shape_(shape_of(o)),
        batch_(shape_.window < kFewFrames ? kWindowsOfFrames : kWindows) {
    torch::manual_seed(o.seed);
    net_ = std::make_shared<LatentNet>(shape_, bins());
    sampler_ = sampler_steps(shape_.samples, o.noise, LatentShape::kLevelChannels);
    net_->start_from(cells());
    if (o.adversarial > 0) {
      discriminator_ = std::make_shared<Discriminator>(shape_.window + (shape_.motion > 0 ? 1 : 0));
      net_->register_module("discriminator", discriminator_);  // for checkpoints; it has a loss of its own
    }
    net_->to(device_);
    std::fprintf(
        stderr,
        "%ld series of %ld frames to learn from, %ld kept apart; %s; bins from %.3g to %.3g deviations\n",
        static_cast<long>(samples_.train()), static_cast<long>(samples_.frames()),
        static_cast<long>(samples_.series() - samples_.train()), said(samples_.periodic()).c_str(),
        net_->bins.front(), net_->bins.back());
  }

  void run() {
    using Loss = torch::Tensor (LatentTraining::*)(bool);
    using Judge = double (LatentTraining::*)(bool);
    const auto stage = [this](const char* name, double until, double rate, bool quantise,
                              Loss learn = &LatentTraining::loss, Judge judge = &LatentTraining::validate) {
      return Stage{name,
                   until,
                   rate,
                   [=, this] { return (this->*learn)(quantise); },
                   [=, this] { return (this->*judge)(quantise); },
                   quantise};
    };
    const auto generated = [&](const char* name, double until, double rate, bool quantise) {
      return stage(name, until, rate, quantise, &LatentTraining::generator_loss,
                   &LatentTraining::validate_generated);
    };
    const auto adversarial = [&](const char* name, double until, double rate, bool quantise) {
      Stage s = stage(name, until, rate, quantise, &LatentTraining::adversarial_loss);
      s.rounded = s.to_its_end = true;
      return s;
    };
    std::vector<Stage> stages;
    if (o_.adversarial > 0) {
      stages = {stage("floats", 0.5, 1, false), adversarial("adversarial", 0.75, 0.5, false),
                adversarial("adversarial, integers", 1, 0.3, true)};
    } else if (shape_.every == 1) {
      stages = {stage("floats", 0.75, 1, false), stage("integers", 1, 0.3, true)};
    } else {
      stages = {stage("floats", 0.4, 1, false), stage("integers", 0.5, 0.3, true),
                generated("generator", 0.9, 1, false), generated("generator, integers", 1, 0.3, true)};
    }
    Loop loop(*net_, o_, std::move(stages));
    finish(loop.run());
  }

 private:
  std::vector<double> bins() const {
    std::vector<double> b;
    const double middle = 2 * o_.bound * samples_.mean_range();
    for (int64_t g = 0; g < kLatentGains; ++g) {
      const double share = static_cast<double>(g) / (kLatentGains - 1);
      b.push_back(o_.bound > 0 ? middle * std::pow(kAround, 2 * share - 1)
                               : std::ldexp(kFinestBin, static_cast<int>(g)));
    }
    return b;
  }
  double bin(int64_t gain) const { return net_->bins[static_cast<size_t>(gain)]; }

  // ---- windows

  // At least two where a group sees what was before it.
  int64_t groups() const {
    const int64_t fewest = shape_.memory > 0 || shape_.motion > 0 ? 2 : 1;
    const int64_t wanted = std::max(fewest, kTimes / shape_.window);
    return std::max<int64_t>(1, std::min(wanted, samples_.frames() / shape_.window));
  }
  // Whole spans from one group with latents to the next.
  int64_t groups_of_spans() const {
    const int64_t spans = (kTimes / shape_.window + shape_.every - 2) / shape_.every;
    return std::max<int64_t>(1, spans) * shape_.every + 1;
  }
  // Points of a window: whole cells of hyper-latents, and a multiple of 8 for the cost.
  int64_t window() const {
    const int64_t unit = std::max<int64_t>(8, shape_.step() * std::max<int64_t>(1, shape_.hyper));
    const int64_t shortest = std::min(samples_.rows(), samples_.columns());
    const int64_t wanted = std::min(std::max(kWindow, kFewestCells * shape_.step()), shortest);
    return (wanted + unit - 1) / unit * unit;
  }
  int64_t margin() const { return LatentShape::kEncoderHalo * shape_.step(); }
  // [batch_, groups * window, points + 2 margin...]
  torch::Tensor windows(int64_t first, int64_t end, int64_t groups, int64_t points) const {
    return samples_.windows(batch_, first, end, groups * shape_.window, points, margin()).to(device_);
  }
  torch::Tensor learned(int64_t groups) const { return windows(0, samples_.train(), groups, window()); }
  torch::Tensor kept_apart(int64_t groups) const {
    return windows(samples_.train(), samples_.series(), groups, window());
  }
  torch::Tensor inner(const torch::Tensor& x) const { return without_margin(x, margin()); }

  // Cells of random windows [N, window * step^2]; where a frame is seen, less that frame.
  torch::Tensor cells() {
    std::vector<torch::Tensor> all;
    const int64_t s = shape_.step(), w = shape_.window, k = window() / s;
    for (int64_t n = 0; n < 16; ++n) {
      auto x = inner(samples_.windows(batch_, 0, samples_.train(), 2 * w, window(), margin()));
      x = shape_.motion > 0 ? x.narrow(1, w, w) - x.narrow(1, w - 1, 1) : x.narrow(1, 0, w);
      all.push_back(x.reshape({-1, w, k, s, k, s}).permute({0, 2, 4, 1, 3, 5}).reshape({-1, w * s * s}));
    }
    return torch::cat(all);
  }

  // ---- cost

  struct Bits {  // for each value
    torch::Tensor latents, hyper, corrections;
    torch::Tensor all() const { return latents + hyper + corrections; }
  };

  // What the corrections pay for `rest` [B, frames, Y, X], over all axes where there are frames enough.
  static torch::Tensor corrections(const torch::Tensor& rest, double bin) {
    const int64_t whole = rest.size(1) / kTimes * kTimes;
    if (whole == 0) return corrections_cost(rest.flatten(0, 1).unsqueeze(1) / bin, 2, true, true);
    return corrections_cost(rest.narrow(1, 0, whole).unsqueeze(1) / bin, 3, true, true);
  }

  torch::Tensor in_steps(const torch::Tensor& v, bool quantise) const {
    return quantise ? round_to(v, 1) : v + torch::rand_like(v) - 0.5;
  }

  struct Coded {
    torch::Tensor latents, bits, hyper_bits;
    torch::Tensor frames, seen;  // of all groups, where asked for, and what each of them saw, where it does
  };
  // One group of each of B series: what it becomes, and its bits in all.
  Coded code(const torch::Tensor& x, const LatentNet::Known& before, int64_t gain, bool quantise) const {
    LatentNet::Known known = before;
    const auto seen = known.seen.defined() ? with_mirrored_margin(known.seen, margin()) : known.seen;
    const auto z = net_->encode(x, seen, quantise);
    Coded c;
    c.hyper_bits = torch::zeros({}, x.options());
    if (shape_.hyper > 0) {
      known.hyper = in_steps(net_->hyper_encode(z, quantise), quantise).clamp(-kHyperMost, kHyperMost);
      const auto spread = net_->hyper_spread(quantise).view({1, -1, 1, 1});
      c.hyper_bits = LatentNet::bits(known.hyper, spread, 1.0 / static_cast<double>(kHyperStep),
                                     torch::ones({}, x.options()))
                         .sum();
    }
    if (shape_.memory > 0) known.memory = remembered(z, gain, quantise);
    const auto expected = net_->prior(known, quantise);
    const auto step = net_->steps(gain, quantise);
    const auto v = in_steps((z - expected.mean) / step, quantise);
    c.bits = LatentNet::bits(v, expected.spread, shape_.latent_unit(), step).sum();
    c.latents = (expected.mean + v * step).clamp(-shape_.latent_limit(), shape_.latent_limit());
    return c;
  }

  // Decoded latents of the groups before each, z [B * groups, C, K...] -> [B * groups, memory * C, K...].
  // Their errors are drawn: which they are does not matter here.
  torch::Tensor remembered(const torch::Tensor& z, int64_t gain, bool quantise) const {
    const auto noisy = z + (torch::rand_like(z) - 0.5) * net_->steps(gain, quantise);
    const auto y = noisy.unflatten(0, std::vector<int64_t>{batch_, z.size(0) / batch_});
    std::vector<torch::Tensor> before;
    for (int64_t m = 1; m <= shape_.memory; ++m) {
      const int64_t n = y.size(1), back = std::min(m, n);
      const auto none = torch::zeros_like(y.narrow(1, 0, back));
      before.push_back(back == n ? none : torch::cat({none, y.narrow(1, 0, n - back)}, 1));
    }
    return torch::cat(before, 2).flatten(0, 1);
  }

  torch::Tensor as_groups(const torch::Tensor& x) const {  // [B, groups * W, ...] -> [B * groups, W, ...]
    return x.unflatten(1, std::vector<int64_t>{-1, shape_.window}).flatten(0, 1);
  }
  torch::Tensor as_series(const torch::Tensor& y) const {
    return y.unflatten(0, std::vector<int64_t>{batch_, y.size(0) / batch_}).flatten(1, 2);
  }

  Coded code_all(const torch::Tensor& x, int64_t gain, bool quantise) const {
    if (shape_.motion == 0) {
      Coded c = code(as_groups(x), {}, gain, quantise);
      c.frames = as_series(net_->decode(c.latents, {}, quantise));
      return c;
    }
    Coded sum;
    std::vector<torch::Tensor> frames, all_seen;
    const auto target = inner(x);
    auto seen = torch::zeros_like(target.narrow(1, 0, 1));
    for (int64_t at = 0; at < x.size(1); at += shape_.window) {
      LatentNet::Known known;
      if (at > 0)
        seen = displaced(frames.back().narrow(1, shape_.window - 1, 1).detach(), target.narrow(1, at, 1),
                         shape_.motion, kReach);
      known.seen = seen;
      all_seen.push_back(seen);
      Coded c = code(x.narrow(1, at, shape_.window), known, gain, quantise);
      frames.push_back(net_->decode(c.latents, seen, quantise));
      sum.bits = at == 0 ? c.bits : sum.bits + c.bits;
      sum.hyper_bits = at == 0 ? c.hyper_bits : sum.hyper_bits + c.hyper_bits;
    }
    sum.frames = torch::cat(frames, 1);
    sum.seen = torch::cat(all_seen, 1);
    return sum;
  }

  Bits bits(const torch::Tensor& x, int64_t gain, double bin, bool quantise) const {
    return bits_of(code_all(x, gain, quantise), inner(x), bin);
  }
  static Bits bits_of(const Coded& c, const torch::Tensor& target, double bin) {
    const auto values = static_cast<double>(target.numel());
    return {c.bits / values, c.hyper_bits / values, corrections(target - c.frames, bin)};
  }

  // Of a gain, at random, about its own.
  double bin_about(int64_t gain) const {
    return bin(gain) * std::pow(bin(1) / bin(0), torch::rand({1}).item<double>() - 0.5);
  }

  torch::Tensor loss(bool quantise) {
    const int64_t gain = torch::randint(kLatentGains, {1}).item<int64_t>();
    const auto x = learned(groups());
    return bits(x, gain, bin_about(gain), quantise).all();
  }

  // The discriminator takes its step, then what it makes of the decoded groups joins the bits.
  torch::Tensor adversarial_loss(bool quantise) {
    const int64_t gain = torch::randint(kLatentGains, {1}).item<int64_t>();
    const auto x = learned(groups()), target = inner(x);
    const Coded c = code_all(x, gain, quantise);
    // Groups as [B * groups, window, Y, X], the frame that each saw beside them.
    const auto shown = [&](const torch::Tensor& frames) {
      const auto g = as_groups(frames);
      return c.seen.defined() ? torch::cat({g, c.seen.flatten(0, 1).unsqueeze(1)}, 1) : g;
    };
    const auto made = shown(c.frames);
    discriminator_->learn(shown(target), made);
    return bits_of(c, target, bin_about(gain)).all() + o_.adversarial * discriminator_->loss(made);
  }

  double validate(bool quantise) {
    double sum = 0;
    for (const int64_t g : kValidated)
      sum += row(g, quantise, kValidation, false).total() / std::size(kValidated);
    return sum;
  }

  // ---- groups that are generated

  struct Spans {
    torch::Tensor ends, between,
        latents;  // [B * spans, 2 C, ...], [B * spans, (every - 1) C, ...], [B, groups, C, ...]
    torch::Tensor bits, hyper_bits;  // of the groups that have latents
  };
  // Latents of the windows x, those at the ends of spans as they are decoded.
  Spans spans(const torch::Tensor& x, int64_t gain, bool quantise) const {
    const torch::NoGradGuard no_grad;
    const int64_t all = x.size(1) / shape_.window, n = shape_.every;
    const auto groups = as_groups(x).unflatten(0, std::vector<int64_t>{batch_, all});
    const auto keys = groups.slice(1, 0, c10::nullopt, n);
    const Coded coded = code(keys.flatten(0, 1), {}, gain, quantise);
    Spans s;
    s.bits = coded.bits;
    s.hyper_bits = coded.hyper_bits;
    const auto key = coded.latents.unflatten(0, std::vector<int64_t>{batch_, keys.size(1)});
    s.latents =
        net_->encode(as_groups(x), {}, quantise).unflatten(0, std::vector<int64_t>{batch_, all}).clone();
    for (int64_t k = 0; k < keys.size(1); ++k) s.latents.select(1, k * n).copy_(key.select(1, k));
    const int64_t count = keys.size(1) - 1;
    s.ends = torch::cat({key.narrow(1, 0, count), key.narrow(1, 1, count)}, 2).flatten(0, 1);
    const auto spaced = s.latents.narrow(1, 0, count * n).unflatten(1, std::vector<int64_t>{count, n});
    s.between = spaced.narrow(2, 1, n - 1).flatten(0, 1).flatten(1, 2);
    return s;
  }

  torch::Tensor level(size_t k) const {
    const auto& v = sampler_[k].level;
    return torch::tensor(std::vector<float>(v.begin(), v.end())).to(device_);
  }

  // The frames of all groups, those between made from `made` [B * spans, (every - 1) C, ...].
  torch::Tensor frames_of(const Spans& s, const torch::Tensor& made, bool quantise) const {
    const int64_t n = shape_.every, count = s.latents.size(1) / n;
    const auto inside = made.unflatten(1, std::vector<int64_t>{n - 1, shape_.channels})
                            .unflatten(0, std::vector<int64_t>{batch_, count});
    std::vector<torch::Tensor> all;
    for (int64_t g = 0; g < s.latents.size(1); ++g)
      all.push_back(g % n == 0 ? s.latents.select(1, g) : inside.select(1, g / n).select(1, g % n - 1));
    return as_series(net_->decode(torch::stack(all, 1).flatten(0, 1), {}, quantise));
  }

  torch::Tensor sampled(const Spans& s, bool quantise) {
    auto x = torch::zeros_like(s.between);
    if (shape_.samples > 1) x = torch::randn_like(x) * (sampler_[0].noise * signal());
    for (size_t k = 0; k < sampler_.size(); ++k) {
      const SamplerStep& step = sampler_[k];
      auto next = step.a * x + step.b * net_->generate(x, s.ends, level(k), quantise);
      if (step.c > 0) next = next + step.c * signal() * torch::randn_like(x);
      x = next.clamp(-shape_.latent_limit(), shape_.latent_limit());
    }
    return x;
  }

  // The usual size of latents, which noise is measured by.
  double signal() {
    if (signal_ == 0) {
      const torch::NoGradGuard no_grad;
      const auto x =
          samples_.windows(batch_, 0, samples_.train(), groups() * shape_.window, window(), margin());
      signal_ = net_->encode(as_groups(x.to(device_)), {}, true).square().mean().sqrt().item<double>();
    }
    return signal_;
  }

  // The latents' own networks stay as they are.
  void learn_generator_alone() {
    for (auto& p : net_->named_parameters()) {
      const bool generator = p.key().front() == 'g';
      p.value().set_requires_grad(generator);
      if (!generator) p.value().mutable_grad().reset();
    }
  }

  torch::Tensor generator_loss(bool quantise) {
    learn_generator_alone();
    const int64_t gain = torch::randint(kLatentGains, {1}).item<int64_t>();
    const auto x = learned(groups_of_spans());
    const Spans s = spans(x, gain, quantise);
    if (shape_.samples == 1) {
      const auto made = net_->generate(s.between, s.ends, level(0), quantise);
      return corrections(inner(x) - frames_of(s, made, quantise), bin(gain));
    }
    const auto k = static_cast<size_t>(torch::randint(shape_.samples, {1}).item<int64_t>());
    const auto noisy =
        sampler_[k].signal * s.between + sampler_[k].noise * signal() * torch::randn_like(s.between);
    return (net_->generate(noisy, s.ends, level(k), quantise) - s.between).square().mean() /
           (signal() * signal());
  }

  double validate_generated(bool quantise) {
    double sum = 0;
    for (const int64_t g : kValidated)
      sum += row(g, quantise, kValidation, true).total() / std::size(kValidated);
    return sum;
  }

  Bits generated_bits(const torch::Tensor& x, int64_t gain, bool quantise) {
    const Spans s = spans(x, gain, quantise);
    const auto target = inner(x);
    const auto values = static_cast<double>(target.numel());
    return {s.bits / values, s.hyper_bits / values,
            corrections(target - frames_of(s, sampled(s, quantise), quantise), bin(gain))};
  }

  // ---- results

  struct Row {  // estimated bits for each value of series kept apart
    double latents = 0, hyper = 0, with = 0, without = 0;
    double total() const { return latents + hyper + with; }
  };
  Row row(int64_t gain, bool quantise, int64_t count, bool generated) {
    torch::manual_seed(o_.seed + 99);
    Row r;
    const auto parts = static_cast<double>(count);
    for (int64_t k = 0; k < count; ++k) {
      const auto x = kept_apart(generated ? groups_of_spans() : groups());
      const Bits b = generated ? generated_bits(x, gain, quantise) : bits(x, gain, bin(gain), quantise);
      r.latents += b.latents.item<double>() / parts;
      r.hyper += b.hyper.item<double>() / parts;
      r.with += b.corrections.item<double>() / parts;
      r.without += corrections(inner(x), bin(gain)).item<double>() / parts;
    }
    return r;
  }

  // The tile that covers such frames with the least work.
  int64_t tile() const {
    const int64_t unit = std::max<int64_t>(1, shape_.hyper),
                  most = std::max(unit, kLargestTile / shape_.step());
    int64_t best = unit;
    double least = 1e300;
    for (int64_t t = unit; t <= most; t += unit) {
      double work = 1;
      for (const int64_t n : {samples_.rows(), samples_.columns()}) {
        const int64_t cells = (n + shape_.step() - 1) / shape_.step();
        work *= static_cast<double>((cells + t - 1) / t) * static_cast<double>(t + shape_.decoder_halo());
      }
      if (work < least) least = work, best = t;
    }
    return best;
  }

  void finish(const Progress& progress) {
    const torch::NoGradGuard no_grad;
    LatentFile file{o_.model, o_.name, tile(), {}, 1};
    if (shape_.every > 1) {
      file.sampler = sampler_;
      file.signal = signal();
    }
    const WeightsWriter w = latent_weights(*net_, file);
    std::ostringstream out;
    out << "Bits for each value as the training estimates them, by the bin (two bounds) in deviations of the "
           "field. Frames are "
        << said(samples_.periodic()) << ".\n\n"
        << said_adversarial()
        << "| bin | latents | hyper-latents | corrections | in all | without latents | pays | in integers "
           "|\n|---|---|---|---|---|---|---|---|\n";
    for (int64_t g = 0; g < kLatentGains; ++g) {
      const Row r = row(g, true, kReported, shape_.every > 1);
      out << "| " << bin(g) << " | " << r.latents << " | " << r.hyper << " | " << r.with << " | " << r.total()
          << " | " << r.without << " | " << (r.total() < r.without ? "yes" : "no") << " | "
          << integers(w, file.tile, g) << " % more |\n";
    }
    finish_training(o_, w, {"decode", "prior"}, progress, out.str() + work(w, file.tile));
  }

  std::string said_adversarial() const {
    if (o_.adversarial == 0) return "";
    std::ostringstream out;
    out << "In the second half of the training an adversarial loss of weight " << o_.adversarial
        << " was added to the bits: frames that look right, not frames that cost least.\n\n";
    return out.str();
  }

  std::string work(const WeightsWriter& writer, int64_t tile) const {
    const Bytes bytes = writer.bytes();
    const WeightsFile file(bytes, sha256(bytes), o_.out);
    const auto values = static_cast<double>(shape_.window * tile * tile * shape_.step() * shape_.step());
    std::ostringstream out;
    out << "\nMultiply-accumulates for each value, tiles of " << tile << " cells:";
    const auto say = [&](const char* name, double share) {
      out << " " << name << " " << std::lround(static_cast<double>(file.program(name).macs) * share / values)
          << ",";
    };
    say("decode", 1);
    if (shape_.every > 1)
      say("generate", static_cast<double>(shape_.samples) / static_cast<double>(shape_.every));
    say("encode", 1);
    if (shape_.hyper > 0) say("hyper-encode", 1);
    say("prior", 1);
    std::string text = out.str();
    text.back() = '.';
    return text + "\n";
  }

  // ---- integers

  static std::vector<Batch> batch_of(const std::vector<torch::Tensor>& inputs,
                                     const std::vector<double>& units) {
    std::vector<Batch> batches;
    for (size_t k = 0; k < inputs.size(); ++k) {
      Batch b;
      for (const double v : to_doubles((inputs[k] / units[k]).round().movedim(1, -1).contiguous()))
        b.push_back(static_cast<int32_t>(v));
      batches.push_back(std::move(b));
    }
    return batches;
  }
  // What a program makes of the inputs, [B, C, ...].
  torch::Tensor made_by(const Program& p, const std::vector<Batch>& inputs, int64_t n) const {
    const Batch y = h5neural::run(p, inputs, batch_)[0];
    return torch::tensor(std::vector<float>(y.begin(), y.end()))
        .view({batch_, n, n, -1})
        .movedim(-1, 1)
        .to(device_);
  }

  // What the programs cost more than the float network whose weights are not rounded, in percent.
  double integers(const WeightsWriter& writer, int64_t tile, int64_t gain) {
    const Bytes bytes = writer.bytes();
    const WeightsFile file(bytes, sha256(bytes), o_.out);
    torch::manual_seed(o_.seed + 98);
    double whole = 0, real = 0;
    for (int64_t k = 0; k < kReported; ++k) {
      const auto [w, r] = integers_and_floats(file, tile, gain);
      whole += w;
      real += r;
    }
    return 100 * (whole / real - 1);
  }

  // Bits for each value of the second group of a series by the programs, and by the float network: encoder,
  // prior and decoder. Hyper-latents and what was before are the same.
  std::pair<double, double> integers_and_floats(const WeightsFile& file, int64_t tile, int64_t gain) {
    const int64_t n = tile * shape_.step(), w = shape_.window;
    const auto x = windows(samples_.train(), samples_.series(), 2, n);
    const auto target = inner(x).narrow(1, w, w);
    const double unit = shape_.latent_unit(), limit = kLatentOutUnit * kLatentSeenLimit;
    LatentNet::Known known;
    if (shape_.motion > 0) {
      const auto from = inner(x).narrow(1, w - 1, 1);
      known.seen = round_to(displaced(from, target.narrow(1, 0, 1), shape_.motion, kReach), kLatentOutUnit)
                       .clamp(-limit, limit);
    }
    const auto seen = known.seen.defined() ? with_mirrored_margin(known.seen, margin()) : known.seen;
    const auto frames = x.narrow(1, w, w), z = net_->encode(frames, seen, false);
    if (shape_.hyper > 0) known.hyper = net_->hyper_encode(z, true).round();
    if (shape_.memory > 0) {
      const auto before = round_to(net_->encode(x.narrow(1, 0, w), {}, true), unit);
      known.memory = torch::cat(
          {before, torch::zeros({batch_, (shape_.memory - 1) * shape_.channels, tile, tile}, x.options())},
          1);
    }
    const auto expected = expected_by(file.program("prior"), known, tile);
    const double most = kLatentInUnit * kLatentFrameLimit;
    std::vector<torch::Tensor> in{frames.clamp(-most, most)};
    if (seen.defined()) in.push_back(seen);
    const auto z_whole =
        made_by(file.program("encode"), batch_of(in, {kLatentInUnit, kLatentOutUnit}), tile) * unit;
    const double whole = price(z_whole, expected, gain, target, [&](const torch::Tensor& latents) {
      return made_by_decoder(file.program("decode"), latents, known.seen, tile);
    });
    const double real = price(z, net_->prior(known, false), gain, target, [&](const torch::Tensor& latents) {
      return net_->decode(latents, known.seen, false);
    });
    return {whole, real};
  }

  LatentNet::Expected expected_by(const Program& p, const LatentNet::Known& known, int64_t tile) const {
    std::vector<torch::Tensor> in;
    std::vector<double> units;
    const auto add = [&](const torch::Tensor& x, double unit) { in.push_back(x), units.push_back(unit); };
    const auto padded = [](const torch::Tensor& x, int64_t h) {
      return torch::constant_pad_nd(x, {h, h, h, h});
    };
    if (shape_.hyper > 0)
      add(padded(known.hyper, LatentShape::kHyperHalo), 1.0 / static_cast<double>(kHyperStep));
    if (shape_.memory > 0) add(padded(known.memory, LatentShape::kMemoryHalo), shape_.latent_unit());
    if (shape_.motion > 0)
      add(with_mirrored_margin(known.seen, LatentShape::kSeenHalo * shape_.step()), kLatentOutUnit);
    const auto y = made_by(p, batch_of(in, units), tile);
    return {y.narrow(1, 0, shape_.channels) * shape_.latent_unit(),
            y.narrow(1, shape_.channels, shape_.channels)};
  }

  torch::Tensor made_by_decoder(const Program& p, const torch::Tensor& latents, const torch::Tensor& seen,
                                int64_t tile) const {
    const int64_t h = shape_.decoder_halo();
    std::vector<torch::Tensor> in{torch::constant_pad_nd(latents, {h, h, h, h})};
    if (shape_.motion > 0)
      in.push_back(with_mirrored_margin(seen, shape_.input_margin(shape_.stages) * shape_.step()));
    return made_by(p, batch_of(in, {shape_.latent_unit(), kLatentOutUnit}), tile * shape_.step()) *
           kLatentOutUnit;
  }

  template <class Decode>
  double price(const torch::Tensor& z, const LatentNet::Expected& expected, int64_t gain,
               const torch::Tensor& target, Decode&& decode) const {
    const auto step = net_->steps(gain, true);
    const auto off = (z - expected.mean) / step;
    const auto q = (off.abs() + 0.5 - kDeadZone).floor() * off.sign();
    const double limit = shape_.latent_limit();
    const auto latents = round_to((expected.mean + q * step).clamp(-limit, limit), shape_.latent_unit());
    const auto latent_bits = LatentNet::bits(q, expected.spread, shape_.latent_unit(), step).sum();
    return (latent_bits / target.numel() + corrections(target - decode(latents), bin(gain)))
        .template item<double>();
  }

  const Options& o_;
  torch::Device device_;
  LatentSamples samples_;
  LatentShape shape_;
  int64_t batch_;
  std::vector<SamplerStep> sampler_;
  std::shared_ptr<LatentNet> net_;
  std::shared_ptr<Discriminator> discriminator_;
  double signal_ = 0;
};

}  // namespace

void train_latents(const Options& options) { LatentTraining(options).run(); }

}  // namespace h5neural::learn

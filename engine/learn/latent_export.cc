// latent_export.cc: see latent_export.h.
#include "learn/latent_export.h"

#include <cmath>

#include "learn/conv_program.h"
#include "learn/nets.h"

namespace h5neural::learn {
namespace {

constexpr int64_t kOutputLimit = 1 << 18, kBeforeActivation = 16 * kLatentLimit;
// Where latents saturate: the table goes by this unit, and ends where it hardly changes any more.
constexpr double kTableUnit = 1.0 / 256;
constexpr int64_t kTableLimit = 16 * 256;

// Layers of one program, on activations.
class Layers {
 public:
  Layers(WeightsWriter& w, const LatentNet& net, const std::string& prefix)
      : p(w, prefix), net_(net), latent_(net.shape.latent_unit()) {}

  int latents(int64_t n, int64_t channels) { return p.input(2, n, channels, kLatentLimit); }
  // The frame seen before, with `cells` around a tile.
  int seen(int64_t tile, int64_t cells) {
    return p.input(2, (tile + 2 * cells) * net_.shape.step(), 1, kLatentSeenLimit);
  }

  // Between activations, and from what goes in to the sums before them.
  int activated(int x, const Conv& c) {
    return p.conv(x, c, kLatentGrid, kLatentLimit, kLatentGrid, 0, kLatentLimit);
  }
  int linear(int x, const Conv& c) { return sum(x, c, kLatentGrid, kLatentLimit); }
  int from_latents(int x, const Conv& c) { return sum(x, c, latent_, kLatentLimit); }
  int from_seen(int x, const Conv& c) { return sum(x, c, kLatentOutUnit, kLatentSeenLimit); }
  int from_frames(int x, const Conv& c) { return sum(x, c, kLatentInUnit, kLatentFrameLimit); }
  int activate(int x) { return p.clamp(x, 0, kLatentLimit); }
  // To latents, not limited yet.
  int to_latents(int x, const Conv& c, double unit, int64_t most) {
    return p.conv(x, c, unit, static_cast<double>(most), latent_, -kBeforeActivation, kBeforeActivation);
  }
  int to_points(int x, const Conv& c, double unit, int64_t most) {
    return p.conv(x, c, unit, static_cast<double>(most), kLatentOutUnit, -kOutputLimit, kOutputLimit);
  }
  int limited(int x) { return p.clamp(x, -kLatentLimit, kLatentLimit); }

  ConvProgram p;

 private:
  int sum(int x, const Conv& c, double unit, int64_t most) {
    return p.conv(x, c, unit, static_cast<double>(most), kLatentGrid, -kBeforeActivation, kBeforeActivation);
  }
  const LatentNet& net_;
  double latent_;
};

std::string encoder(WeightsWriter& w, const LatentNet& net, int64_t tile) {
  const LatentShape& s = net.shape;
  Layers l(w, net, "encode.");
  const int64_t n = (tile + 2 * LatentShape::kEncoderHalo) * s.step();
  const int frames = l.p.input(2, n, s.window, kLatentFrameLimit);
  const int seen = s.motion > 0 ? l.seen(tile, LatentShape::kEncoderHalo) : -1;
  int y = -1;
  for (size_t k = 0; k < net.down.size(); ++k) {
    const LatentNet::Down& d = net.down[k];
    y = k == 0 ? l.from_frames(frames, d.in) : l.linear(y, d.in);
    if (k == 0 && s.motion > 0) y = l.p.add(y, l.from_seen(seen, net.stem_seen));
    y = l.activate(y);
    y = l.activate(l.p.add(y, l.linear(l.activated(y, d.first), d.second)));
  }
  y = l.to_latents(y, net.head, kLatentGrid, kLatentLimit);
  int linear = l.limited(l.to_latents(frames, net.analysis, kLatentInUnit, kLatentFrameLimit));
  if (s.motion > 0) {
    linear =
        l.limited(l.p.add(linear, l.to_latents(seen, net.analysis_seen, kLatentOutUnit, kLatentSeenLimit)));
  }
  y = l.p.add(
      y, l.p.crop_wide(linear, tile + 2 * LatentShape::kEncoderHalo, s.channels, LatentShape::kEncoderHalo));
  if (!s.saturated) return l.p.json(l.limited(y));
  // Through a coarser unit, so that a table of some thousand numbers does.
  y = l.p.rescale(y, s.latent_unit() / kTableUnit, -kTableLimit, kTableLimit);
  std::vector<double> table;
  for (int64_t k = -kTableLimit; k <= kTableLimit; ++k) {
    const double v = static_cast<double>(k) * kTableUnit;
    table.push_back(v / std::sqrt(1 + v * v / (kSaturation * kSaturation)) / s.latent_unit());
  }
  return l.p.json(l.p.table(y, table, -kTableLimit));
}

std::string decoder(WeightsWriter& w, const LatentNet& net, int64_t tile) {
  const LatentShape& s = net.shape;
  Layers l(w, net, "decode.");
  const int64_t n = s.stages, cells = s.input_margin(n);
  const int latents = l.latents(tile + 2 * s.decoder_halo(), s.channels);
  const int seen = s.motion > 0 ? l.seen(tile, cells) : -1;
  const auto look_at = [&](int64_t points) { return l.p.crop(seen, 1, cells * s.step() - points); };
  int y = l.from_latents(latents, net.first);
  if (s.motion > 0) y = l.p.add(y, l.from_seen(seen, net.seen_coarse));
  y = l.activated(l.activate(y), net.same);
  for (size_t k = 0; k + 1 < net.up.size(); ++k) {
    y = l.linear(y, net.up[k].up);
    if (k + 2 == net.up.size() && s.motion > 0)
      y = l.p.add(y, l.from_seen(look_at(2 * s.input_margin(1) + 1), net.seen_detail));
    y = l.activated(l.activate(y), net.up[k].same);
  }
  y = l.to_points(y, net.up.back().up, kLatentGrid, kLatentLimit);
  const int inner = l.p.crop_wide(latents, tile + 2 * s.decoder_halo(), s.channels, s.decoder_halo() - 1);
  y = l.p.add(y, l.to_points(inner, net.synthesis, s.latent_unit(), kLatentLimit));
  if (s.motion > 0)
    y = l.p.add(
        y, l.to_points(look_at(LatentShape::kNear / 2), net.seen_near, kLatentOutUnit, kLatentSeenLimit));
  return l.p.json(y);
}

std::string hyper_encoder(WeightsWriter& w, const LatentNet& net, int64_t tile) {
  Layers l(w, net, "hyper-encode.");
  int y = l.latents(tile + 2 * net.shape.hyper, net.shape.channels);
  const size_t last = net.hyper_down.size() - 1;
  y = l.activate(l.from_latents(y, net.hyper_down[0]));
  for (size_t k = 1; k < last; ++k) y = l.activated(y, net.hyper_down[k]);
  const int64_t most = kHyperMost * kHyperStep;
  return l.p.json(l.p.conv(y, net.hyper_down[last], kLatentGrid, kLatentLimit,
                           1.0 / static_cast<double>(kHyperStep), -most, most));
}

std::string prior(WeightsWriter& w, const LatentNet& net, int64_t tile) {
  const LatentShape& s = net.shape;
  Layers l(w, net, "prior.");
  int hyper = -1, memory = -1, seen = -1;
  if (s.hyper > 0) {
    hyper = l.p.input(2, tile / s.hyper + 2 * LatentShape::kHyperHalo, LatentShape::kHyperChannels,
                      kHyperMost * kHyperStep);
  }
  if (s.memory > 0) memory = l.latents(tile + 2 * LatentShape::kMemoryHalo, s.memory * s.channels);
  if (s.motion > 0) seen = l.seen(tile, LatentShape::kSeenHalo);
  int sum = -1;
  const auto add = [&](int x) { sum = sum < 0 ? x : l.p.add(sum, x); };
  if (s.hyper > 0) {
    int y = l.p.conv(hyper, net.hyper_in, 1.0 / static_cast<double>(kHyperStep), kHyperMost * kHyperStep,
                     kLatentGrid, 0, kLatentLimit);
    for (size_t k = 0; k + 1 < net.hyper_up.size(); ++k) y = l.activated(y, net.hyper_up[k]);
    add(l.linear(y, net.hyper_up.back()));
  }
  if (s.memory > 0) {
    const int y = l.activated(l.activate(l.from_latents(memory, net.remember[0])), net.remember[1]);
    add(l.linear(y, net.remember[2]));
  }
  if (s.motion > 0) {
    const int y = l.activated(l.activate(l.from_seen(seen, net.look[0])), net.look[1]);
    add(l.linear(y, net.look[2]));
  }
  const int hidden = l.activate(sum);
  int mean = l.to_latents(hidden, net.mean, kLatentGrid, kLatentLimit);
  if (s.memory > 0) {
    const int inner = l.p.crop_wide(memory, tile + 2 * LatentShape::kMemoryHalo, s.memory * s.channels,
                                    LatentShape::kMemoryHalo - 1);
    mean = l.p.add(mean, l.to_latents(inner, net.remember_linear, s.latent_unit(), kLatentLimit));
  }
  const int spread = l.p.conv(hidden, net.spread, kLatentGrid, kLatentLimit, kSpreadUnit, 0, 127);
  return l.p.json(l.p.add(l.p.place(l.limited(mean), s.channels, 0, 2 * s.channels),
                          l.p.place(spread, s.channels, s.channels, 2 * s.channels)));
}

std::string generator(WeightsWriter& w, const LatentNet& net, int64_t tile) {
  const LatentShape& s = net.shape;
  Layers l(w, net, "generate.");
  const int64_t n = tile + 2 * LatentShape::kGeneratorHalo;
  const int x = l.latents(n, (s.every - 1) * s.channels), ends = l.latents(n, 2 * s.channels);
  const int level = l.p.input(2, n, LatentShape::kLevelChannels, kLatentLimit);
  int y = l.from_latents(ends, net.from_ends);
  if (s.samples > 1) {
    y = l.p.add(y, l.from_latents(x, net.from_x));
    y = l.p.add(y, l.linear(level, net.from_level));
  }
  y = l.activate(y);
  for (const Conv& c : net.denoise) y = l.activated(y, c);
  const int inner = l.p.crop_wide(ends, n, 2 * s.channels, LatentShape::kGeneratorHalo - 1);
  return l.p.json(l.limited(l.p.add(l.to_latents(y, net.generated, kLatentGrid, kLatentLimit),
                                    l.to_latents(inner, net.between, s.latent_unit(), kLatentLimit))));
}

void sampler(WeightsWriter& w, const LatentNet& net, const LatentFile& file) {
  std::vector<double> factors, levels;
  const double size = file.signal / net.shape.latent_unit();
  for (const SamplerStep& s : file.sampler) {
    for (const double v : {s.a, s.b, s.c * size / 256})
      factors.push_back(std::clamp(std::ldexp(v, 14), -32767., 32767.));
    for (const double v : s.level) levels.push_back(v / kLatentGrid);
  }
  const uint64_t n = file.sampler.size();
  w.tensor("sampler", {n, 3}, factors, 1, 16);
  w.tensor("levels", {n, levels.size() / n}, levels, 1, 16);
}

}  // namespace

WeightsWriter latent_weights(const LatentNet& net, const LatentFile& file) {
  const torch::NoGradGuard no_grad;
  const LatentShape& s = net.shape;
  WeightsWriter w;
  w.metadata["program.encode"] = encoder(w, net, file.tile);
  w.metadata["program.decode"] = decoder(w, net, file.tile);
  w.metadata["program.prior"] = prior(w, net, file.tile);
  if (s.hyper > 0) {
    w.metadata["program.hyper-encode"] = hyper_encoder(w, net, file.tile);
    w.tensor("hyper_spread", {static_cast<uint64_t>(LatentShape::kHyperChannels)},
             to_doubles(net.hyper_spread(true)), 1, 8);
  }
  int64_t start = 0;
  if (s.every > 1) {
    w.metadata["program.generate"] = generator(w, net, file.tile);
    sampler(w, net, file);
    start = std::clamp<int64_t>(std::lround(file.sampler[0].noise * file.signal / s.latent_unit()), 0, 32767);
  }
  std::vector<double> steps;
  std::vector<int64_t> bins;
  for (int64_t g = 0; g < kLatentGains; ++g) {
    for (const double v : to_doubles(net.steps(g, true).flatten() / s.latent_unit())) steps.push_back(v);
    bins.push_back(std::max<int64_t>(1, std::lround(net.bins[static_cast<size_t>(g)] * 65536)));
  }
  w.tensor("steps", {static_cast<uint64_t>(kLatentGains), static_cast<uint64_t>(s.channels)}, steps, 1, 16);
  w.metadata["name"] = file.name;
  w.metadata["family"] = file.family;
  w.metadata["config"] =
      Json{{"window", s.window},       {"step", s.step()},   {"tile", file.tile},  {"hyper", s.hyper},
           {"hyper_step", kHyperStep}, {"memory", s.memory}, {"motion", s.motion}, {"every", s.every},
           {"start", start},           {"bins", bins}}
          .dump();
  return w;
}

}  // namespace h5neural::learn

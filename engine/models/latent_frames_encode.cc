// latent_frames_encode.cc: the writer's side of the families in latent_frames.h: frames -> latents, at the
// gain whose latents and corrections together look cheapest. Floats may err here: what is found is
// transmitted.
#include <algorithm>
#include <cmath>

#include "models/latent_frames.h"
#include "models/latent_section.h"
#include "models/residual_cost.h"
#include "models/seam.h"

namespace h5neural {
namespace {

constexpr double kBeyond = 1.5;        // of the bins that the gains were learned for
constexpr double kDeadZone = 0.08;     // by how much less than 1/2 a latent must reach for the next step
constexpr int64_t kReach = 8;          // points that blocks are displaced by, at most
constexpr double kWorthMoving = 0.97;  // of the difference without: a displacement costs bits

// One way to write a chunk: its numbers at one gain.
class SectionWriter final : public GroupCoder {
 public:
  SectionWriter(const LatentWeights& weights, const LatentSeries& series, const FieldMoments& moments,
                std::span<const int32_t> field, const LatentHead& head, uint32_t seed)
      : weights_(weights), series_(series), moments_(moments), field_(field), head_(head) {
    if (weights.every > 1) out_.raw(seed, kSeedBits);
  }

  void displacements(size_t g, std::span<const int32_t> seen, std::span<int32_t> d) override {
    const std::vector<float> frame = frame_of(g, 0);
    for (size_t block = 0; block < d.size() / 2; ++block) {
      const auto [down, right] = displacement(block, frame, seen);
      d[2 * block] = down;
      d[2 * block + 1] = right;
      for (size_t k = 2 * block; k < 2 * block + 2; ++k)
        models_.motion[k % 2].encode(out_, d[k] - (k < 2 ? 0 : d[k - 2]));
    }
  }

  void hyper(size_t g, std::span<int32_t> z) override {
    encode_frames(g);
    const LatentWeights& w = weights_;
    const int32_t most = w.prior.inputs[0].limit / w.hyper_step;
    const TileGrid& grid = series_.hyper_grid();
    series_.run_tiles(
        w.hyper_encode, g,
        [&](size_t, size_t tile, std::span<int32_t> to) {
          series_.fill_cells(series_.grid(), w.hyper_encode.inputs[0], g, tile, y_, to);
        },
        [&](size_t tile, std::span<const int32_t> from) {
          grid.each_cell(tile, 0, [&](size_t at, int64_t cell) {
            if (cell < 0) return;
            const size_t to = (static_cast<size_t>(cell) - g * series_.hyper_cells()) * w.hyper_channels;
            for (size_t c = 0; c < w.hyper_channels; ++c) {
              const double steps = static_cast<double>(from[at * w.hyper_channels + c]) / w.hyper_step;
              z[to + c] = static_cast<int32_t>(std::lround(std::clamp<double>(steps, -most, most)));
            }
          });
        });
    for (size_t i = 0; i < z.size(); ++i)
      models_.hyper.encode(out_, z[i], w.hyper_spread[i % w.hyper_channels], w.hyper_step);
  }

  void latents(size_t g, std::span<const int32_t> prior, std::span<int32_t> y) override {
    if (weights_.hyper == 0) encode_frames(g);
    const size_t channels = weights_.channels;
    for (size_t i = 0; i < y.size(); ++i) {
      const size_t c = i % channels, mean = i / channels * 2 * channels + c;
      const int32_t step = weights_.steps[head_.gain * channels + c];
      const double off = static_cast<double>(y_[i]) - prior[mean];
      const auto size = static_cast<int32_t>(std::min(std::abs(off) / step + 0.5 - kDeadZone, 1e9));
      const int32_t q = off < 0 ? -size : size;
      models_.latents.encode(out_, q, spread_of(prior[mean + channels]), step);
      y[i] = latent_of(prior[mean], q, step, weights_.limit);
      any_ = any_ || q != 0;
    }
  }

  bool any() const { return any_; }  // whether a number is not 0
  Bytes finish() {
    ByteWriter w;
    w.put(static_cast<uint8_t>(head_.gain | size_t{head_.wraps.rows} << LatentHead::kGainBits |
                               size_t{head_.wraps.columns} << (LatentHead::kGainBits + 1)));
    head_.scale.write(w);
    w.bytes(out_.finish());
    return w.take();
  }

 private:
  float normal(size_t at) const {
    return static_cast<float>((field_[at] - moments_.mean) / moments_.deviation);
  }
  std::vector<float> frame_of(size_t g, size_t w) const {
    std::vector<float> x(series_.frame_points());
    const size_t first = series_.frame(g, w) * x.size();
    for (size_t i = 0; i < x.size(); ++i) x[i] = normal(first + i);
    return x;
  }

  // What the encoder makes of a group.
  void encode_frames(size_t g) {
    const LatentWeights& w = weights_;
    const auto window = static_cast<size_t>(w.window);
    y_.assign(series_.cells() * w.channels, 0);
    series_.run_tiles(
        w.encode, g,
        [&](size_t v, size_t tile, std::span<int32_t> to) {
          const TileInput& in = w.encode.inputs[v];
          if (v == 1) return series_.fill_seen(in, g, tile, to);
          series_.grid().each_point_around(tile, in.halo, [&](size_t at, size_t from) {
            const size_t p = from - g * series_.frame_points();
            for (size_t k = 0; k < window; ++k) {
              const float x = normal(series_.frame(g, k) * series_.frame_points() + p);
              to[at * window + k] = static_cast<int32_t>(
                  std::lround(std::clamp<double>(std::ldexp(x, kLatentFramesInBits), -in.limit, in.limit)));
            }
          });
        },
        [&](size_t tile, std::span<const int32_t> from) {
          series_.grid().each_cell(tile, 0, [&](size_t at, int64_t cell) {
            if (cell < 0) return;
            const size_t to = (static_cast<size_t>(cell) - g * series_.cells()) * w.channels;
            for (size_t c = 0; c < w.channels; ++c)
              y_[to + c] = std::clamp(from[at * w.channels + c], -w.limit, w.limit);
          });
        });
  }

  // The displacement of a block that makes the seen frame most like the new one, or none.
  std::pair<int32_t, int32_t> displacement(size_t block, std::span<const float> frame,
                                           std::span<const int32_t> seen) const {
    const int64_t h = series_.rows(), w = series_.columns(), b = weights_.motion, across = (w + b - 1) / b,
                  i0 = static_cast<int64_t>(block) / across * b,
                  j0 = static_cast<int64_t>(block) % across * b;
    const auto apart = [&](int64_t down, int64_t right, double most) {
      double sum = 0;
      for (int64_t i = i0; i < std::min(h, i0 + b) && sum < most; ++i) {
        for (int64_t j = j0; j < std::min(w, j0 + b); ++j) {
          const int64_t y = series_.grid().inside(1, i + down), x = series_.grid().inside(2, j + right);
          const double d = frame[static_cast<size_t>(i * w + j)] -
                           std::ldexp(seen[static_cast<size_t>(y * w + x)], -kLatentFramesOutBits);
          sum += d * d;
        }
      }
      return sum;
    };
    double least = kWorthMoving * apart(0, 0, 1e300);
    std::pair<int32_t, int32_t> best{0, 0};
    for (int64_t down = -kReach; down <= kReach; ++down) {
      for (int64_t right = -kReach; right <= kReach; ++right) {
        const double d = apart(down, right, least);
        if (d < least) least = d, best = {static_cast<int32_t>(down), static_cast<int32_t>(right)};
      }
    }
    return best;
  }

  const LatentWeights& weights_;
  const LatentSeries& series_;
  const FieldMoments& moments_;
  std::span<const int32_t> field_;
  LatentHead head_;
  BitEncoder out_;
  LatentModels models_;
  std::vector<int32_t> y_;  // [cells, channels] of the group, before rounding
  bool any_ = false;
};

// Gains whose bins lie about this one, nearest first; none where none was learned.
std::vector<size_t> gains_about(const std::vector<int64_t>& bins, double bin) {
  if (!(bin > static_cast<double>(bins.front()) / kBeyond &&
        bin < static_cast<double>(bins.back()) * kBeyond))
    return {};
  std::vector<size_t> gains(bins.size());
  for (size_t g = 0; g < gains.size(); ++g) gains[g] = g;
  const auto apart = [&](size_t g) { return std::abs(std::log(static_cast<double>(bins[g]) / bin)); };
  std::ranges::sort(gains, {}, apart);
  if (gains.size() > 3) gains.resize(3);
  return gains;
}

// A chunk, or some of its frames, written one way.
struct Written {
  Bytes section;
  std::vector<int32_t> base;
  bool any;  // whether a number is not 0
};

Written write(const LatentWeights& weights, std::span<const int32_t> field, const Extents& extents,
              const FieldMoments& moments, const LatentHead& head) {
  constexpr uint32_t kSeed = 1;
  LatentSeries series(weights, extents, head.wraps);
  SectionWriter writer(weights, series, moments, field, head, kSeed);
  series.run(writer, kSeed);
  Written w{writer.finish(), {}, writer.any()};
  w.base.reserve(field.size());
  for (const int32_t y : series.decoded()) w.base.push_back(head.scale.value(y));
  return w;
}

// The axes that wrap: of those whose ends meet and that may, the ones that make frames from the middle of the
// chunk cheaper, as few as see all that a group can see.
LatentWraps choose_wraps(const LatentWeights& weights, std::span<const int32_t> field, const Extents& extents,
                         const FieldMoments& moments, LatentHead head, int32_t bin) {
  const auto last = static_cast<size_t>(extents.rank - 1);
  const size_t rows = extents.n[last - 1], columns = extents.n[last], points = rows * columns,
               all = field.size() / points;
  LatentWraps may = LatentSeries::may_wrap(weights, extents);
  may.rows = may.rows && ends_meet(field, all, rows, columns);
  may.columns = may.columns && ends_meet(field, all * rows, columns, 1);
  if (!may.rows && !may.columns) return {};
  const int64_t groups = weights.every > 1                          ? weights.every + 1
                         : weights.memory > 0 || weights.motion > 0 ? 2
                                                                    : 1;
  const size_t frames = std::min(all, static_cast<size_t>(groups * weights.window));
  const auto part = field.subspan((all - frames) / 2 * points, frames * points);
  const auto cost = [&] {
    const Written w = write(weights, part, {3, {frames, rows, columns}}, moments, head);
    return 8.0 * static_cast<double>(w.section.size()) + residual_cost(part, w.base, bin);
  };
  head.wraps = {};
  double least = cost();
  for (bool LatentWraps::*axis : {&LatentWraps::rows, &LatentWraps::columns}) {
    if (!(may.*axis)) continue;
    head.wraps.*axis = true;
    const double wrapped = cost();
    head.wraps.*axis = wrapped < least;
    least = std::min(least, wrapped);
  }
  return head.wraps;
}

}  // namespace

std::optional<Bytes> LatentFrames::encode(std::span<const int32_t> field, const Extents& extents,
                                          int32_t bin) const {
  if (!serves(extents) || field.size() != extents.count() || bin < 1) return std::nullopt;
  const FieldMoments moments(field);
  const auto scale = BaseScale::of(moments.mean, moments.deviation, kLatentFramesOutBits, bin);
  const std::vector<size_t> gains = gains_about(weights_.bins, bin / moments.deviation * 65536);
  if (!scale || gains.empty()) return std::nullopt;
  LatentHead head{gains[0], {}, *scale};
  head.wraps = choose_wraps(weights_, field, extents, moments, head, bin);
  // Gains are compared by an estimate; whether latents pay at all is for the writer to find out, since the
  // estimate asks too little where a bound is loose (docs/notes/latents.md).
  std::vector<int32_t> rest(field.size());
  double least = 0;
  std::optional<Bytes> best;
  for (const size_t gain : gains) {
    head.gain = gain;
    Written w = write(weights_, field, extents, moments, head);
    if (!w.any) continue;
    for (size_t i = 0; i < rest.size(); ++i) rest[i] = limited_difference(field[i], w.base[i]);
    const double cost =
        8.0 * static_cast<double>(w.section.size()) + corrections_estimate(rest, extents, bin);
    if (!best || cost < least) {
      least = cost;
      best = std::move(w.section);
    }
  }
  return best;
}

}  // namespace h5neural

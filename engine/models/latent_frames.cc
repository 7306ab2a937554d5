// latent_frames.cc: the reader's side of the families in latent_frames.h: latents section -> latents ->
// frames -> base. The writer's side is latent_frames_encode.cc.
#include "models/latent_frames.h"

#include <cmath>

#include "models/latent_section.h"

namespace h5neural {
namespace {

// Numbers as a section says them.
class SectionReader final : public GroupCoder {
 public:
  SectionReader(const LatentWeights& weights, ByteSpan section, const Extents& extents)
      : weights_(weights), bytes_(section) {
    const auto first = bytes_.get<uint8_t>();
    head.gain = first & ((1 << LatentHead::kGainBits) - 1);
    if (head.gain >= weights.gains()) fail_corrupt("a gain of the model is out of its range");
    head.wraps = {(first >> LatentHead::kGainBits & 1) != 0, first >> (LatentHead::kGainBits + 1) != 0};
    const LatentWraps may = LatentSeries::may_wrap(weights, extents);
    if ((head.wraps.rows && !may.rows) || (head.wraps.columns && !may.columns))
      fail_corrupt("latents wrap along an axis that has no whole cells");
    head.scale = BaseScale::read(bytes_);
    in_.emplace(bytes_.take(bytes_.left()));
    if (weights.every > 1) seed = in_->raw(kSeedBits);
  }

  void displacements(size_t, std::span<const int32_t>, std::span<int32_t> d) override {
    for (size_t i = 0; i < d.size(); ++i) {
      const int64_t v = (i < 2 ? 0 : int64_t{d[i - 2]}) + models_.motion[i % 2].decode(*in_);
      if (std::abs(v) > kMostDisplacement) fail_corrupt("a displacement is out of its range");
      d[i] = static_cast<int32_t>(v);
    }
  }

  void hyper(size_t, std::span<int32_t> z) override {
    const int32_t most = weights_.prior.inputs[0].limit / weights_.hyper_step;
    for (size_t i = 0; i < z.size(); ++i) {
      const int32_t spread = weights_.hyper_spread[i % weights_.hyper_channels];
      z[i] = models_.hyper.decode(*in_, spread, weights_.hyper_step);
      if (z[i] > most || z[i] < -most) fail_corrupt("a hyper-latent is out of its range");
    }
  }

  void latents(size_t, std::span<const int32_t> prior, std::span<int32_t> y) override {
    const size_t channels = weights_.channels;
    for (size_t i = 0; i < y.size(); ++i) {
      const size_t c = i % channels, mean = i / channels * 2 * channels + c;
      const int32_t step = weights_.steps[head.gain * channels + c];
      const int32_t q = models_.latents.decode(*in_, spread_of(prior[mean + channels]), step);
      y[i] = latent_of(prior[mean], q, step, weights_.limit);
    }
  }

  LatentHead head;
  uint32_t seed = 0;

 private:
  const LatentWeights& weights_;
  ByteReader bytes_;
  std::optional<BitDecoder> in_;
  LatentModels models_;
};

}  // namespace

LatentFrames::LatentFrames(const WeightsFile& file)
    : name_(file.name()), family_(file.family()), hash_(file.hash()), weights_(file) {}

bool LatentFrames::serves(const Extents& e) const { return LatentSeries::serves(weights_, e); }

void LatentFrames::decode(ByteSpan section, const Extents& extents, std::span<int32_t> base) const {
  if (!serves(extents) || base.size() != extents.count())
    fail_corrupt("the model does not serve these extents");
  SectionReader reader(weights_, section, extents);
  LatentSeries series(weights_, extents, reader.head.wraps);
  series.run(reader, reader.seed);
  const auto y = series.decoded();
  for (size_t i = 0; i < base.size(); ++i) base[i] = reader.head.scale.value(y[i]);
}

// Those of groups that are in the payload.
LatentArray LatentFrames::latents(ByteSpan section, const Extents& extents) const {
  if (!serves(extents)) fail_corrupt("the model does not serve these extents");
  SectionReader reader(weights_, section, extents);
  LatentSeries series(weights_, extents, reader.head.wraps);
  series.run(reader, reader.seed);
  LatentArray a;
  uint64_t groups = 0;
  for (size_t g = 0; g < series.groups(); ++g) {
    if (!series.coded(g)) continue;
    ++groups;
    const auto y = series.latents(g);
    a.values.insert(a.values.end(), y.begin(), y.end());
  }
  a.grid = {groups, static_cast<uint64_t>(series.grid().cells[1]),
            static_cast<uint64_t>(series.grid().cells[2])};
  a.numbers = a.latents = weights_.channels;
  const BaseScale& s = reader.head.scale;
  a.scale.assign(groups * series.cells(), std::ldexp(static_cast<double>(s.mantissa), -s.shift));
  a.offset.assign(groups * series.cells(), static_cast<double>(s.mean));
  return a;
}

std::shared_ptr<const Model> make_latent_frames(const WeightsFile& file) {
  return std::make_shared<LatentFrames>(file);
}

}  // namespace h5neural

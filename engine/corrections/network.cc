// network.cc: see network.h. Integer arithmetic throughout.
#include "corrections/network.h"

#include <algorithm>
#include <bit>

#include "exact/backend.h"

namespace h5neural {
namespace {

constexpr size_t kBatch = 2048;  // points that go through the program at once
constexpr int32_t kMostAbout = 124;
constexpr int kMostScale = 8;

// Turns lattice units into eighths of the magnitude of half octave h, 2^((h - 1) / 2) sixteenths of a lattice
// unit: by 2^((15 - h) / 2), in 32 bits.
class Ruler {
 public:
  explicit Ruler(int h) {
    const int halves = 15 - std::max(h, 1), octaves = halves >> 1;
    mantissa_ = halves & 1 ? 181 : 128;
    before_ = std::max(0, -octaves - 7);
    after_ = 7 - std::max(octaves, -7);
  }
  int32_t operator()(int32_t x, int32_t most) const {
    constexpr int32_t kMost = 1 << 19;
    return std::clamp((std::clamp(x >> before_, -kMost, kMost) * mantissa_) >> after_, -most, most);
  }

 private:
  int mantissa_, before_, after_;
};

// How far a feature lies above what is expected, in half octaves, times 4.
int32_t about(int32_t feature, int h) {
  const int f = half_octaves(static_cast<uint32_t>(feature) << 4);
  return std::clamp(4 * (f - h), -kMostAbout, kMostAbout);
}

}  // namespace

std::pair<int32_t, int32_t> network_input_range(const NetworkShape& s, int e) {
  if (e < s.pairs + s.differences) return {-kNetworkMost, kNetworkMost};
  e -= s.pairs + s.differences;
  if (e < 2 * s.magnitudes) return {0, kNetworkMostResidual};
  e -= 2 * s.magnitudes;
  if (e == 0) return {0, 4 * (kContexts - 1)};
  if (e <= kFeatures) return {-kMostAbout, kMostAbout};
  return e == kFeatures + 1 ? std::pair{0, 16 * kMostScale} : std::pair{0, 64};
}

NetworkView::NetworkView(const WalkInput& in, const LevelState& level, const CosetState& coset)
    : in_(in),
      level_(level),
      coset_(coset),
      shape_(in.network->shape),
      near_(context_taps(in, level, coset, kInitialWeights)) {
  const int known = static_cast<int>(coset.geometry->stencil.offset.size());
  const int pairs = std::min(known, std::max(shape_.pairs, shape_.differences));
  pairs_ = predictor_taps(level, coset, std::vector<int32_t>(static_cast<size_t>(pairs)));
  const int axes = std::popcount(level.layout.mask);
  kind_ = (axes == 1 ? 0 : axes == 2 ? 1 : 4) + coset.order;
  int largest = 1;
  for (const int s : level.spacing) largest = std::max(largest, s);
  scale_ = std::min<int>(std::bit_width(static_cast<unsigned>(largest)), kMostScale);
}

void NetworkView::inputs(int64_t k, int64_t at, int32_t* out) const {
  const int h = std::max<int>(coset_.context[k], kNetworkLeastContext) + near_.origin;
  const Ruler ruler(h), doubled(h + 2);
  const int32_t prediction = coset_.prediction[k];
  for (int j = 0; j < shape_.pairs; ++j) {
    const bool known = j < pairs_.pairs;
    *out++ = known ? doubled(pairs_.plus[j][at] + pairs_.minus[j][at] - 2 * prediction, kNetworkMost) : 0;
  }
  for (int j = 0; j < shape_.differences; ++j) {
    *out++ = j < pairs_.pairs ? doubled(pairs_.plus[j][at] - pairs_.minus[j][at], kNetworkMost) : 0;
  }
  for (int j = 0; j < shape_.magnitudes; ++j) {
    const bool known = j < near_.pairs;
    *out++ = known ? ruler(near_.plus_magnitude[j][at], kNetworkMostResidual) : 0;
    *out++ = known ? ruler(near_.minus_magnitude[j][at], kNetworkMostResidual) : 0;
  }
  *out++ = 4 * coset_.context[k];
  for (const int32_t f : features(near_, prediction, at)) *out++ = about(f, h);
  *out++ = 16 * scale_;
  for (int j = 0; j < kNetworkPlaces; ++j) *out++ = j == kind_ ? 64 : 0;
}

void NetworkView::ask() {
  const auto inputs_of_one = static_cast<size_t>(network_inputs(shape_));
  std::vector<Batch> batch(1);
  batch[0].reserve(kBatch * inputs_of_one);
  const auto run_batch = [&] {
    const size_t items = batch[0].size() / inputs_of_one;
    if (items == 0) return;
    const Batch said = std::move(run(in_.network->program, batch, items)[0]);
    for (size_t i = 0; i < items; ++i) {
      move.push_back(static_cast<int16_t>(said[kNetworkOutputs * i]));
      change.push_back(static_cast<int16_t>(said[kNetworkOutputs * i + 1]));
    }
    batch[0].clear();
  };
  each_point([&](int64_t k, int64_t at) {
    points.push_back(k);
    batch[0].resize(batch[0].size() + inputs_of_one);
    inputs(k, at, batch[0].data() + batch[0].size() - inputs_of_one);
    if (batch[0].size() == kBatch * inputs_of_one) run_batch();
  });
  run_batch();
}

int32_t moved(int32_t prediction, int move, int quarters, int context, int origin) {
  const int h = std::max(context, kNetworkLeastContext) + origin;
  // move quarters / 128 times 2^((h - 1) / 2) sixteenths of a lattice unit
  const int halves = h - 1, octaves = halves >> 1;
  int64_t v = int64_t{move} * quarters * (halves & 1 ? 362 : 256);  // 2^-8 2^-7 2^-4
  constexpr int kShift = 19;
  v = octaves >= kShift ? v << std::min(octaves - kShift, 24)
                        : (v + (int64_t{1} << (kShift - octaves - 1))) >> (kShift - octaves);
  return clamp_lattice(prediction + v);
}

void follow(const NetworkView& said, const NetworkChoice& choice, int origin, CosetState& coset) {
  for (size_t i = 0; i < said.points.size(); ++i) {
    const int64_t k = said.points[i];
    coset.prediction[k] = moved(coset.prediction[k], said.move[i], choice.move, coset.context[k], origin);
    coset.context[k] = changed(coset.context[k], said.change[i], choice.change);
  }
}

}  // namespace h5neural

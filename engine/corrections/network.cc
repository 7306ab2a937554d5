// network.cc: see network.h. Integer arithmetic throughout.
#include "corrections/network.h"

#include <algorithm>
#include <bit>

#include "exact/backend.h"

namespace h5neural {
namespace {

constexpr size_t kBatch = 2048;  // points that go through the program at once
constexpr int kMostScale = 8;

}  // namespace

std::pair<int32_t, int32_t> network_input_range(const NetworkShape& s, int e) {
  if (e < s.pairs + s.differences) return {-kNetworkMost, kNetworkMost};
  e -= s.pairs + s.differences;
  if (e < 2 * s.magnitudes) return {0, kNetworkMostResidual};
  e -= 2 * s.magnitudes;
  if (e == 0) return {0, 4 * (kContexts - 1)};
  if (e <= kFeatures) return {-kNetworkMostAbout, kNetworkMostAbout};
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
  varying_ = network_inputs(shape_) - 1 - kNetworkPlaces;
  stride_ = static_cast<size_t>(coset.count[kAxes - 1]) + kOverhang;
  row_.resize(static_cast<size_t>(varying_) * stride_);
}

void NetworkView::set_constants(std::span<int32_t> inputs) const {
  auto at = static_cast<size_t>(varying_);
  inputs[at++] = 16 * scale_;
  for (int j = 0; j < kNetworkPlaces; ++j) inputs[at++] = j == kind_ ? 64 : 0;
}

void NetworkView::fill_row(int64_t first, int64_t at) {
  const NetworkTaps taps{shape_.pairs, shape_.differences, shape_.magnitudes, &pairs_, &near_};
  kernels().network_row(taps, coset_.prediction.data() + first, coset_.context.data() + first, at,
                        coset_.count[kAxes - 1], row_.data(), static_cast<ptrdiff_t>(stride_));
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
  each_point([&](int64_t k, std::span<const int32_t> inputs) {
    points.push_back(k);
    batch[0].insert(batch[0].end(), inputs.begin(), inputs.end());
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

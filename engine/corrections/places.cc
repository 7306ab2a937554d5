// places.cc: see places.h. Each place solves a ridge regression by a few sweeps of Gauss-Seidel from where it
// stood; kernels/places.h has the arithmetic.
#include "corrections/places.h"

#include <algorithm>

namespace h5neural {
namespace {

constexpr int kFirstBlock = 8;
constexpr int kUnitBits = 4;  // values are learnt from in units of 2^-4 bins

}  // namespace

int slowest_axis(const Index4& n) {
  int a = 0;
  while (a < kAxes - 1 && n[a] == 1) ++a;
  return a;
}

bool places_learn(const WalkInput& in, const LevelState& level, const CosetState& coset) {
  const int a = slowest_axis(in.n);
  return in.learns && !(level.layout.mask >> a & 1) && coset.count[a] >= kLeastPlanes;
}

std::vector<int> plane_blocks(int planes) {
  std::vector<int> ends;
  for (int done = 0; done < planes;) {
    done += std::min(planes - done, std::max(kFirstBlock, done / 4));
    ends.push_back(done);
  }
  return ends;
}

Places::Places(const WalkInput& in, const LevelState& level, const CosetState& coset)
    : level_(level),
      shift_(kUnitBits - in.step_bits),
      origin_(context_origin(in, level)),
      axis_(slowest_axis(in.n)),
      plane_(coset.points / coset.count[axis_]) {
  const int pairs = std::min(kPlaceTaps / 2, static_cast<int>(coset.geometry->stencil.offset.size()));
  const PredictorTaps nearest = predictor_taps(level, coset, std::vector<int32_t>(pairs));
  for (int j = 0; j < pairs; ++j) {
    tap_[taps_++] = nearest.plus[j];
    tap_[taps_++] = nearest.minus[j];
  }
  const int64_t stride = plane_ + kOverhang;
  sums_.assign(kPlaceSums * stride, 0);
  weight_.assign(kPlaceTaps * stride, 0);
  places_ = {stride, sums_.data(), weight_.data()};
  history_.assign(plane_, kNoHistory);
}

template <class Row>
void Places::each_row(CosetState& coset, int from, int to, Row&& row) {
  Index4 count = coset.count;
  count[axis_] = 1;
  PlaceBlock b;
  b.planes = to - from;
  b.count = count[kAxes - 1];
  b.taps = taps_;
  b.tap_plane = level_.layout.stride[axis_];
  b.plane = plane_;
  b.bin = level_.bin;
  b.shift = shift_;
  int64_t place = 0;
  for_rows(count, [&](const Index4& i) {
    const int64_t at = level_.layout.at(i) + from * b.tap_plane, first = from * plane_ + place;
    for (int j = 0; j < taps_; ++j) b.tap[j] = tap_[j] + at;
    b.prediction = coset.prediction.data() + first;
    b.correction = correction_.data() + place;
    b.quantised = coset.quantised.data() + first;
    b.skip = coset.skip.empty() ? nullptr : coset.skip.data() + first;
    row(b, places_.from(place));
    place += b.count;
  });
}

void Places::correct(CosetState& coset, int from, int to) {
  correction_.assign((to - from) * plane_ + kOverhang, 0);
  if (from == 0) return;
  each_row(coset, from, to, kernels().places->correct);
}

void Places::blend(CosetState& coset, int from, int to, int blend) const {
  if (from == 0 || blend == 0) return;
  for (int64_t k = from * plane_; k < to * plane_; ++k) {
    coset.context[k] = blended(coset.context[k], history_[k % plane_], blend);
  }
}

void Places::learn(CosetState& coset, int from, int to) {
  each_row(coset, from, to, [&](const PlaceBlock& block, const PlaceArrays& row) {
    kernels().places->learn(block, row);
    kernels().places->solve(taps_, row, block.count);
  });
  const int64_t *magnitude = places_.sums + kMagnitudeSums * places_.stride,
                *planes = places_.sums + kPlaneSums * places_.stride;
  for (int64_t c = 0; c < plane_; ++c) {
    if (planes[c] == 0) continue;
    // As if four planes with a fiftieth of a bin had gone before.
    const int64_t sum = 16 * magnitude[c] + (16 * 4 * int64_t{level_.bin} + 25) / 50;
    const auto mean = static_cast<uint32_t>(std::min<int64_t>(sum / (planes[c] + 4), INT32_MAX));
    history_[c] = static_cast<uint8_t>(std::clamp(half_octaves(mean) - origin_, 0, kContexts - 1));
  }
}

}  // namespace h5neural

// places.cc: see places.h. Each place solves a ridge regression by a few sweeps of Gauss-Seidel from where it
// stood: integers that cannot overflow, whatever a file holds.
#include "corrections/places.h"

#include <algorithm>
#include <bit>

namespace h5neural {
namespace {

constexpr int kFirstBlock = 8;
constexpr int kUnitBits = 4;             // values are learnt from in units of 2^-4 bins,
constexpr int32_t kMostUnits = 1 << 15;  // limited
constexpr int64_t kRidge = 4096;         // in squares of these units
constexpr int kWeightBits = 16;
constexpr int64_t kMostWeight = 2 << kWeightBits;
constexpr int kSweeps = 8;
constexpr int kSumBits = 40;  // sums are shifted down to it, so that eight products fit in 64 bits

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
      shift_(in.step_bits - kUnitBits),
      origin_(context_origin(in, level)),
      axis_(slowest_axis(in.n)),
      plane_(coset.points / coset.count[axis_]) {
  const int pairs = std::min(kMostTaps / 2, static_cast<int>(coset.geometry->stencil.offset.size()));
  const PredictorTaps nearest = predictor_taps(level, coset, std::vector<int32_t>(pairs));
  for (int j = 0; j < pairs; ++j) {
    tap_[taps_++] = nearest.plus[j];
    tap_[taps_++] = nearest.minus[j];
  }
  places_.resize(plane_);
  history_.assign(plane_, kNoHistory);
}

int32_t Places::scaled(int64_t v) const {
  const int64_t u = shift_ > 0 ? (v + (int64_t{1} << (shift_ - 1))) >> shift_ : v * (int64_t{1} << -shift_);
  return static_cast<int32_t>(std::clamp<int64_t>(u, -kMostUnits, kMostUnits));
}

template <class Point>
void Places::each(const CosetState& coset, int from, int to, Point&& point) {
  Index4 count = coset.count;
  count[axis_] = to - from;
  const int64_t first = from * plane_, start = from * level_.layout.stride[axis_];
  int64_t k = 0;
  for_rows(count, [&](const Index4& i) {
    const int64_t p = level_.layout.at(i) + start;
    for (int x = 0; x < count[kAxes - 1]; ++x, ++k) point(first + k, p + x, k % plane_);
  });
}

void Places::correct(CosetState& coset, int from, int to) {
  correction_.assign((to - from) * plane_, 0);
  if (from == 0) return;
  each(coset, from, to, [&](int64_t k, int64_t p, int64_t place) {
    const Place& own = places_[place];
    int64_t sum = int64_t{1} << (kWeightBits - 1);
    for (int j = 0; j < taps_; ++j) sum += int64_t{own.weight[j]} * tap_[j][p];
    const int32_t before = coset.prediction[k];
    coset.prediction[k] = clamp_lattice(before + (sum >> kWeightBits));
    correction_[k - from * plane_] = coset.prediction[k] - before;
  });
}

void Places::blend(CosetState& coset, int from, int to, int blend) const {
  if (from == 0 || blend == 0) return;
  for (int64_t k = from * plane_; k < to * plane_; ++k) {
    coset.context[k] = blended(coset.context[k], history_[k % plane_], blend);
  }
}

void Places::learn(const CosetState& coset, int from, int to) {
  const int32_t most = (1 << 29) / level_.bin;
  each(coset, from, to, [&](int64_t k, int64_t p, int64_t place) {
    if (!coset.skip.empty() && coset.skip[k]) return;
    Place& own = places_[place];
    const int64_t step = int64_t{std::clamp(coset.quantised[k], -most, most)} * level_.bin;
    const int64_t missing = scaled(correction_[k - from * plane_] + step);
    std::array<int32_t, kMostTaps> x{};
    for (int j = 0; j < taps_; ++j) x[j] = scaled(tap_[j][p]);
    int64_t* square = own.squares.data();
    for (int j = 0; j < kMostTaps; ++j) {
      own.towards[j] += x[j] * missing;
      for (int i = 0; i <= j; ++i) *square++ += int64_t{x[j]} * x[i];
    }
    own.magnitude += std::min<int64_t>(std::abs(step), kMagnitudeMax);
    ++own.planes;
  });
  for (int64_t c = 0; c < plane_; ++c) {
    Place& own = places_[c];
    if (own.planes == 0) continue;
    solve(own);
    // As if four planes with a fiftieth of a bin had gone before.
    const int64_t sum = 16 * own.magnitude + (16 * 4 * int64_t{level_.bin} + 25) / 50;
    const auto mean = static_cast<uint32_t>(std::min<int64_t>(sum / (own.planes + 4), INT32_MAX));
    history_[c] = static_cast<uint8_t>(std::clamp(half_octaves(mean) - origin_, 0, kContexts - 1));
  }
}

void Places::solve(Place& place) const {
  int64_t largest = 1;
  for (const int64_t v : place.squares) largest = std::max(largest, std::abs(v));
  for (const int64_t v : place.towards) largest = std::max(largest, std::abs(v));
  const int down = std::max(0, static_cast<int>(std::bit_width(static_cast<uint64_t>(largest))) - kSumBits);
  std::array<std::array<int64_t, kMostTaps>, kMostTaps> a{};
  const int64_t* square = place.squares.data();
  for (int j = 0; j < kMostTaps; ++j) {
    for (int i = 0; i <= j; ++i) a[i][j] = a[j][i] = *square++ >> down;
  }
  const int64_t ridge = (kRidge >> down) + 1;
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    for (int j = 0; j < taps_; ++j) {
      int64_t left = (place.towards[j] >> down) * (int64_t{1} << kWeightBits);
      for (int i = 0; i < taps_; ++i) left -= i == j ? 0 : a[j][i] * place.weight[i];
      place.weight[j] = static_cast<int32_t>(std::clamp(left / (a[j][j] + ridge), -kMostWeight, kMostWeight));
    }
  }
}

}  // namespace h5neural

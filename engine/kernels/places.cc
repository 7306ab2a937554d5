// places.cc: the kernels of places in plain C++; see places.h.
#include "kernels/places.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace h5neural {
namespace {

constexpr int64_t kLimit = 1 << 28;  // |value| of lattice points

void correct(const PlaceBlock& b, const PlaceArrays& a) {
  for (int t = 0; t < b.planes; ++t) {
    for (int k = 0; k < b.count; ++k) {
      int64_t sum = int64_t{1} << (kPlaceWeightBits - 1);
      for (int j = 0; j < b.taps; ++j)
        sum += int64_t{a.weight[j * a.stride + k]} * b.tap[j][t * b.tap_plane + k];
      int32_t& p = b.prediction[t * b.plane + k];
      const int32_t before = p;
      p = static_cast<int32_t>(std::clamp(before + (sum >> kPlaceWeightBits), -kLimit, kLimit));
      b.correction[t * b.plane + k] = p - before;
    }
  }
}

void learn(const PlaceBlock& b, const PlaceArrays& a) {
  const int32_t most = (1 << 29) / b.bin;
  const auto scaled = [&](int32_t v) {
    return std::clamp(std::clamp(v, -kMostTaught, kMostTaught) * (1 << b.shift), -kMostTaught, kMostTaught);
  };
  for (int t = 0; t < b.planes; ++t) {
    for (int k = 0; k < b.count; ++k) {
      const int64_t at = t * b.plane + k;
      if (b.skip != nullptr && b.skip[at]) continue;
      const int32_t step = std::clamp(b.quantised[at], -most, most) * b.bin;
      const int64_t missing = scaled(b.correction[at] + step);
      std::array<int64_t, kPlaceTaps> x{};
      for (int j = 0; j < b.taps; ++j) x[j] = scaled(b.tap[j][t * b.tap_plane + k]);
      for (int j = 0; j < b.taps; ++j) {
        a.sums[(kTowardsSums + j) * a.stride + k] += x[j] * missing;
        for (int i = 0; i <= j; ++i) a.sums[PlaceArrays::square(j, i) * a.stride + k] += x[j] * x[i];
      }
      a.sums[kMagnitudeSums * a.stride + k] += std::min(std::abs(step), 65535);
      ++a.sums[kPlaneSums * a.stride + k];
    }
  }
}

void solve(int taps, const PlaceArrays& all, int count) {
  constexpr int64_t kMostRatio = int64_t{1} << 30, kMostAim = int64_t{1} << 28;
  constexpr int64_t kHalf = int64_t{1} << (kPlaceRatioBits - 1);
  for (int k = 0; k < count; ++k) {
    const PlaceArrays a = all.from(k);
    const PlaceScale s = place_scale(taps, a);
    // Each row of the equations over its diagonal.
    std::array<std::array<int64_t, kPlaceTaps>, kPlaceTaps> ratio{};
    std::array<int64_t, kPlaceTaps> aim{}, weight{};
    for (int j = 0; j < taps; ++j) {
      const auto over = [&](int row, int shift, int64_t limit) {
        const int64_t sum = a.sums[row * a.stride] >> s.down;
        return std::clamp((sum * s.inverse[j]) >> (29 + s.bits[j] - shift), -limit, limit);
      };
      aim[j] = over(kTowardsSums + j, kPlaceWeightBits, kMostAim) * (1 << kPlaceRatioBits);
      for (int i = 0; i < taps; ++i) {
        if (i != j) ratio[j][i] = over(PlaceArrays::square(j, i), kPlaceRatioBits, kMostRatio);
      }
      weight[j] = a.weight[j * a.stride];
    }
    for (int sweep = 0; sweep < kPlaceSweeps; ++sweep) {
      for (int j = 0; j < taps; ++j) {
        int64_t left = aim[j] + kHalf;
        for (int i = 0; i < taps; ++i) left -= ratio[j][i] * weight[i];
        weight[j] = std::clamp<int64_t>(left >> kPlaceRatioBits, -kMostPlaceWeight, kMostPlaceWeight);
      }
    }
    for (int j = 0; j < taps; ++j) a.weight[j * a.stride] = static_cast<int32_t>(weight[j]);
  }
}

}  // namespace

PlaceScale place_scale(int taps, const PlaceArrays& a) {
  // No sum of squares is larger than the largest on the diagonal (Cauchy, Schwarz).
  int64_t largest = 1;
  for (int j = 0; j < taps; ++j) {
    largest = std::max({largest, a.sums[PlaceArrays::square(j, j) * a.stride],
                        std::abs(a.sums[(kTowardsSums + j) * a.stride])});
  }
  PlaceScale s;
  s.down = std::max(0, static_cast<int>(std::bit_width(static_cast<uint64_t>(largest))) - kPlaceSumBits);
  for (int j = 0; j < taps; ++j) {
    const int64_t diagonal =
        (a.sums[PlaceArrays::square(j, j) * a.stride] >> s.down) + (kPlaceRidge >> s.down) + 1;
    s.bits[j] = std::bit_width(static_cast<uint64_t>(diagonal));
    s.inverse[j] = (int64_t{1} << (29 + s.bits[j])) / diagonal;
  }
  return s;
}

const PlaceKernels kScalarPlaces = {correct, learn, solve};

}  // namespace h5neural

// synthesis.h: from quantised coefficients to the field: steps of the bands, reconstruction points, the
// inverse transform. What the reader does, and the writer to know what the reader gets. Integers throughout.
#pragma once
#include <algorithm>
#include <bit>

#include "transform/coefficients.h"

namespace h5neural {

// How coefficients become numbers.
struct TransformScales {
  int fraction = 0;   // bits after the point of the field while it is put together
  uint32_t step = 1;  // of an orthonormal transform, units of 2^-kStepFraction lattice units
  int shift_one = 0;  // magnitudes of 1 stand for numbers nearer to zero by this part of kShiftUnit of a step
  int shift_more = 0;  // and larger ones
};
constexpr int kStepFraction = 8;
// It is sent as a number below 2^kStepDigits and a power of two.
constexpr int kStepDigits = 11, kStepShiftBits = 5;
inline int shift_of_step(uint32_t step) {
  return std::max(0, static_cast<int>(std::bit_width(step)) - kStepDigits);
}
constexpr int kMostFraction = 6;
constexpr int kShiftUnit = 64;
constexpr int kMostShift = 16;  // -kMostShift to kMostShift - 1
constexpr int32_t kCoefficientMost = 1 << 30;

// Step of a band in units of 2^-fraction lattice units, 1 to kCoefficientMost.
int64_t band_step(const TransformScales& s, const WaveletPart& part, size_t level, uint8_t axes);

// The field, lattice points. Damaged coefficients give some field.
void synthesise(const WaveletPlan& plan, const Coefficients& c, const TransformScales& s,
                std::span<int32_t> field);

}  // namespace h5neural

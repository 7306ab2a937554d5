// section.cc: see section.h.
#include "transform/section.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace h5neural {

TransformScales scales_for(double most, double step) {
  TransformScales s;
  // Room for a factor of 8 between the values and what they become on the way.
  s.fraction = std::clamp(27 - static_cast<int>(std::log2(most)), 0, kMostFraction);
  s.step = static_cast<uint32_t>(std::clamp(step * (1 << kStepFraction), 1.0, 4e9));
  s.step = s.step >> shift_of_step(s.step) << shift_of_step(s.step);
  return s;
}

void write_plan(BitEncoder& side, const WaveletPlan& plan, const TransformScales& scales) {
  side.raw(static_cast<uint32_t>(plan.stages.size() - 1), kStageBits);
  for (const auto& masks : plan.stages) {
    side.raw(static_cast<uint32_t>(masks.size()), kLevelBits);
    for (const uint8_t m : masks) side.raw(m, kAxes);
  }
  side.raw(static_cast<uint32_t>(scales.fraction), kFractionBits);
  side.raw(scales.step >> shift_of_step(scales.step), kStepDigits);
  side.raw(static_cast<uint32_t>(shift_of_step(scales.step)), kStepShiftBits);
}

void write_shifts(BitEncoder& side, const TransformScales& scales) {
  side.raw(static_cast<uint32_t>(scales.shift_one + kMostShift), kShiftBits);
  side.raw(static_cast<uint32_t>(scales.shift_more + kMostShift), kShiftBits);
}

Bytes finish_section(BitEncoder& side, ResidualEncoder& residuals, double spare) {
  const Bytes s = side.finish();
  ByteWriter out;
  out.varint(s.size());
  out.bytes(s);
  out.bytes(residuals.finish(spare));
  return out.take();
}

void to_steps(const Analysis& a, const TransformScales& scales, Bands<float>& real) {
  for (size_t p = 0; p < real.of.size(); ++p) {
    for (size_t l = 0; l < real.of[p].size(); ++l) {
      for (uint8_t axes = 0; axes < kClasses; ++axes) {
        const auto& from = a.bands.of[p][l][axes];
        if (from.empty()) continue;
        const auto per = static_cast<float>(std::ldexp(1.0, scales.fraction) /
                                            double(band_step(scales, a.parts[p], l, axes)));
        auto& to = real.of[p][l][axes];
        for (size_t k = 0; k < to.size(); ++k) to[k] = from[k] * per;
      }
    }
  }
}

void Centres::add(const Bands<float>& real, const Coefficients& c) {
  for (size_t p = 0; p < c.of.size(); ++p) {
    for (size_t l = 0; l < c.of[p].size(); ++l) {
      if (p == 0 && l + 1 == c.of[p].size()) continue;
      for (uint8_t axes = 0; axes < kClasses; ++axes) {
        const auto& q = c.of[p][l][axes];
        const auto& x = real.of[p][l][axes];
        for (size_t k = 0; k < q.size(); ++k) {
          if (q[k] == 0) continue;
          const int32_t m = std::abs(q[k]);
          sum_[m > 1] += m - std::abs(double(x[k]));
          ++count_[m > 1];
        }
      }
    }
  }
}

void Centres::set_shifts(TransformScales& scales) const {
  const auto shift = [&](size_t i) {
    return count_[i] == 0 ? 0
                          : std::clamp(static_cast<int>(std::lround(kShiftUnit * sum_[i] / count_[i])),
                                       -kMostShift, kMostShift - 1);
  };
  scales.shift_one = shift(0);
  scales.shift_more = shift(1);
}

}  // namespace h5neural

// transform_decode.cc: the reader of a transform section; see transform.h. Integers throughout.
#include "transform/outliers.h"
#include "transform/synthesis.h"
#include "transform/transform.h"

namespace h5neural {
namespace {

WaveletPlan read_plan(BitDecoder& side, const Index4& n) {
  WaveletPlan plan;
  plan.n = n;
  plan.stages.resize(side.raw(kStageBits) + 1);
  for (auto& masks : plan.stages) {
    masks.resize(side.raw(kLevelBits));
    for (uint8_t& m : masks) m = static_cast<uint8_t>(side.raw(kAxes));
  }
  return plan;
}

}  // namespace

void decode_transform(const WalkInput& in, ByteSpan section, std::span<int32_t> decoded) {
  ByteReader r(section);
  BitDecoder side(r.take(r.varint()));
  ResidualDecoder residuals(r.take(r.left()));
  const WaveletPlan plan = read_plan(side, in.n);
  TransformScales scales;
  scales.fraction = static_cast<int>(side.raw(kFractionBits));
  if (scales.fraction > kMostFraction) fail_corrupt("its field has too many bits after the point");
  const uint32_t digits = side.raw(kStepDigits);
  scales.step = digits << side.raw(kStepShiftBits);
  const std::vector<WaveletPart> parts = wavelet_parts(plan);
  Coefficients c(parts);
  decode_coefficients(side, residuals, c);
  scales.shift_one = static_cast<int>(side.raw(kShiftBits)) - kMostShift;
  scales.shift_more = static_cast<int>(side.raw(kShiftBits)) - kMostShift;
  synthesise(plan, c, scales, decoded);
  if (side.raw(1) != 0) decode_outliers(side, residuals, in, decoded);
  residuals.finish();
}

}  // namespace h5neural

// transform_damage_test.cc: what a reader of the transform refuses, beyond what random damage finds.
#include <gtest/gtest.h>

#include "support/failure.h"
#include "transform/contexts.h"

namespace h5neural {
namespace {

// Each part has some kilobytes of its own; the plan that leaves the most must not leave too many.
TEST(Wavelet, LeavesFewPartsOfLargeGrids) {
  const std::vector<std::vector<uint8_t>> all(kMaxStages,
                                              std::vector<uint8_t>(kMaxStageLevels, kClasses - 1));
  for (const Index4& n : {Index4{64, 64, 64, 64}, Index4{1, 1024, 64, 64}, Index4{2, 2, 512, 512}}) {
    EXPECT_LT(static_cast<int64_t>(wavelet_parts({n, all}).size()), points(n) / 100);
  }
}

// Two points: the root of the first part, then a quiet one that ends an empty run with `first`.
int32_t quiet_value(int32_t first) {
  const std::vector<WaveletPart> parts = wavelet_parts({{1, 1, 1, 2}, {{0b1000}}});
  BitEncoder encoder;
  CoefficientModels models;
  for (size_t k = 0; k < 2 * kFirstWeights.size(); ++k) models.weight.encode(encoder, 0);
  encoder.raw(0, kTopBits);
  models.root.encode(encoder, 0);
  models.run.encode(encoder, 0);
  models.first.encode(encoder, first);
  const Bytes side = encoder.finish();
  BitDecoder decoder(side);
  ResidualDecoder residuals({});
  Coefficients c(parts);
  decode_coefficients(decoder, residuals, c);
  return c.of[0][0][0b1000][0];
}

TEST(Coefficients, OfQuietPointsStayInRange) {
  EXPECT_EQ(quiet_value(0), 1);
  EXPECT_EQ(quiet_value(-1), -1);
  EXPECT_EQ(quiet_value(kResidualMax - 1), kResidualMax);
  EXPECT_EQ(quiet_value(-kResidualMax), -kResidualMax);
  EXPECT_THROW(quiet_value(kResidualMax), Failure);
  EXPECT_THROW(quiet_value(-kResidualMax - 1), Failure);
}

// A run of zeros must end where the quiet points do.
TEST(Coefficients, RefuseARunBeyondTheLastPoint) {
  const std::vector<WaveletPart> parts = wavelet_parts({{1, 1, 1, 2}, {{0b1000}}});
  for (const int32_t run : {1, 2}) {
    BitEncoder encoder;
    CoefficientModels models;
    for (size_t k = 0; k < 2 * kFirstWeights.size(); ++k) models.weight.encode(encoder, 0);
    encoder.raw(0, kTopBits);
    models.root.encode(encoder, 0);
    models.run.encode(encoder, run);
    const Bytes side = encoder.finish();
    BitDecoder decoder(side);
    ResidualDecoder residuals({});
    Coefficients c(parts);
    if (run == 1) {
      decode_coefficients(decoder, residuals, c);
      EXPECT_EQ(c.of[0][0][0b1000][0], 0);
    } else {
      EXPECT_THROW(decode_coefficients(decoder, residuals, c), Failure);
    }
  }
}

}  // namespace
}  // namespace h5neural

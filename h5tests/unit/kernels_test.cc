// kernels_test.cc: every set of kernels this machine has gives the scalar bits; the writer's float kernels
// agree with plain arithmetic.
#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>

namespace h5neural {
namespace {

class EverySet : public testing::TestWithParam<SimdTarget> {
 protected:
  void SetUp() override {
    set_ = simd_kernels(GetParam());
    if (set_ == nullptr) GTEST_SKIP() << "not on this machine";
  }
  const Kernels* set_ = nullptr;
};

TEST_P(EverySet, PassesItsKnownAnswer) { EXPECT_TRUE(passes_known_answer(*set_)); }

// Values at the ends of the lattice, largest coefficients, all pairs.
TEST_P(EverySet, PredictsAndChoosesContextsAsTheScalarSet) {
  std::mt19937 random(1);
  constexpr int kReach = 70, kCount = 131;
  for (int round = 0; round < 200; ++round) {
    std::vector<int32_t> v(kCount + 2 * kReach + kOverhang);
    std::vector<uint16_t> m(v.size());
    const int32_t most = 1 << (round % 29);
    for (auto& x : v)
      x = round % 7 == 0 ? (random() & 1 ? most : -most) : int32_t(random() % (2u * most)) - most;
    for (auto& x : m) x = static_cast<uint16_t>(random() % (1u + (65535u >> round % 17)));
    PredictorTaps p;
    ContextTaps c;
    p.pairs = 1 + static_cast<int>(random() % kMaxPairs);
    c.pairs = std::min(p.pairs, kContextPairs);
    c.origin = static_cast<int>(random() % 20) - 5;
    for (int j = 0; j < p.pairs; ++j) {
      p.plus[j] = v.data() + kReach + j % kReach;
      p.minus[j] = v.data() + kReach - j % kReach;
      p.coefficient[j] = static_cast<int32_t>(random()) >> (1 + round % 24);
      if (j >= c.pairs) continue;
      c.plus[j] = p.plus[j];
      c.minus[j] = p.minus[j];
      c.plus_magnitude[j] = m.data() + kReach + j;
      c.minus_magnitude[j] = m.data() + kReach - j;
    }
    for (auto& w : c.weight) w = static_cast<int32_t>(random() % ((1u << 20) + 1)) >> round % 21;
    const int count = 1 + static_cast<int>(random() % kCount);
    std::vector<int32_t> expected(kCount + kOverhang), found(kCount + kOverhang);
    scalar_kernels().predict(p, 0, count, expected.data());
    set_->predict(p, 0, count, found.data());
    for (int k = 0; k < count; ++k) ASSERT_EQ(found[k], expected[k]) << round << " " << k;
    std::vector<uint8_t> context(kCount + kOverhang), other(kCount + kOverhang);
    scalar_kernels().contexts(c, expected.data(), 0, count, context.data());
    set_->contexts(c, expected.data(), 0, count, other.data());
    for (int k = 0; k < count; ++k) ASSERT_EQ(other[k], context[k]) << round << " " << k;
  }
}

TEST_P(EverySet, AcceptsAsTheScalarSet) {
  std::mt19937 random(2);
  constexpr int kCount = 67;
  for (const int bin : {1, 2, 5, 13, 16}) {
    std::vector<int32_t> p(kCount + kOverhang), q(p.size()), value(p.size()), other(p.size());
    std::vector<uint16_t> magnitude(p.size()), other_magnitude(p.size());
    for (auto& x : p) x = static_cast<int32_t>(random() % (1u << 29)) - (1 << 28);
    for (auto& x : q) x = static_cast<int32_t>(random()) >> random() % 31;
    q[0] = 1 << 30;
    q[1] = -(1 << 30);
    scalar_kernels().accept(p.data(), q.data(), kCount, bin, value.data(), magnitude.data());
    set_->accept(p.data(), q.data(), kCount, bin, other.data(), other_magnitude.data());
    for (int k = 0; k < kCount; ++k) {
      ASSERT_EQ(other[k], value[k]) << k;
      ASSERT_EQ(other_magnitude[k], magnitude[k]) << k;
    }
  }
}

TEST_P(EverySet, FitsAsTheScalarSet) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  constexpr int kRows = 48 * kSampleBlock, kColumns = 13;
  std::vector<float> x(kRows * kColumns), y(kRows), w(kRows), e(kRows), other(kRows);
  for (auto& v : x) v = normal(random);
  for (auto& v : y) v = normal(random);
  for (auto& v : w) v = std::abs(normal(random));
  const Samples s{kRows, kColumns, kRows, x.data()};
  const std::vector<float> c(kColumns - 2, 0.25f);
  const double bits = scalar_kernels().residual_bits(s, c, y.data(), w.data(), e.data());
  EXPECT_NEAR(set_->residual_bits(s, c, y.data(), w.data(), other.data()), bits, 2e-3 * kRows);
  for (int i = 0; i < kRows; ++i) ASSERT_NEAR(other[i], e[i], 1e-4);
  std::vector<double> a(kColumns * kColumns), b(kColumns), a2(a), b2(b);
  scalar_kernels().normal_equations(s, kColumns, w.data(), e.data(), a.data(), b.data());
  set_->normal_equations(s, kColumns, w.data(), e.data(), a2.data(), b2.data());
  for (int j = 0; j < kColumns; ++j) {
    EXPECT_NEAR(b2[j], b[j], 1e-2);
    for (int k = 0; k <= j; ++k) EXPECT_NEAR(a2[j * kColumns + k], a[j * kColumns + k], 1e-2);
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, EverySet,
                         testing::Values(SimdTarget::kNeon, SimdTarget::kAvx2, SimdTarget::kAvx512),
                         [](const auto& set) {
                           return std::string(set.param == SimdTarget::kNeon   ? "neon"
                                              : set.param == SimdTarget::kAvx2 ? "avx2"
                                                                               : "avx512");
                         });

TEST(Kernels, ScalarIsTheTruth) { EXPECT_TRUE(passes_known_answer(scalar_kernels())); }

// The same numbers in ten years: payloads depend on them.
TEST(Kernels, ScalarGivesTheseNumbers) {
  const int32_t v[] = {1000, -2000, 4000, 70, -65, 123456, 9};
  const uint16_t m[] = {3, 500, 0, 65535, 2, 8, 1};
  PredictorTaps p;
  ContextTaps c;
  p.pairs = c.pairs = 3;
  c.origin = 7;
  for (int j = 0; j < 3; ++j) {
    p.plus[j] = c.plus[j] = v + 4 + j;
    p.minus[j] = c.minus[j] = v + 2 - j;
    p.coefficient[j] = (1 << 19) - 100000 * j;
    c.plus_magnitude[j] = m + 4 + j;
    c.minus_magnitude[j] = m + 2 - j;
    c.weight[j] = 1 << (10 + j);
  }
  int32_t out[1];
  uint8_t context[1];
  scalar_kernels().predict(p, 0, 1, out);
  EXPECT_EQ(out[0], 51425);
  scalar_kernels().contexts(c, out, 0, 1, context);
  EXPECT_EQ(context[0], 27);
}

}  // namespace
}  // namespace h5neural

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

// All counts, so that every part of a vector is the last one; nothing but what is asked for is written.
TEST_P(EverySet, LiftsAndReconstructsAsTheScalarSet) {
  std::mt19937 random(4);
  constexpr int kCount = 70;
  const auto numbers = [&random](int shifts) {
    std::vector<int32_t> v(kCount + kOverhang);
    for (auto& x : v) x = static_cast<int32_t>(random()) >> random() % static_cast<unsigned>(shifts);
    return v;
  };
  for (int count = 0; count <= kCount; ++count) {
    for (const int32_t c : {INT32_MIN, INT32_MAX, -425774695, 119052964, 1, 0}) {
      const std::vector<int32_t> left = numbers(20), right = numbers(20), start = numbers(20);
      std::vector<int32_t> expected = start, found = start;
      scalar_kernels().lift(expected.data(), left.data(), right.data(), count, c);
      set_->lift(found.data(), left.data(), right.data(), count, c);
      ASSERT_EQ(found, expected) << count << " " << c;
      for (const int times : {0, 1, 4}) {
        scalar_kernels().scale(left.data(), count, c, times, expected.data());
        set_->scale(left.data(), count, c, times, found.data());
        ASSERT_EQ(found, expected) << count << " " << c;
      }
    }
    std::vector<int32_t> q = numbers(31);
    for (auto& x : q) x = std::clamp(x, -(1 << 30), 1 << 30);
    for (const int32_t step : {1, 3, 64, 1000003, (1 << 30) - 1, 1 << 30}) {
      for (const int part : {-16, 0, 15}) {
        const ReconstructionPoints r{step, static_cast<int32_t>(int64_t{step} * part / 64),
                                     static_cast<int32_t>(int64_t{step} * -part / 65), 1 << 30};
        std::vector<int32_t> expected = q, found = q;
        scalar_kernels().reconstruct(q.data(), count, r, expected.data());
        set_->reconstruct(q.data(), count, r, found.data());
        ASSERT_EQ(found, expected) << count << " " << step << " " << part;
      }
    }
    const std::vector<int32_t> odd = numbers(31);
    std::vector<int32_t> expected(2 * (kCount + kOverhang)), found = expected;
    scalar_kernels().interleave(q.data(), odd.data(), count, expected.data());
    set_->interleave(q.data(), odd.data(), count, found.data());
    for (int k = 0; k < 2 * count; ++k) ASSERT_EQ(found[k], expected[k]) << count << " " << k;
  }
}

TEST_P(EverySet, WeighsRowsAsTheScalarSet) {
  std::mt19937 random(5);
  constexpr int kCount = 70, kRows = 23;
  std::vector<uint16_t> magnitudes(kCount + kOverhang + kRows);
  const uint16_t* rows[kRows];
  for (int r = 0; r < kRows; ++r) rows[r] = magnitudes.data() + r;
  for (int count = 0; count <= kCount; ++count) {
    for (auto& m : magnitudes) m = static_cast<uint16_t>(count % 2 ? 16383 : random() % 16384);
    std::vector<WeighedRows> sums;
    for (int r = 0; r <= kRows; r += 1 + r / 2)
      sums.push_back({static_cast<uint32_t>(random() % 257), r, rows});
    std::vector<uint32_t> expected(kCount + kOverhang, 4000000000u), found = expected;
    scalar_kernels().weigh(sums, count, expected.data());
    set_->weigh(sums, count, found.data());
    for (int k = 0; k < count; ++k) ASSERT_EQ(found[k], expected[k]) << count << " " << k;
  }
}

// In arrays of their very size: a set that reads or writes beyond them is found by the sanitizers.
TEST_P(EverySet, SeesRoughnessAsTheScalarSet) {
  std::mt19937 random(6);
  for (int count = 1; count <= 70; ++count) {
    std::array<std::vector<int32_t>, 9> row;
    for (auto& r : row) {
      for (int k = 0; k < count; ++k) {
        const int32_t v = static_cast<int32_t>(random() % ((1u << 29) + 1)) - (1 << 28);
        r.push_back(count % 3 == 0 ? (v < 0 ? -(1 << 28) : 1 << 28) : v >> random() % 29);
      }
    }
    RowsBeside b;
    for (b.axes = 0; b.axes <= kRoughAxes; ++b.axes) {
      std::vector<uint8_t> expected(static_cast<size_t>(count)), found(expected);
      scalar_kernels().roughness(row[8].data(), b, count, expected.data());
      set_->roughness(row[8].data(), b, count, found.data());
      ASSERT_EQ(found, expected) << count << " " << b.axes;
      if (b.axes == kRoughAxes) break;
      b.before[b.axes] = row[b.axes].data();
      b.after[b.axes] = row[b.axes + 4].data();
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
  scalar_kernels().normal_equations(s, 0, kColumns, w.data(), e.data(), a.data(), b.data());
  // In two steps, as fits grow.
  set_->normal_equations(s, 0, 5, w.data(), e.data(), a2.data(), b2.data());
  set_->normal_equations(s, 5, kColumns, w.data(), e.data(), a2.data(), b2.data());
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

TEST(Kernels, ScalarLiftsToTheseNumbers) {
  int32_t x[] = {1000, -7, 1 << 30, 0};
  const int32_t left[] = {500, 3, INT32_MAX, -1}, right[] = {-3, 1000000, INT32_MAX, 0};
  scalar_kernels().lift(x, left, right, 4, -425774695);
  EXPECT_EQ(x[0], 1788);
  EXPECT_EQ(x[1], 1586132);
  EXPECT_EQ(x[2], 1073741821);
  EXPECT_EQ(x[3], -2);
  const int32_t in[] = {1000, -1};
  scalar_kernels().scale(in, 2, 330222347, 2, x);
  EXPECT_EQ(x[0], 1513);
  EXPECT_EQ(x[1], -1);
  const int32_t q[] = {0, 1, -2, 1 << 30};
  scalar_kernels().reconstruct(q, 4, {640, 50, 20, 1 << 30}, x);
  EXPECT_EQ(x[0], 0);
  EXPECT_EQ(x[1], 590);
  EXPECT_EQ(x[2], -1260);
  EXPECT_EQ(x[3], 1 << 30);
}

}  // namespace
}  // namespace h5neural

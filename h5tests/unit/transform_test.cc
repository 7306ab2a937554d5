// transform_test.cc: the transform mode and what it is made of: the wavelet and its norms, plans, the coding
// of coefficients, synthesis, outliers.
#include "transform/transform.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "support/failure.h"
#include "transform/outliers.h"
#include "transform/plans.h"
#include "transform/stack.h"
#include "transform/synthesis.h"

namespace h5neural {
namespace {

const std::vector<Index4> kShapes = {{1, 1, 1, 2},   {1, 1, 1, 3},  {1, 1, 1, 257}, {1, 1, 2, 2},
                                     {1, 1, 31, 40}, {1, 9, 16, 7}, {3, 2, 11, 12}, {2, 2, 2, 500}};

std::vector<double> noise(const Index4& n, double size, uint32_t seed = 3) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, size);
  std::vector<double> x(static_cast<size_t>(points(n)));
  for (double& v : x) v = normal(random);
  return x;
}

// Smooth along every axis, with a little noise, in lattice units.
std::vector<double> smooth(const Index4& n) {
  std::vector<double> x = noise(n, 3);
  size_t at = 0;
  for_rows(n, [&](const Index4& i) {
    for (int k = 0; k < n[3]; ++k) {
      x[at++] += 4000 * std::sin(0.1 * k + 0.3 * i[2]) * std::cos(0.2 * i[1] - 0.4 * i[0]);
    }
  });
  return x;
}

uint8_t all_axes(const Index4& n) {
  uint8_t mask = 0;
  for (int a = 0; a < kAxes; ++a) mask |= static_cast<uint8_t>(n[a] > 1 ? 1 << a : 0);
  return mask;
}

TEST(Wavelet, ComesBackFromItsBands) {
  for (const Index4& n : kShapes) {
    const uint8_t mask = all_axes(n);
    for (uint8_t m = 1; m < kClasses; ++m) {
      if ((m & ~mask) != 0) continue;
      const std::vector<double> x = noise(n, 1 << 20);
      std::vector<double> bands = x;
      split(n, m, bands);
      std::vector<int32_t> points_of_band, back;
      LevelMerge level(n, m);
      for (uint8_t axes = 0; axes < kClasses; ++axes) {
        if ((axes & ~m) != 0) continue;
        points_of_band.clear();
        for_band_points(n, m, axes, [&](int64_t p, int64_t) {
          points_of_band.push_back(static_cast<int32_t>(std::lround(bands[p])));
        });
        const int width = band_count(n, m, axes)[3];
        level.band(axes, points_of_band.data(),
                   [&](const int32_t* in, int32_t* out) { std::copy_n(in, width, out); });
      }
      const LevelValues merged = level.finish();
      back.assign(merged.begin(), merged.begin() + static_cast<ptrdiff_t>(x.size()));
      // Each of four steps an axis rounds; the errors are amplified by less than two an axis.
      for (size_t k = 0; k < x.size(); ++k) ASSERT_NEAR(back[k], x[k], 40) << int{m};
    }
  }
}

TEST(Wavelet, HasNoHighBandsOnALine) {
  const Index4 n{1, 1, 1, 64};
  std::vector<double> x(64);
  for (int k = 0; k < 64; ++k) x[k] = 100 + 7 * k;
  split(n, 0b1000, x);
  for (int k = 9; k < 55; k += 2) EXPECT_NEAR(x[k], 0, 1e-4) << k;
}

// The norm of a basis function: what a coefficient of one alone becomes.
TEST(Wavelet, KnowsTheNormsOfItsBands) {
  const Index4 n{1, 64, 64, 96};
  TransformScales scales;
  scales.step = 1u << 20;
  for (const WaveletPlan& plan :
       {WaveletPlan{n, {{0b1000, 0b1000}, {0b0100, 0b0100}}}, WaveletPlan{n, {{0b1110, 0b1100}}},
        WaveletPlan{n, {{0b1010}, {0b0100, 0b0100}}}}) {
    const std::vector<WaveletPart> parts = wavelet_parts(plan);
    for (size_t p = 0; p < parts.size(); ++p) {
      const size_t levels = parts[p].masks.size();
      for (size_t l = 0; l <= levels; ++l) {
        for (const uint8_t axes : l == levels ? std::vector<uint8_t>{0} : band_order(parts[p].masks[l])) {
          Coefficients c(parts);
          const Index4 box =
              l == levels ? parts[p].grid(l) : band_count(parts[p].grid(l), parts[p].masks[l], axes);
          const int middle = ((box[1] / 2) * box[2] + box[2] / 2) * box[3] + box[3] / 2;  // far from the ends
          c.of[p][l][axes][static_cast<size_t>(middle)] = 1;
          std::vector<int32_t> x(static_cast<size_t>(points(n)));
          synthesise(plan, c, scales, x);
          double squares = 0;
          for (const int32_t v : x) squares += double(v) * v;
          EXPECT_NEAR(std::sqrt(squares), std::ldexp(scales.step, -kStepFraction), 45)
              << p << " " << l << " " << int{axes};
        }
      }
    }
  }
}

TEST(Wavelet, PartsCoverEveryPointOnce) {
  for (const Index4& n : kShapes) {
    for (const WaveletPlan& plan : {WaveletPlan{n, {{}}}, WaveletPlan{n, {{15, 15, 15, 15}}},
                                    WaveletPlan{n, {{8, 8, 8}, {4, 4}, {3, 3, 1, 2}}},
                                    WaveletPlan{n, {{6, 8, 2}, {15}, {9}, {15, 15}}}}) {
      const std::vector<WaveletPart> parts = wavelet_parts(plan);
      const Bands<int32_t> bands(parts);
      int64_t all = 0;
      for (size_t p = 0; p < parts.size(); ++p) {
        EXPECT_LT(parts[p].above, static_cast<int>(p));
        for (const auto& level : bands.of[p]) {
          for (const auto& band : level) all += static_cast<int64_t>(band.size());
        }
      }
      EXPECT_EQ(all, points(n));
    }
  }
}

std::vector<WaveletPlan> plans_for(const Index4& n) {
  return {{n, {{}}},
          {n, {{15, 15, 15, 15, 15, 15}}},
          {n, {{8, 8, 8, 8}, {4, 4, 4}, {3, 3, 3}}},
          {n, {{12, 12, 12}, {3, 3}}}};
}

TEST(Transform, DecodesToWhatTheWriterSaw) {
  for (const Index4& n : kShapes) {
    const std::vector<double> x = smooth(n);
    WalkInput in;
    in.n = n;
    in.step_bits = 4;
    std::vector<uint8_t> skip(x.size());
    for (size_t k = 0; k < skip.size(); k += 7) skip[k] = 1;
    for (const WaveletPlan& plan : plans_for(n)) {
      for (const double step : {2.0, 30.0, 900.0, 100000.0}) {
        for (const bool pointwise : {false, true}) {
          TransformChoice choice;
          choice.step = step;
          choice.pointwise = pointwise;
          in.skip = pointwise ? std::span<const uint8_t>(skip) : std::span<const uint8_t>();
          std::vector<int32_t> seen, read(x.size());
          CoefficientMemory memory;
          const Bytes section = encode_transform(in, analyse(plan, x), choice, x, memory, seen);
          decode_transform(in, section, read);
          ASSERT_EQ(seen, read);
          for (size_t k = 0; pointwise && k < x.size(); ++k) {
            ASSERT_TRUE(skip[k] || std::abs(x[k] - read[k]) <= 8 + 0.5);
          }
        }
      }
    }
  }
}

// Each field the difference from what was decoded of the one before.
TEST(Stack, ReaderGetsTheFieldsThatTheWriterSaw) {
  for (const Index4& n : {Index4{1, 1, 1, 257}, Index4{1, 1, 31, 40}, Index4{1, 9, 16, 7}}) {
    constexpr int kCount = 5;
    const auto size = static_cast<size_t>(points(n));
    Index4 all = n;
    all[static_cast<size_t>(std::find_if(n.begin(), n.end(), [](int k) { return k > 1; }) - n.begin() - 1)] =
        kCount;
    for (const WaveletPlan& plan : plans_for(n)) {
      StackMemory memory;
      for (const double step : {900.0, 30.0, 2.0}) {  // the first without a memory
        TransformChoice choice;
        choice.step = step;
        StackEncoder stack(plan, kCount, 20000, choice, memory);
        std::vector<int32_t> seen(kCount * size), read(kCount * size);
        for (size_t t = 0; t < kCount; ++t) {
          std::vector<double> x = smooth(n);
          for (size_t k = 0; t > 0 && k < size; ++k) x[k] = 1.1 * x[k] - seen[(t - 1) * size + k];
          const auto decoded = std::span(seen).subspan(t * size, size);
          stack.add(x, decoded);
          for (size_t k = 0; k < size; ++k) ASSERT_NEAR(x[k], decoded[k], 9 * step + 2);
        }
        const Bytes section = stack.finish();
        WalkInput in;
        in.n = all;
        decode_transform(in, section, read);
        ASSERT_EQ(seen, read);
      }
    }
  }
}

TEST(Transform, ErrorsOfAStepAreThoseOfItsRounding) {
  const Index4 n{1, 20, 40, 60};
  const std::vector<double> x = noise(n, 3000);
  WalkInput in;
  in.n = n;
  TransformChoice choice;
  choice.step = 200;
  choice.lambda = 0;
  std::vector<int32_t> y;
  CoefficientMemory memory;
  encode_transform(in, analyse({n, {{14, 14}, {}}}, x), choice, x, memory, y);
  double squares = 0;
  for (size_t k = 0; k < x.size(); ++k) squares += (x[k] - y[k]) * (x[k] - y[k]);
  // Uniform rounding of an orthonormal transform leaves step / sqrt(12); 9/7 is nearly orthonormal.
  EXPECT_NEAR(std::sqrt(squares / double(x.size())), 200 / std::sqrt(12.0), 8);
}

TEST(Transform, TakesTimeApartWhereAPatternStays) {
  const Index4 n{1, 40, 32, 32};
  std::vector<double> x = noise(n, 20), map = noise({1, 1, 32, 32}, 5000, 9);
  for (size_t k = 0; k < x.size(); ++k) x[k] += map[k % map.size()];
  WalkInput in;
  in.n = n;
  in.step_bits = 4;
  TransformChoice choice;
  choice.step = 60;
  const std::vector<WaveletPlan> plans = choose_plans(in, {}, x, choice, PlanEffort{});
  ASSERT_EQ(plans.size(), 1u);
  ASSERT_GE(plans[0].stages.size(), 2u);
  EXPECT_EQ(plans[0].stages[0][0], 0b0010);
  std::vector<int32_t> y;
  CoefficientMemory memory;
  const size_t apart = encode_transform(in, analyse(plans[0], x), choice, x, memory, y).size();
  memory = {};
  const size_t together =
      encode_transform(in, analyse({n, {{14, 14, 14, 14}}}, x), choice, x, memory, y).size();
  EXPECT_LT(4 * apart, together);
}

TEST(Transform, CostsNextToNothingWhereThereIsNothing) {
  const Index4 n{1, 64, 64, 64};
  std::vector<double> x(static_cast<size_t>(points(n)), 5);
  x[100000] = 90000;  // a few coefficients in each band
  WalkInput in;
  in.n = n;
  TransformChoice choice;
  choice.step = 64;
  std::vector<int32_t> y;
  CoefficientMemory memory;
  EXPECT_LT(encode_transform(in, analyse({n, {{14, 14, 14, 14}}}, x), choice, x, memory, y).size(), 1500u);
}

TEST(Transform, RefusesDamageOrGivesSomeField) {
  const Index4 n{1, 6, 17, 20};
  const std::vector<double> x = smooth(n);
  WalkInput in;
  in.n = n;
  in.step_bits = 4;
  TransformChoice choice;
  choice.step = 20;
  choice.pointwise = true;
  std::vector<int32_t> y;
  CoefficientMemory memory;
  const Bytes section = encode_transform(in, analyse({n, {{8, 8}, {6, 6, 6}}}, x), choice, x, memory, y);
  std::mt19937 random(5);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    Bytes damaged = section;
    if (round % 3 == 0) damaged.resize(random() % damaged.size());
    for (int k = 0; k < 1 + round % 4 && !damaged.empty(); ++k) {
      damaged[random() % std::min<size_t>(damaged.size(), round % 2 ? 60 : 1 << 20)] ^=
          static_cast<uint8_t>(1 << random() % 8);
    }
    try {
      decode_transform(in, damaged, y);
    } catch (const Failure&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST(Outliers, BringEveryPointWithinHalfABin) {
  const Index4 n{1, 3, 50, 41};
  const std::vector<double> x = smooth(n);
  WalkInput in;
  in.n = n;
  in.step_bits = 3;
  std::mt19937 random(8);
  std::vector<int32_t> y(x.size());
  for (size_t k = 0; k < x.size(); ++k) {
    y[k] = static_cast<int32_t>(std::lround(x[k])) +
           static_cast<int32_t>(random() % 100 == 0 ? random() % 99 : 0);
  }
  std::vector<int32_t> read = y;
  BitEncoder side;
  ResidualEncoder residuals;
  encode_outliers(side, residuals, in, x, {}, y);
  const Bytes s = side.finish(), r = residuals.finish();
  BitDecoder side_in(s);
  ResidualDecoder residuals_in(r);
  decode_outliers(side_in, residuals_in, in, read);
  residuals_in.finish();
  EXPECT_EQ(y, read);
  for (size_t k = 0; k < x.size(); ++k) ASSERT_LE(std::abs(x[k] - y[k]), 4);
}

TEST(SmoothOver, FillsGapsFromAround) {
  const Index4 n{1, 1, 32, 32};
  std::vector<double> x(1024);
  std::vector<uint8_t> skip(1024);
  for (int i = 0; i < 32; ++i) {
    for (int k = 0; k < 32; ++k) {
      x[32 * i + k] = 10.0 * i;
      skip[32 * i + k] = i > 10 && i < 16 && k > 3 && k < 25;
    }
  }
  std::vector<double> holed = x;
  for (size_t k = 0; k < x.size(); ++k) holed[k] = skip[k] ? 1e9 : x[k];
  const std::vector<double> y = smooth_over(n, holed, skip);
  for (size_t k = 0; k < x.size(); ++k) EXPECT_NEAR(y[k], x[k], skip[k] ? 80 : 0);
  EXPECT_EQ(smooth_over(n, x, {}), x);
  const std::vector<uint8_t> none(1024, 1);
  for (const double v : smooth_over(n, holed, none)) EXPECT_TRUE(std::isfinite(v));
}

}  // namespace
}  // namespace h5neural

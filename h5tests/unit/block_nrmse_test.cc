// block_nrmse_test.cc: the bound on the RMSE of each patch: which points a patch has, and that every one of
// them keeps it, through the C API.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "codec/patches.h"
#include "h5neural/h5neural.h"

namespace h5neural {
namespace {

using Dims = std::vector<uint64_t>;

// The patch of each point, counted anew: from its coordinates.
std::vector<uint64_t> patch_of_points(const Dims& dims) {
  Dims n;
  std::copy_if(dims.begin(), dims.end(), std::back_inserter(n), [](uint64_t v) { return v > 1; });
  uint64_t count = 1;
  for (const uint64_t v : n) count *= v;
  std::vector<uint64_t> patch(count);
  for (uint64_t k = 0; k < count; ++k) {
    if (n.size() < 2) {
      patch[k] = k / 64;
      continue;
    }
    const uint64_t width = n.back(), height = n[n.size() - 2];
    const uint64_t x = k % width, y = k / width % height, plane = k / width / height;
    patch[k] = (plane * ((height + 7) / 8) + y / 8) * ((width + 7) / 8) + x / 8;
  }
  return patch;
}

TEST(Patches, AreEightByEightOfTheLastTwoAxes) {
  const std::vector<Dims> shapes{{1},          {64},          {65},      {1, 300},         {300, 1},
                                 {20, 30},     {3, 17, 8},    {2, 1, 9}, {2, 3, 1, 20, 7}, {8, 8},
                                 {1, 1, 1, 1}, {5, 1, 1, 129}};
  for (const Dims& dims : shapes) {
    Extents e;
    e.rank = static_cast<int>(dims.size());
    std::copy(dims.begin(), dims.end(), e.n.begin());
    const Patches patches = Patches::of(e);
    const std::vector<uint64_t> expected = patch_of_points(dims);
    std::vector<uint64_t> found;
    patches.for_pieces(e.count(), [&](size_t patch, size_t from, size_t to) {
      ASSERT_EQ(from, found.size());
      found.resize(to, patch);
    });
    EXPECT_EQ(found, expected);
    EXPECT_EQ(patches.count(e.count()), expected.back() + 1);
  }
}

template <class T>
h5n_params params(double bound, const Dims& dims, uint32_t effort = 5) {
  h5n_params p{};
  p.mode = H5N_BLOCK_NRMSE;
  p.bound = bound;
  p.effort = effort;
  p.type = sizeof(T) == 4 ? H5N_FLOAT32 : H5N_FLOAT64;
  p.rank = static_cast<uint32_t>(dims.size());
  std::copy(dims.begin(), dims.end(), p.dims);
  return p;
}

template <class T>
bool special(const h5n_params& p, T x) {
  std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t> bits;
  std::memcpy(&bits, &x, sizeof x);
  return !std::isfinite(x) || (x == 0 && std::signbit(x)) || (p.has_fill && bits == p.fill);
}

// Encodes and decodes; specials must come back bit for bit. Returns the largest RMSE of a patch over the one
// allowed; `bytes` receives the payload's.
template <class T>
double worst_patch(const h5n_params& p, const std::vector<T>& x, size_t& bytes) {
  void* out = nullptr;
  h5n_error e{};
  EXPECT_EQ(h5n_encode(&p, x.data(), x.size() * sizeof(T), &out, &bytes, &e), H5N_OK) << e.message;
  std::vector<T> y(x.size());
  EXPECT_EQ(h5n_decode(out, bytes, y.data(), y.size() * sizeof(T), &e), H5N_OK) << e.message;
  h5n_info info{};
  EXPECT_EQ(h5n_inspect(out, bytes, &info, &e), H5N_OK) << e.message;
  EXPECT_EQ(info.mode, H5N_BLOCK_NRMSE);
  EXPECT_EQ(info.bound, p.bound);
  h5n_free(out);
  const std::vector<uint64_t> patch = patch_of_points(Dims(p.dims, p.dims + p.rank));
  std::map<uint64_t, std::pair<double, double>> sums;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (size_t k = 0; k < x.size(); ++k) {
    if (special(p, x[k])) {
      EXPECT_EQ(std::memcmp(&x[k], &y[k], sizeof(T)), 0) << k;
      continue;
    }
    low = std::min(low, double(x[k]));
    high = std::max(high, double(x[k]));
    auto& [squares, points] = sums[patch[k]];
    squares += std::pow(double(x[k]) - double(y[k]), 2);
    points += 1;
  }
  double worst = 0;
  for (const auto& [_, sum] : sums) worst = std::max(worst, std::sqrt(sum.first / sum.second));
  return worst == 0 ? 0 : worst / (high - low) / p.bound;
}

// Smooth, with a few rough places.
template <class T>
std::vector<T> mostly_smooth(uint64_t height, uint64_t width) {
  std::mt19937_64 random(height + width);
  std::normal_distribution<double> normal;
  std::vector<T> x;
  for (uint64_t i = 0; i < height; ++i) {
    for (uint64_t j = 0; j < width; ++j) {
      const bool rough = (i / 9 + j / 11) % 13 == 0;
      x.push_back(static_cast<T>(std::sin(double(i) * 0.07) * std::cos(double(j) * 0.05) +
                                 (rough ? 0.2 * normal(random) : 0)));
    }
  }
  return x;
}

template <class T>
std::vector<T> noise(size_t count) {
  std::mt19937_64 random(count);
  std::normal_distribution<double> normal;
  std::vector<T> x(count);
  for (T& v : x) v = static_cast<T>(normal(random));
  return x;
}

template <class T>
class BlockNrmse : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(BlockNrmse, Types);

TYPED_TEST(BlockNrmse, KeepsEveryPatchOfARoughField) {
  const auto x = mostly_smooth<TypeParam>(90, 110);
  for (const uint32_t effort : {0u, 1u, 5u}) {
    for (const double bound : {1e-1, 1e-2, 1e-3, 1e-5}) {
      size_t bytes = 0;
      const double worst = worst_patch(params<TypeParam>(bound, {90, 110}, effort), x, bytes);
      EXPECT_LE(worst, 1) << bound;
      EXPECT_GE(worst, 0.5) << bound << ": the bound is hardly used";
      EXPECT_LT(bytes, x.size() * sizeof(TypeParam));
    }
  }
}

// Rough places cost more than under a bound on the mean, but all others do not follow them.
TYPED_TEST(BlockNrmse, TakesLessThanAPointwiseBoundOrTheStepOfTheWorstPatch) {
  const auto x = mostly_smooth<TypeParam>(200, 180);
  size_t patches = 0;
  EXPECT_LE(worst_patch(params<TypeParam>(1e-2, {200, 180}), x, patches), 1);
  auto p = params<TypeParam>(1e-2, {200, 180});
  const auto size = [&](uint32_t mode, double bound) {
    p.mode = mode;
    p.bound = bound;
    void* out = nullptr;
    size_t bytes = 0;
    EXPECT_EQ(h5n_encode(&p, x.data(), x.size() * sizeof(TypeParam), &out, &bytes, nullptr), H5N_OK);
    h5n_free(out);
    return bytes;
  };
  EXPECT_GT(patches, size(H5N_NRMSE, 1e-2));
  EXPECT_LT(patches, size(H5N_REL, 1e-2));
  EXPECT_LT(patches, size(H5N_NRMSE, 3e-3));
}

TYPED_TEST(BlockNrmse, KeepsNoise) {
  const auto x = noise<TypeParam>(60 * 70);
  for (const double bound : {0.3, 1e-1, 1e-2, 1e-4, 1e-7, 1e-14}) {
    size_t bytes = 0;
    EXPECT_LE(worst_patch(params<TypeParam>(bound, {60, 70}), x, bytes), 1) << bound;
  }
}

TYPED_TEST(BlockNrmse, LeavesSpecialsOut) {
  using Limits = std::numeric_limits<TypeParam>;
  std::mt19937 random(5);
  auto x = mostly_smooth<TypeParam>(70, 50);
  const auto fill = TypeParam(-9999);
  const std::vector<TypeParam> odd{Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity(),
                                   TypeParam(-0.0), fill};
  for (size_t k = 0; k < x.size(); ++k) {
    if (k % 50 < 20 || random() % 40 == 0) x[k] = k % 50 < 20 ? fill : odd[random() % odd.size()];
  }
  for (const bool has_fill : {true, false}) {  // else a sentinel: what is no fill value still comes back
    for (const double bound : {1e-2, 1e-4}) {
      auto p = params<TypeParam>(bound, {70, 50});
      p.has_fill = has_fill;
      std::memcpy(&p.fill, &fill, sizeof fill);
      size_t bytes = 0;
      EXPECT_LE(worst_patch(p, x, bytes), 1) << bound;
    }
  }
}

TYPED_TEST(BlockNrmse, KeepsThinAndOddChunks) {
  const std::vector<Dims> shapes{{1},       {2},        {63},          {1000},
                                 {1, 1, 1}, {1, 500},   {500, 1},      {3, 1, 5},
                                 {7, 7},    {9, 2, 33}, {4, 1, 20, 9}, {2, 3, 2, 3, 2, 3, 2, 3},
                                 {100, 2},  {2, 100}};
  for (const Dims& dims : shapes) {
    uint64_t count = 1;
    for (const uint64_t v : dims) count *= v;
    for (const double bound : {1e-1, 1e-3}) {
      size_t bytes = 0;
      EXPECT_LE(worst_patch(params<TypeParam>(bound, dims), mostly_smooth<TypeParam>(count, 1), bytes), 1)
          << testing::PrintToString(dims);
      EXPECT_LE(worst_patch(params<TypeParam>(bound, dims), noise<TypeParam>(count), bytes), 1)
          << testing::PrintToString(dims);
    }
  }
}

TYPED_TEST(BlockNrmse, KeepsValuesThatTheTypeHardlyResolves) {
  std::vector<TypeParam> x = noise<TypeParam>(50 * 40);
  const TypeParam ulp = std::numeric_limits<TypeParam>::epsilon() * TypeParam(1024);
  for (TypeParam& v : x) v = TypeParam(1024) + std::round(v * 3) * ulp;  // some twenty values
  for (const double bound : {0.2, 0.05, 0.01}) {
    size_t bytes = 0;
    EXPECT_LE(worst_patch(params<TypeParam>(bound, {50, 40}), x, bytes), 1) << bound;
  }
}

TYPED_TEST(BlockNrmse, KeepsAConstantChunk) {
  size_t bytes = 0;
  EXPECT_EQ(worst_patch(params<TypeParam>(1e-2, {40, 30}), std::vector<TypeParam>(1200, TypeParam(7)), bytes),
            0);
  EXPECT_LT(bytes, 100u);
}

}  // namespace
}  // namespace h5neural

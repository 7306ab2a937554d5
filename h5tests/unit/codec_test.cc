// codec_test.cc: chunks through the C API: every bound is kept, specials come back bit for bit, nothing
// expands, nothing throws.
#include <gtest/gtest.h>

#include <bit>
#include <cfenv>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "h5neural/h5neural.h"

namespace {

struct Free {
  void operator()(void* p) const { h5n_free(p); }
};

struct Coded {
  std::unique_ptr<void, Free> bytes;
  size_t size = 0;
};

template <class T>
h5n_params params(uint32_t mode, double bound, std::vector<uint64_t> dims) {
  h5n_params p{};
  p.mode = mode;
  p.bound = bound;
  p.effort = 5;
  p.type = sizeof(T) == 4 ? H5N_FLOAT32 : H5N_FLOAT64;
  p.rank = static_cast<uint32_t>(dims.size());
  std::copy(dims.begin(), dims.end(), p.dims);
  return p;
}

template <class T>
Coded encode(const h5n_params& p, const std::vector<T>& x) {
  void* out = nullptr;
  Coded c;
  h5n_error e{};
  EXPECT_EQ(h5n_encode(&p, x.data(), x.size() * sizeof(T), &out, &c.size, &e), H5N_OK) << e.message;
  c.bytes.reset(out);
  EXPECT_LE(c.size, x.size() * sizeof(T) + 64);
  h5n_info info{};
  EXPECT_EQ(h5n_inspect(out, c.size, &info, &e), H5N_OK) << e.message;
  EXPECT_LE(info.header_bytes, 64u);
  EXPECT_EQ(info.header_bytes + info.latents_bytes + info.corrections_bytes + info.specials_bytes, c.size);
  return c;
}

template <class T>
std::vector<T> decode(const Coded& c, size_t count) {
  std::vector<T> y(count);
  h5n_error e{};
  EXPECT_EQ(h5n_decode(c.bytes.get(), c.size, y.data(), count * sizeof(T), &e), H5N_OK) << e.message;
  return y;
}

template <class T>
std::vector<T> round_trip(const h5n_params& p, const std::vector<T>& x) {
  return decode<T>(encode(p, x), x.size());
}

template <class T>
bool same_bits(T a, T b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

template <class T>
std::vector<T> waves(size_t n, double noise = 0.02) {
  std::mt19937_64 random(n);
  std::normal_distribution<double> normal;
  std::vector<T> x;
  for (size_t k = 0; k < n; ++k)
    x.push_back(static_cast<T>(3 + std::sin(double(k) * 0.05) + noise * normal(random)));
  return x;
}

template <class T>
class Codec : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Codec, Types);

TYPED_TEST(Codec, KeepsAbsoluteBounds) {
  const auto x = waves<TypeParam>(12 * 20 * 15);
  for (const double bound : {1.0, 1e-1, 1e-2, 1e-4, 1e-6, 3e-7, 1e-12}) {
    const auto y = round_trip(params<TypeParam>(H5N_ABS, bound, {12, 20, 15}), x);
    for (size_t k = 0; k < x.size(); ++k) ASSERT_LE(std::abs(double(x[k]) - double(y[k])), bound) << bound;
  }
}

TYPED_TEST(Codec, KeepsBoundsRelativeToTheRange) {
  auto x = waves<TypeParam>(3000);
  for (size_t k = 100; k < 200; ++k) x[k] = TypeParam(-9999);  // a sentinel does not widen the range
  const auto y = round_trip(params<TypeParam>(H5N_REL, 1e-2, {3000}), x);
  for (size_t k = 0; k < x.size(); ++k) {
    if (k >= 100 && k < 200) {
      ASSERT_TRUE(same_bits(x[k], y[k]));
    }
    ASSERT_LE(std::abs(double(x[k]) - double(y[k])), 1e-2 * 2.3);
  }
}

TYPED_TEST(Codec, KeepsPointwiseRelativeBounds) {
  std::mt19937_64 random(3);
  std::vector<TypeParam> x;
  for (int k = 0; k < 4000; ++k) {
    const double magnitude = std::exp(std::sin(k * 0.01) * 20);
    x.push_back(static_cast<TypeParam>(k % 97 == 0 ? 0 : (random() % 50 == 0 ? -1 : 1) * magnitude));
  }
  for (const double bound : {0.9, 1e-1, 1e-3, 1e-6}) {
    const auto y = round_trip(params<TypeParam>(H5N_RATIO, bound, {40, 100}), x);
    for (size_t k = 0; k < x.size(); ++k) {
      ASSERT_LE(std::abs(double(x[k]) - double(y[k])), bound * std::abs(double(x[k])));
      ASSERT_EQ(std::signbit(x[k]), std::signbit(y[k]));
    }
  }
}

TYPED_TEST(Codec, KeepsL2Bounds) {
  const auto x = waves<TypeParam>(50 * 60);
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  const double range = double(*high) - double(*low);
  const auto rmse = [&](const std::vector<TypeParam>& y) {
    double s = 0;
    for (size_t k = 0; k < x.size(); ++k) s += std::pow(double(x[k]) - double(y[k]), 2);
    return std::sqrt(s / double(x.size()));
  };
  for (const double nrmse : {1e-1, 1e-2, 1e-4}) {
    const double r = rmse(round_trip(params<TypeParam>(H5N_NRMSE, nrmse, {50, 60}), x));
    EXPECT_LE(r, nrmse * range * (1 + 1e-12));
    EXPECT_GE(r, nrmse * range / 4) << "the bound is hardly used";
  }
  EXPECT_LE(rmse(round_trip(params<TypeParam>(H5N_PSNR, 60, {50, 60}), x)), 1e-3 * range * (1 + 1e-12));
}

TYPED_TEST(Codec, BringsBackEveryBitWithoutLoss) {
  using Limits = std::numeric_limits<TypeParam>;
  auto x = waves<TypeParam>(900);
  x[0] = Limits::quiet_NaN();
  x[1] = -Limits::quiet_NaN();
  x[2] = Limits::infinity();
  x[3] = -Limits::infinity();
  x[4] = TypeParam(-0.0);
  x[5] = Limits::denorm_min();
  x[6] = -Limits::max();
  const auto y = round_trip(params<TypeParam>(H5N_LOSSLESS, 0, {30, 30}), x);
  for (size_t k = 0; k < x.size(); ++k) ASSERT_TRUE(same_bits(x[k], y[k])) << k;
}

TYPED_TEST(Codec, BringsBackSpecialsBitForBitUnderABound) {
  using Limits = std::numeric_limits<TypeParam>;
  std::mt19937 random(6);
  for (const uint32_t mode : {H5N_ABS, H5N_REL, H5N_RATIO}) {
    auto x = waves<TypeParam>(2000);
    const TypeParam fill = TypeParam(3.25);  // amid the values: only the writer's word makes it special
    const std::vector<TypeParam> odd = {Limits::quiet_NaN(), -Limits::quiet_NaN(), Limits::infinity(),
                                        -Limits::infinity(), TypeParam(-0.0),      fill};
    for (size_t k = 0; k < x.size(); ++k) {
      if (random() % 4 == 0) x[k] = odd[random() % odd.size()];
    }
    auto p = params<TypeParam>(mode, 1e-2, {20, 100});
    p.has_fill = 1;
    std::memcpy(&p.fill, &fill, sizeof fill);
    const auto y = round_trip(p, x);
    for (size_t k = 0; k < x.size(); ++k) {
      if (!std::isfinite(x[k]) || same_bits(x[k], TypeParam(-0.0)) || x[k] == fill) {
        ASSERT_TRUE(same_bits(x[k], y[k]));
      }
    }
  }
}

TYPED_TEST(Codec, SurvivesExtremes) {
  using Limits = std::numeric_limits<TypeParam>;
  std::mt19937_64 random(8);
  std::vector<std::vector<TypeParam>> fields(8, std::vector<TypeParam>(600));
  for (size_t k = 0; k < 600; ++k) {
    fields[0][k] = k % 2 ? Limits::max() : Limits::lowest();
    fields[1][k] = Limits::quiet_NaN();
    fields[2][k] = Limits::denorm_min() * static_cast<TypeParam>(k);
    fields[3][k] = TypeParam(7);
    fields[4][k] = k == 300 ? TypeParam(1e30) : TypeParam(0.001) * static_cast<TypeParam>(k);
    fields[5][k] = TypeParam(1e6) + TypeParam(1e-3) * static_cast<TypeParam>(k % 10);
    do {  // any bits at all, NaN included
      const uint64_t bits = random();
      std::memcpy(&fields[6][k], &bits, sizeof(TypeParam));
    } while (false);
    fields[7][k] = k % 2 ? Limits::infinity() : TypeParam(-0.0);
  }
  for (const auto& x : fields) {
    for (const uint32_t mode :
         {H5N_LOSSLESS, H5N_ABS, H5N_REL, H5N_RATIO, H5N_PSNR, H5N_NRMSE, H5N_BLOCK_NRMSE}) {
      for (const double bound : {1e-3, 0.5}) {
        const auto y = round_trip(params<TypeParam>(mode, bound, {20, 30}), x);
        for (size_t k = 0; k < x.size(); ++k) {
          if (!std::isfinite(x[k]) || mode == H5N_LOSSLESS) {
            ASSERT_TRUE(same_bits(x[k], y[k]));
          }
          if (mode == H5N_ABS) {
            ASSERT_FALSE(std::abs(double(x[k]) - double(y[k])) > bound);
          }
          if (mode == H5N_RATIO) {
            ASSERT_FALSE(std::abs(double(x[k]) - double(y[k])) > bound * std::abs(double(x[k])));
          }
        }
      }
    }
  }
}

TYPED_TEST(Codec, ServesRanks1To8AndBothByteOrders) {
  const auto x = waves<TypeParam>(2 * 3 * 2 * 3 * 2 * 3 * 2 * 3);
  const std::vector<std::vector<uint64_t>> shapes = {{1296},
                                                     {36, 36},
                                                     {6, 6, 36},
                                                     {6, 6, 6, 6},
                                                     {2, 3, 6, 6, 6},
                                                     {2, 3, 2, 3, 6, 6},
                                                     {1, 2, 3, 2, 3, 1, 36},
                                                     {2, 3, 2, 3, 2, 3, 2, 3}};
  for (const auto& dims : shapes) {
    auto p = params<TypeParam>(H5N_ABS, 1e-2, dims);
    const auto y = round_trip(p, x);
    p.big_endian = 1;
    auto swapped = x;
    const auto swap = [](std::vector<TypeParam>& v) {
      for (auto& e : v)
        std::reverse(reinterpret_cast<uint8_t*>(&e), reinterpret_cast<uint8_t*>(&e) + sizeof e);
    };
    swap(swapped);
    auto z = round_trip(p, swapped);
    swap(z);
    for (size_t k = 0; k < x.size(); ++k) {
      ASSERT_LE(std::abs(double(x[k]) - double(y[k])), 1e-2);
      ASSERT_TRUE(same_bits(y[k], z[k]));
    }
  }
}

TYPED_TEST(Codec, CodesTheSameBytesAtEveryCallAndKeepsTheBoundAtEveryEffort) {
  const auto x = waves<TypeParam>(30 * 40);
  auto p = params<TypeParam>(H5N_ABS, 1e-3, {30, 40});
  for (p.effort = 0; p.effort <= 9; ++p.effort) {
    const Coded a = encode(p, x), b = encode(p, x);
    ASSERT_EQ(a.size, b.size);
    ASSERT_EQ(std::memcmp(a.bytes.get(), b.bytes.get(), a.size), 0);
    const auto y = decode<TypeParam>(a, x.size());
    for (size_t k = 0; k < x.size(); ++k) ASSERT_LE(std::abs(double(x[k]) - double(y[k])), 1e-3);
  }
}

// Hosts set the rounding mode and flush denormals as they like; payloads do not notice, and the host's
// setting is left alone.
TEST(CodecApi, KeepsItsArithmeticInEveryHost) {
  std::vector<float> x(4096);
  for (size_t k = 0; k < x.size(); ++k) x[k] = 3e-38f * std::sin(0.01f * static_cast<float>(k));
  const auto p = params<float>(H5N_ABS, 1e-41, {64, 64});
  const Coded before = encode(p, x);
  const std::vector<float> expected = decode<float>(before, x.size());
  std::fesetround(FE_UPWARD);
#if defined(__x86_64__)
  const unsigned flush = _mm_getcsr() | 0x8040;  // flush to zero, denormals are zero
  _mm_setcsr(flush);
#endif
  const std::vector<float> found = decode<float>(before, x.size());
  const Coded after = encode(p, x);
  const int mode = std::fegetround();
#if defined(__x86_64__)
  const unsigned left = _mm_getcsr();
  _mm_setcsr(0x1f80);
  EXPECT_EQ(left & 0xe040, flush & 0xe040);
#endif
  std::fesetround(FE_TONEAREST);
  EXPECT_EQ(mode, FE_UPWARD);
  EXPECT_EQ(std::memcmp(found.data(), expected.data(), x.size() * sizeof(float)), 0);
  ASSERT_EQ(after.size, before.size);
  EXPECT_EQ(std::memcmp(after.bytes.get(), before.bytes.get(), after.size), 0);
}

TEST(CodecApi, ServesManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([t] {
      const auto x = waves<float>(1000 + static_cast<size_t>(t) * 100);
      for (int i = 0; i < 5; ++i) {
        const auto y = round_trip(params<float>(H5N_ABS, 1e-3, {x.size()}), x);
        for (size_t k = 0; k < x.size(); ++k) ASSERT_LE(std::abs(x[k] - y[k]), 1e-3);
      }
    });
  }
  for (auto& t : threads) t.join();
}

TEST(CodecApi, RefusesWrongSizesAndNullPointers) {
  const auto x = waves<float>(100);
  const auto p = params<float>(H5N_ABS, 1e-3, {100});
  h5n_error e{};
  void* out = nullptr;
  size_t n = 0;
  EXPECT_EQ(h5n_encode(&p, x.data(), 399, &out, &n, &e), H5N_ERR_ARGUMENT);
  EXPECT_NE(std::strstr(e.message, "extents"), nullptr);
  EXPECT_EQ(h5n_encode(nullptr, x.data(), 400, &out, &n, &e), H5N_ERR_ARGUMENT);
  EXPECT_EQ(h5n_encode(&p, nullptr, 400, &out, &n, nullptr), H5N_ERR_ARGUMENT);
  const Coded c = encode(p, x);
  std::vector<float> y(100);
  EXPECT_EQ(h5n_decode(c.bytes.get(), c.size, y.data(), 396, &e), H5N_ERR_ARGUMENT);
  EXPECT_EQ(h5n_decode(c.bytes.get(), c.size, nullptr, 400, &e), H5N_ERR_ARGUMENT);
  EXPECT_EQ(h5n_decode(nullptr, 10, y.data(), 400, &e), H5N_ERR_ARGUMENT);
  EXPECT_EQ(h5n_inspect("not a payload at all", 20, nullptr, &e), H5N_ERR_ARGUMENT);
  h5n_info info{};
  EXPECT_EQ(h5n_inspect("not a payload at all", 20, &info, &e), H5N_ERR_CORRUPT);
}

TEST(CodecApi, FindsEveryFlippedBit) {
  const auto x = waves<float>(500);
  const Coded c = encode(params<float>(H5N_ABS, 1e-2, {500}), x);
  std::vector<uint8_t> b(c.size);
  std::vector<float> y(500);
  h5n_error e{};
  for (size_t bit = 0; bit < 8 * c.size; ++bit) {
    std::memcpy(b.data(), c.bytes.get(), c.size);
    b[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    ASSERT_EQ(h5n_decode(b.data(), b.size(), y.data(), 2000, &e), H5N_ERR_CORRUPT) << bit;
    ASSERT_NE(std::strstr(e.message, "checksum"), nullptr);
  }
}

TEST(CodecApi, ListsAWorkingBackend) {
  h5n_backend b{};
  ASSERT_EQ(h5n_backend_get(0, &b), 1);
  EXPECT_STREQ(b.name, "scalar");
  EXPECT_EQ(b.known_answer, 1);
  EXPECT_EQ(h5n_backend_get(1000, &b), 0);
}

}  // namespace

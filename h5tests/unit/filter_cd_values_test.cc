// filter_cd_values_test.cc: the schema of the filter's parameters (filter/cd_values.h), without HDF5.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "cd_values.h"

namespace {

using Words = std::vector<unsigned>;
constexpr unsigned kIeee = CDV_IEEE_BOUND;

// What cdv_read_request says of the words: the parameters, or the reason of the refusal.
struct Answer {
  int status;
  h5n_params params;
  std::string why;
};

Answer request(const Words& words) {
  Answer a{0, {}, ""};
  Message why{};
  a.status = cdv_read_request(words.data(), words.size(), &a.params, &why);
  a.why = why.text;
  return a;
}

Answer stored(const Words& words) {
  Answer a{0, {}, ""};
  Message why{};
  a.status = cdv_read_stored(words.data(), words.size(), &a.params, &why);
  a.why = why.text;
  return a;
}

Words ieee(unsigned head, double bound) {
  const uint64_t bits = std::bit_cast<uint64_t>(bound);
  return {head, static_cast<unsigned>(bits), static_cast<unsigned>(bits >> 32)};
}

h5n_params layout(uint32_t type, const std::vector<uint64_t>& dims) {
  h5n_params p{};
  p.type = type;
  p.rank = static_cast<uint32_t>(dims.size());
  for (size_t a = 0; a < dims.size(); ++a) p.dims[a] = dims[a];
  return p;
}

// The words that set_local would store.
Words store(const Words& given, const h5n_params& where, int expected_status = 0) {
  unsigned out[CDV_MAX_WORDS];
  size_t n = 0;
  Message why{};
  const int status = cdv_write_stored(given.data(), given.size(), &where, out, &n, &why);
  EXPECT_EQ(status, expected_status) << why.text;
  return status == 0 ? Words(out, out + n) : Words();
}

TEST(FilterCdValues, NoWordsAreLossless) {
  const Answer a = request({});
  EXPECT_EQ(a.status, 0);
  EXPECT_EQ(a.params.mode, static_cast<uint32_t>(H5N_LOSSLESS));
  EXPECT_EQ(a.params.model, H5N_MODEL_AUTO);
  EXPECT_EQ(a.params.effort, 5u);
}

TEST(FilterCdValues, DecimalBoundIsTheNearestDouble) {
  EXPECT_EQ(request({H5N_ABS, 1, 3}).params.bound, 1e-3);
  EXPECT_EQ(request({H5N_ABS, 25, 5}).params.bound, 25e-5);
  EXPECT_EQ(request({H5N_ABS, 1, 1}).params.bound, 0.1);
  EXPECT_EQ(request({H5N_PSNR, 60, 0}).params.bound, 60.0);
  EXPECT_EQ(request({H5N_ABS, 123456789, 30}).params.bound, 123456789e-30);
  EXPECT_EQ(request({H5N_ABS, 1, 300}).params.bound, 1e-300);
}

TEST(FilterCdValues, IeeeBoundWithAndWithoutTheFlag) {
  for (const double bound : {1e-3, 0.1, 1.0, 37.5, 1e30, 2.3e-308}) {
    EXPECT_EQ(request(ieee(H5N_ABS | kIeee, bound)).params.bound, bound);
    EXPECT_EQ(request(ieee(H5N_ABS, bound)).params.bound, bound) << "as nccopy writes it";
  }
  // With the flag even a high word that looks like decimal places is a double's.
  EXPECT_EQ(request({H5N_ABS | kIeee, 1, 3}).params.bound, std::bit_cast<double>(uint64_t{3} << 32 | 1));
}

TEST(FilterCdValues, SenselessBoundsAreRefused) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const unsigned head : {1u, 1u | kIeee}) {
    for (const double bound : {-1e-3, -0.0, std::nan(""), inf, -inf}) {
      const Answer a = request(ieee(head, bound));
      EXPECT_NE(a.status, 0) << bound;
      EXPECT_NE(a.why.find("zero, negative or no finite number"), std::string::npos) << a.why;
    }
  }
  EXPECT_NE(request(ieee(1 | kIeee, 0.0)).status, 0);
  EXPECT_NE(request({H5N_ABS, 0, 3}).status, 0);
  EXPECT_NE(request({H5N_ABS, static_cast<unsigned>(-1), 3}).status, 0) << "a negative mantissa";
  EXPECT_NE(request({H5N_ABS, 1, static_cast<unsigned>(-3)}).status, 0) << "negative places";
  EXPECT_NE(request({H5N_ABS, 1, 399}).status, 0) << "rounds to zero";
}

TEST(FilterCdValues, MissingWords) {
  for (unsigned mode = H5N_ABS; mode <= H5N_BLOCK_NRMSE; ++mode) {
    EXPECT_NE(request({mode}).status, 0);
    EXPECT_NE(request({mode, 1}).why.find("needs a bound"), std::string::npos);
  }
  EXPECT_NE(request({H5N_ABS, 1, 3, 7}).why.find("value 4 is missing"), std::string::npos);
}

TEST(FilterCdValues, UnknownModesFlagsAndEffortAreRefused) {
  EXPECT_NE(request({7, 1, 3}).status, 0);
  EXPECT_NE(request({255, 1, 3}).status, 0);
  EXPECT_NE(request({0x200u | H5N_ABS, 1, 3}).status, 0);
  EXPECT_NE(request({0x80000000u | H5N_ABS, 1, 3}).status, 0);
  EXPECT_EQ(request({H5N_ABS, 1, 3, 0, 0, 9}).params.effort, 9u);
  EXPECT_NE(request({H5N_ABS, 1, 3, 0, 0, 10}).why.find("effort"), std::string::npos);
}

TEST(FilterCdValues, ModelWordsReadAsTheHashDoes) {
  EXPECT_EQ(request({H5N_ABS, 1, 3, 0x01234567, 0x89ABCDEF}).params.model, 0x0123456789ABCDEFu);
  EXPECT_EQ(request({H5N_ABS, 1, 3, 0xFFFFFFFF, 0xFFFFFFFF}).params.model, H5N_MODEL_NONE);
}

TEST(FilterCdValues, StoredWordsComeBack) {
  for (const uint32_t type : {H5N_FLOAT32, H5N_FLOAT64}) {
    for (uint32_t rank = 1; rank <= H5N_MAX_RANK; ++rank) {
      for (const uint32_t big : {0u, 1u}) {
        std::vector<uint64_t> dims;
        for (uint32_t a = 0; a < rank; ++a) dims.push_back(a + 2);
        h5n_params where = layout(type, dims);
        where.big_endian = big;
        const Words words = store({H5N_REL, 25, 5, 0xABCD, 7, 3}, where);
        EXPECT_EQ(words.size(), 7 + rank);
        const Answer a = stored(words);
        ASSERT_EQ(a.status, 0) << a.why;
        EXPECT_EQ(a.params.mode, static_cast<uint32_t>(H5N_REL));
        EXPECT_EQ(a.params.bound, 25e-5);
        EXPECT_EQ(a.params.model, 0xABCD00000007u);
        EXPECT_EQ(a.params.effort, 3u);
        EXPECT_EQ(a.params.type, type);
        EXPECT_EQ(a.params.big_endian, big);
        EXPECT_EQ(std::vector<uint64_t>(a.params.dims, a.params.dims + a.params.rank), dims);
        EXPECT_EQ(a.params.has_fill, 0u);
      }
    }
  }
}

TEST(FilterCdValues, StoringIsIdempotentAndForgetsAnotherChunksShape) {
  const h5n_params cube = layout(H5N_FLOAT32, {8, 8, 8});
  h5n_params sheet = layout(H5N_FLOAT64, {3, 5});
  sheet.has_fill = 1;
  sheet.fill = std::bit_cast<uint64_t>(1e20);  // no float32
  const Words fresh = store({H5N_ABS, 1, 3}, cube);
  EXPECT_EQ(store(fresh, cube), fresh);
  EXPECT_EQ(store(store(fresh, sheet), cube), fresh);
  EXPECT_EQ(store(store({H5N_ABS, 1, 3}, sheet), sheet), store({H5N_ABS, 1, 3}, sheet));
}

TEST(FilterCdValues, FillValuesKeepEveryBit) {
  for (const float fill :
       {9.96921e36f, -0.0f, std::nanf("123"), -std::numeric_limits<float>::infinity(), 0.1f}) {
    h5n_params where = layout(H5N_FLOAT32, {4});
    where.has_fill = 1;
    where.fill = std::bit_cast<uint32_t>(fill);
    const Answer a = stored(store({}, where));
    EXPECT_EQ(a.params.has_fill, 1u);
    EXPECT_EQ(a.params.fill, where.fill);
  }
  for (const double fill : {9.9692099683868690e+36, -9999.0, 1e20, 0.1, -0.0, std::nan("5"), 1e300, 5e-324}) {
    h5n_params where = layout(H5N_FLOAT64, {4, 4, 4, 4, 4, 4, 4});
    where.has_fill = 1;
    where.fill = std::bit_cast<uint64_t>(fill);
    const Words words = store({}, where);
    EXPECT_LE(words.size(), static_cast<size_t>(CDV_MAX_WORDS));
    EXPECT_EQ(stored(words).params.fill, where.fill) << fill;
  }
}

TEST(FilterCdValues, Rank8Float64HoldsTheFillValuesThatOneWordHolds) {
  h5n_params where = layout(H5N_FLOAT64, {2, 2, 2, 2, 2, 2, 2, 2});
  where.has_fill = 1;
  where.fill = std::bit_cast<uint64_t>(-9999.0);
  EXPECT_EQ(stored(store({}, where)).params.fill, where.fill);
  where.fill = std::bit_cast<uint64_t>(1e20);
  store({}, where, -1);  // refused, not dropped: fill values come back bit for bit
}

TEST(FilterCdValues, ExtentsThatDoNotFitAreRefused) {
  store({}, layout(H5N_FLOAT32, {uint64_t{1} << 32}), -1);
  store({}, layout(H5N_FLOAT32, {0}), -1);
}

TEST(FilterCdValues, DamagedWordsAreRefused) {
  const Words good = store({H5N_ABS, 1, 3}, layout(H5N_FLOAT32, {8, 9}));
  ASSERT_EQ(stored(good).status, 0);
  for (size_t n = 0; n < good.size(); ++n) {
    EXPECT_NE(stored(Words(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n))).status, 0) << n;
  }
  for (unsigned bit = 0; bit < 32; ++bit) {  // any flipped bit of the layout word but the byte order's
    Words bad = good;
    bad[6] ^= 1u << bit;
    if (bit == 16) {
      EXPECT_EQ(stored(bad).params.big_endian, 1u);
    } else {
      EXPECT_NE(stored(bad).status, 0) << "bit " << bit;
    }
  }
  Words no_extent = good;
  no_extent[7] = 0;
  EXPECT_NE(stored(no_extent).status, 0);
  Words newer = good;
  newer[6] = (newer[6] & ~0xFFu) | 2u;
  EXPECT_NE(stored(newer).why.find("update h5neural"), std::string::npos);
  Words huge = store({}, layout(H5N_FLOAT64, {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}));
  EXPECT_NE(stored(huge).status, 0) << "more bytes than 64 bits count";
}

}  // namespace

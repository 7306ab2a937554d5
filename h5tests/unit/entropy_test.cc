// entropy_test.cc: the adaptive binary coder, rANS and the probability tables give back what they were given,
// and refuse damaged streams.
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "corrections/residual.h"
#include "entropy/bit_coder.h"
#include "entropy/rans.h"
#include "entropy/tables.h"

namespace h5neural {
namespace {

TEST(BitCoder, GivesBackBitsNumbersAndRawBits) {
  std::mt19937 random(1);
  std::vector<int32_t> numbers = {0, 1, -1, INT32_MAX, INT32_MIN, INT32_MIN + 1, 12345, -99999};
  for (int i = 0; i < 2000; ++i) numbers.push_back(static_cast<int32_t>(random()) >> (random() % 32));
  BitEncoder e;
  IntModel write;
  BitModel bit;
  for (const int32_t v : numbers) {
    write.encode(e, v);
    e.bit(bit, v & 1);
    e.raw(static_cast<uint32_t>(v) & 0x1ffu, 9);
  }
  const Bytes stream = e.finish();
  BitDecoder d(stream);
  IntModel read;
  BitModel read_bit;
  for (const int32_t v : numbers) {
    ASSERT_EQ(read.decode(d), v);
    ASSERT_EQ(d.bit(read_bit), (v & 1) != 0);
    ASSERT_EQ(d.raw(9), static_cast<uint32_t>(v) & 0x1ffu);
  }
}

TEST(BitCoder, CostsLittleForWhatRepeats) {
  BitEncoder e;
  BitModel m;
  for (int i = 0; i < 10000; ++i) e.bit(m, false);
  EXPECT_LT(e.finish().size(), 20u);
}

TEST(BitCoder, StopsAtTheEndOfADamagedStream) {
  const Bytes nothing;
  BitDecoder d(nothing);
  EXPECT_THROW(
      {
        for (int i = 0; i < 1000; ++i) d.raw(16);
      },
      Failure);
}

TEST(Tables, AddUpAndFindEverySymbol) {
  for (int shape = 0; shape < kTableShapes; ++shape) {
    for (int scale = 0; scale < kTableScales; ++scale) {
      const Table& t = table(shape, scale);
      uint32_t sum = 0;
      for (int s = 0; s < t.symbols; ++s) {
        ASSERT_EQ(t.start[s], sum);
        ASSERT_GE(t.frequency[s], 1u);
        ASSERT_EQ(find_symbol(t, sum), s);
        sum += t.frequency[s];
        ASSERT_EQ(find_symbol(t, sum - 1), s);
      }
      EXPECT_EQ(sum, 65536u);
      EXPECT_EQ(t.symbols, 2 * t.limit + 2);
    }
  }
}

class Residuals : public testing::TestWithParam<int> {};

TEST_P(Residuals, ComeBackUnderEveryTable) {
  const int count = GetParam();  // below and above the number from which four states are interleaved
  std::mt19937 random(static_cast<uint32_t>(count));
  std::vector<int32_t> values;
  std::vector<TableChoice> tables;
  RansEncoder e;
  for (int i = 0; i < count; ++i) {
    tables.push_back(
        {static_cast<int>(random() % kTableShapes), static_cast<int>(random() % (kMaxScale + 1))});
    values.push_back(static_cast<int32_t>(random()) >> (2 + random() % 30));
    encode_residual(e, residual_table(tables.back()), values.back());
  }
  const Bytes stream = e.finish();
  RansDecoder d(stream);
  for (int i = 0; i < count; ++i) ASSERT_EQ(decode_residual(d, residual_table(tables[i])), values[i]) << i;
  EXPECT_NO_THROW(d.finish());
}
INSTANTIATE_TEST_SUITE_P(Counts, Residuals, testing::Values(0, 1, 100, 20000));

TEST(Rans, RefusesTruncatedAndLongerStreams) {
  RansEncoder e;
  const ResidualTable t = residual_table({1, 20});
  for (int i = 0; i < 5000; ++i) encode_residual(e, t, i % 7 - 3);
  const Bytes stream = e.finish();
  const auto read = [&](ByteSpan bytes) {
    RansDecoder d(bytes);
    for (int i = 0; i < 5000; ++i) decode_residual(d, t);
    d.finish();
  };
  EXPECT_NO_THROW(read(stream));
  EXPECT_THROW(read(ByteSpan(stream).first(stream.size() / 2)), Failure);
  Bytes longer = stream;
  longer.resize(longer.size() + 4);
  EXPECT_THROW(read(longer), Failure);
}

}  // namespace
}  // namespace h5neural

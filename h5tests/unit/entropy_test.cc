// entropy_test.cc: the adaptive binary coder, rANS and the probability tables give back what they were given,
// and refuse damaged streams.
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "corrections/residual.h"
#include "entropy/bit_coder.h"
#include "entropy/rans.h"
#include "entropy/tables.h"
#include "kernels/kernels.h"

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

// Bits that cost hardly anything leave zero bytes at the end, of which a decoder takes a few for granted.
TEST(BitCoder, LongRunsOfNothingComeBack) {
  for (const int zeros : {100, 3000, 30000, 300000, 1000000}) {
    for (const bool one : {false, true}) {
      BitEncoder e;
      IntModel write;
      for (int k = 0; k < zeros; ++k) write.encode(e, k == 5 && one ? -3 : 0);
      const Bytes stream = e.finish();
      BitDecoder d(stream);
      IntModel read;
      for (int k = 0; k < zeros; ++k) ASSERT_EQ(read.decode(d), k == 5 && one ? -3 : 0) << zeros;
    }
  }
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
        for (uint32_t k = 0; k < t.frequency[s]; ++k) {
          const uint32_t entry = slots(t)[sum + k];
          ASSERT_EQ(entry >> 24, s == t.symbols - 1 ? kEscape : static_cast<uint32_t>(s));
          ASSERT_EQ(entry >> kProbabilityBits & (kSlots - 1), t.frequency[s]);
          ASSERT_EQ(entry & (kSlots - 1), t.start[s]);
        }
        sum += t.frequency[s];
      }
      EXPECT_EQ(sum, kSlots);
      EXPECT_EQ(t.symbols, 2 * t.limit + 2);
    }
  }
}

TEST(RawBits, ComeBack) {
  std::mt19937 random(4);
  std::vector<std::pair<uint32_t, int>> numbers;
  RawBits out;
  for (int i = 0; i < 3000; ++i) {
    const int bits = static_cast<int>(random() % 33);
    numbers.emplace_back(bits == 0 ? 0 : random() >> (32 - bits), bits);
    out.put(numbers.back().first, bits);
  }
  const Bytes bytes = out.finish();
  RawBitReader in(bytes);
  for (const auto& [value, bits] : numbers) ASSERT_EQ(in.take(bits), value);
  EXPECT_TRUE(in.finished());
  EXPECT_THROW(in.take(8), Failure);
}

// Batches of residuals, each context under a table of its own.
struct Stream {
  std::vector<std::vector<int32_t>> q;
  std::vector<std::vector<uint8_t>> context;
  std::vector<ContextTables> tables;
  Bytes bytes;

  // `shift`: how much smaller than 2^30 residuals are at least.
  Stream(int values, int batches, int shift, uint32_t seed) {
    std::mt19937 random(seed);
    ResidualEncoder e;
    for (int b = 0; b < batches; ++b) {
      ContextTables t{};
      for (int x = 0; x < kContexts; ++x) {
        t[x] = residual_table(
            {static_cast<int>(random() % kTableShapes), static_cast<int>(random() % (kMaxScale + 1))});
      }
      tables.push_back(t);
      q.emplace_back();
      context.emplace_back();
      for (int i = 0; i < values; ++i) {
        q.back().push_back(static_cast<int32_t>(random()) >>
                           std::min<uint32_t>(31, 2 + shift + random() % 30));
        context.back().push_back(static_cast<uint8_t>(random() % kContexts));
      }
      e.batch(q.back(), context.back(), tables.back());
    }
    bytes = e.finish();
  }

  // Number of residuals that come back wrong.
  int read(ByteSpan section) const {
    ResidualDecoder d(section);
    int wrong = 0;
    for (size_t b = 0; b < q.size(); ++b) {
      std::vector<int32_t> found(q[b].size());
      d.batch(context[b], tables[b], found);
      for (size_t k = 0; k < found.size(); ++k) wrong += found[k] != q[b][k];
    }
    d.finish();
    return wrong;
  }
};

class Residuals : public testing::TestWithParam<std::tuple<int, int>> {};

TEST_P(Residuals, ComeBackUnderEveryTable) {
  const auto [values, batches] = GetParam();
  for (const int shift : {0, 20}) {
    const Stream s(values, batches, shift, static_cast<uint32_t>(values + batches));
    EXPECT_EQ(s.read(s.bytes), 0) << shift;
  }
}
// One lane, four and thirty-two; batches that end within a group of lanes.
INSTANTIATE_TEST_SUITE_P(Counts, Residuals,
                         testing::Combine(testing::Values(0, 1, 31, 33, 1000, 20001),
                                          testing::Values(1, 3, 7)));

TEST(Residuals, CostLittleMoreThanTheirInformation) {
  ResidualEncoder e;
  const ContextTables t = [] {
    ContextTables all{};
    all.fill(residual_table({1, 0}));
    return all;
  }();
  const std::vector<int32_t> q(100, 0);
  const std::vector<uint8_t> context(100, 0);
  e.batch(q, context, t);
  EXPECT_LE(e.finish().size(), 7u);
}

TEST(Rans, RefusesTruncatedAndLongerStreams) {
  for (const int values : {50, 3000, 20000}) {
    const Stream s(values, 2, 25, 9);
    EXPECT_EQ(s.read(s.bytes), 0);
    EXPECT_THROW(s.read(ByteSpan(s.bytes).first(s.bytes.size() / 2)), Failure);
    Bytes longer = s.bytes;
    longer.resize(longer.size() + 2);
    EXPECT_THROW(s.read(longer), Failure);
  }
}

TEST(Rans, SurvivesDamage) {
  std::mt19937 random(6);
  for (const int values : {50, 3000, 20000}) {
    const Stream s(values, 2, 10, 9);
    for (int i = 0; i < 60; ++i) {
      Bytes damaged = s.bytes;
      damaged[random() % std::min<size_t>(damaged.size(), i % 2 ? 200 : damaged.size())] ^=
          static_cast<uint8_t>(1u << random() % 8);
      try {
        s.read(damaged);
      } catch (const Failure& f) {
        EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
      }
    }
  }
}

// Groups of lanes over arbitrary states and words, the damaged ones among them.
class Lanes : public testing::TestWithParam<SimdTarget> {};

TEST_P(Lanes, DecodeAsTheScalarSet) {
  const Kernels* set = simd_kernels(GetParam());
  if (set == nullptr) GTEST_SKIP() << "not on this machine";
  std::mt19937 random(8);
  std::array<uint32_t, kContextRoom> first{};
  for (int x = 0; x < kContexts; ++x) {
    const ResidualTable t = residual_table({x % kTableShapes, x * 3 % kTableScales});
    first[x] = static_cast<uint32_t>(slots(*t.table) - all_slots());
  }
  constexpr int kGroups = 300;
  for (const size_t bytes : {size_t{0}, size_t{62}, size_t{64}, size_t{1000}, size_t{40000}}) {
    std::vector<uint8_t> words(bytes), context(kGroups * kMaxLanes);
    for (auto& w : words) w = static_cast<uint8_t>(random());
    for (auto& c : context) c = static_cast<uint8_t>(random() % kContexts);
    RansLanes lanes;
    for (auto& x : lanes.state) x = kRansLow + random() % 0xffff0000u;
    lanes.next = words.data();
    lanes.end = words.data() + words.size();
    RansLanes other = lanes;
    std::vector<uint8_t> symbols(context.size()), found(context.size());
    const int64_t done = scalar_kernels().decode_groups(lanes, context.data(), kGroups, first.data(),
                                                        all_slots(), symbols.data());
    EXPECT_EQ(set->decode_groups(other, context.data(), kGroups, first.data(), all_slots(), found.data()),
              done);
    EXPECT_EQ(other.state, lanes.state);
    EXPECT_EQ(other.next, lanes.next);
    EXPECT_EQ(found, symbols);
  }
}
INSTANTIATE_TEST_SUITE_P(Kernels, Lanes,
                         testing::Values(SimdTarget::kNeon, SimdTarget::kAvx2, SimdTarget::kAvx512));

}  // namespace
}  // namespace h5neural

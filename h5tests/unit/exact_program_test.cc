// exact_program_test.cc: integer programs: what each operation computes, what the proof accepts and refuses,
// and that every backend reproduces the known answer.
#include <gtest/gtest.h>

#include <random>

#include "exact/backend.h"
#include "exact/known_answer.h"
#include "program_store.h"
#include "support/failure.h"

namespace h5neural {
namespace {

using Store = ProgramStore;

std::string refusal(const Store& store, const std::string& json) {
  try {
    store.parse(json);
  } catch (const Failure& f) {
    EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
    return f.what();
  }
  return "";
}

// One operation on one input of `count` elements in lo ... hi.
std::string program(int count, int64_t lo, int64_t hi, const std::string& op) {
  return R"({"inputs":[{"shape":[)" + std::to_string(count) + R"(],"min":)" + std::to_string(lo) +
         R"(,"max":)" + std::to_string(hi) + R"(}],"ops":[)" + op + R"(],"outputs":[1]})";
}

Batch run1(const Program& p, const Batch& x, size_t items) { return run(p, std::vector<Batch>{x}, items)[0]; }

TEST(ExactProgram, EveryBackendReproducesTheKnownAnswer) {
  ASSERT_FALSE(backends().empty());
  EXPECT_STREQ(backends()[0]->name(), "scalar");
  for (const Backend* b : backends()) {
    EXPECT_EQ(passes_known_answer(*b), b->available()) << b->name();
  }
}

TEST(ExactProgram, TheKnownAnswerTellsAWrongBackend) {
  struct Wrong final : Backend {
    const char* name() const override { return "wrong"; }
    bool available() const override { return true; }
    std::vector<Batch> execute(const Program& p, std::span<const Batch> in, size_t items) const override {
      auto out = backends()[0]->execute(p, in, items);
      out[1].back() += 1;
      return out;
    }
  };
  EXPECT_FALSE(reproduces_known_answer(Wrong{}));
}

TEST(ExactProgram, LinearIsTheSumOfProducts) {
  std::mt19937 draw(1);
  constexpr uint32_t kRows = 13, kColumns = 37;
  constexpr size_t kItems = 3;
  std::vector<int16_t> w(kRows * kColumns);
  std::vector<int32_t> b(kRows), x(kItems * kColumns);
  for (auto& v : w) v = static_cast<int16_t>(draw() % 2001) - 1000;
  for (auto& v : b) v = static_cast<int32_t>(draw() % 20001) - 10000;
  for (auto& v : x) v = static_cast<int32_t>(draw() % 20001) - 10000;
  Store s;
  s.add("w", {kRows, kColumns}, w);
  s.add("b", {kRows}, b);
  const Program p =
      s.parse(program(kColumns, -10000, 10000, R"({"op":"linear","in":[0],"weight":"w","bias":"b"})"));
  const Batch y = run1(p, x, kItems);
  for (size_t i = 0; i < kItems; ++i) {
    for (uint32_t o = 0; o < kRows; ++o) {
      int64_t sum = b[o];
      for (uint32_t k = 0; k < kColumns; ++k) sum += int64_t{w[o * kColumns + k]} * x[i * kColumns + k];
      EXPECT_EQ(y[i * kRows + o], sum);
    }
  }
}

// The definition, in 64 bits: [5, 4, 2] by a kernel of [3, 2].
TEST(ExactProgram, ConvIsTheSumOverItsTaps) {
  std::mt19937 draw(2);
  std::vector<int8_t> w(3 * 3 * 2 * 2);
  std::vector<int32_t> b{5, -70000, 123}, x(5 * 4 * 2);
  for (auto& v : w) v = static_cast<int8_t>(draw());
  for (auto& v : x) v = static_cast<int32_t>(draw() % 65536) - 32768;
  Store s;
  s.add("w", {3, 3, 2, 2}, w);
  s.add("b", {3}, b);
  const Program p = s.parse(R"({"inputs":[{"shape":[5,4,2],"min":-32768,"max":32767}],"ops":[
      {"op":"conv","in":[0],"weight":"w","bias":"b","stride":[2,1],"before":[2,0],"after":[1,1]},
      {"op":"conv_transposed","in":[0],"weight":"w","bias":"b","stride":[2,3],"before":[1,0],"after":[0,-2]}],
      "outputs":[1,2]})");
  EXPECT_EQ(p.values[1].shape, (std::vector<uint32_t>{3, 4, 3}));
  EXPECT_EQ(p.values[2].shape, (std::vector<uint32_t>{10, 13, 3}));
  const auto out = run(p, std::vector<Batch>{x}, 1);
  std::vector<int64_t> conv, spread;
  for (int q = 0; q < 3 * 4 + 10 * 13; ++q)
    (q < 12 ? conv : spread).insert((q < 12 ? conv : spread).end(), b.begin(), b.end());
  for (int a = 0; a < 5; ++a) {
    for (int c = 0; c < 4; ++c) {
      for (int tap = 0; tap < 6; ++tap) {
        const int t = tap / 2, u = tap % 2;
        for (int o = 0; o < 3; ++o) {
          int64_t sum = 0;
          for (int i = 0; i < 2; ++i) {
            sum += int64_t{w[static_cast<size_t>((o * 6 + tap) * 2 + i)]} *
                   x[static_cast<size_t>((a * 4 + c) * 2 + i)];
          }
          // a = 2 q + t - 2 for the convolution; q = 2 a + t - 1 for the transposed one.
          if ((a + 2 - t) % 2 == 0 && a + 2 - t >= 0 && (a + 2 - t) / 2 < 3 && c >= u)
            conv[static_cast<size_t>(((a + 2 - t) / 2 * 4 + c - u) * 3 + o)] += sum;
          const int q = 2 * a + t - 1, r = 3 * c + u;
          if (q >= 0 && q < 10) spread[static_cast<size_t>((q * 13 + r) * 3 + o)] += sum;
        }
      }
    }
  }
  EXPECT_TRUE(std::equal(conv.begin(), conv.end(), out[0].begin(), out[0].end()));
  EXPECT_TRUE(std::equal(spread.begin(), spread.end(), out[1].begin(), out[1].end()));
}

// Rounds half up, towards minus infinity below: (x m + 2^(s-1)) >> s.
TEST(ExactProgram, RequantiseRoundsHalfUp) {
  const Program p = Store().parse(
      program(7, -100, 100, R"({"op":"requantise","in":[0],"multiplier":3,"shift":2,"min":-20,"max":20})"));
  EXPECT_EQ(run1(p, {-100, -3, -2, -1, 0, 2, 100}, 1), (Batch{-20, -2, -1, -1, 0, 2, 20}));
  const Program whole = Store().parse(program(
      2, -100, 100, R"({"op":"requantise","in":[0],"multiplier":-7,"shift":0,"min":-1000,"max":1000})"));
  EXPECT_EQ(run1(whole, {5, -6}, 1), (Batch{-35, 42}));
}

TEST(ExactProgram, RequantiseHoldsTheLargestProduct) {
  Store s;
  s.add<int32_t>("m", {2}, {INT32_MIN, INT32_MAX});
  const Program p =
      s.parse(program(2, INT32_MIN, INT32_MAX,
                      R"({"op":"requantise","in":[0],"multiplier":"m","shift":62,"min":-9,"max":9})"));
  EXPECT_EQ(run1(p, {INT32_MIN, INT32_MIN}, 1), (Batch{1, -1}));
}

TEST(ExactProgram, TableClampReshapeConcatAdd) {
  Store s;
  s.add<int16_t>("t", {3}, {70, 80, 90});
  const Program p = s.parse(R"({"inputs":[{"shape":[2],"min":-1,"max":1}],"ops":[
      {"op":"table","in":[0],"table":"t","first":-1},
      {"op":"clamp","in":[1],"min":75,"max":85},
      {"op":"add","in":[1,2]},
      {"op":"concat","in":[3,0]},
      {"op":"reshape","in":[4],"shape":[2,2]}],"outputs":[5]})");
  EXPECT_EQ(p.values[5].shape, (std::vector<uint32_t>{2, 2}));
  EXPECT_EQ(run1(p, {-1, 0, 1, 1}, 2), (Batch{145, 160, -1, 0, 175, 175, 1, 1}));
}

TEST(ExactProgram, LargeBatchesRunInTiles) {
  Store s;
  s.add<int8_t>("w", {300, 1}, std::vector<int8_t>(300, 2));
  s.add<int32_t>("b", {300}, std::vector<int32_t>(300, 1));
  const Program p = s.parse(program(1, -5, 5, R"({"op":"linear","in":[0],"weight":"w","bias":"b"})"));
  Batch x(5000);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int32_t>(i % 11) - 5;
  const Batch y = run1(p, x, x.size());
  ASSERT_EQ(y.size(), x.size() * 300);
  for (size_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], 2 * x[i / 300] + 1);
}

// 65536 * 32767 + b: 2^31 - 1 is the last sum that fits.
TEST(ExactProof, StandsExactlyAtTheEdge) {
  for (const auto& [bias, fits] :
       std::vector<std::pair<int32_t, bool>>{{65535, true}, {65536, false}, {-65536, false}}) {
    Store s;
    s.add<int16_t>("w", {1, 3}, {32767, 32767, 2});
    s.add<int32_t>("b", {1}, {bias});
    const std::string json = program(3, -32767, 32767, R"({"op":"linear","in":[0],"weight":"w","bias":"b"})");
    if (fits) {
      const Program p = s.parse(json);
      EXPECT_EQ(p.largest_sum, uint64_t{INT32_MAX});
      EXPECT_EQ(run1(p, {32767, 32767, 32767}, 1)[0], INT32_MAX);
      EXPECT_EQ(run1(p, {-32767, -32767, -32767}, 1)[0], -INT32_MAX + 2 * 65535);
    } else {
      EXPECT_NE(refusal(s, json).find("operation 0 (linear)"), std::string::npos) << bias;
    }
  }
}

TEST(ExactProof, RangesHoldOnRandomInputs) {
  const Program p = known_program();
  std::mt19937 draw(3);
  std::vector<Batch> in(p.inputs);
  constexpr size_t kItems = 200;
  for (size_t v = 0; v < in.size(); ++v) {
    for (size_t i = 0; i < kItems * p.values[v].count(); ++i) {
      const size_t e = i % p.values[v].count();
      const auto width = static_cast<uint32_t>(p.values[v].hi[e] - p.values[v].lo[e]) + 1;
      in[v].push_back(p.values[v].lo[e] + static_cast<int32_t>(draw() % width));
    }
  }
  const auto out = run(p, in, kItems);
  for (size_t o = 0; o < out.size(); ++o) {
    const Value& v = p.values[p.outputs[o]];
    for (size_t i = 0; i < out[o].size(); ++i) {
      ASSERT_GE(out[o][i], v.lo[i % v.count()]);
      ASSERT_LE(out[o][i], v.hi[i % v.count()]);
    }
  }
}

TEST(ExactProgram, InputsOutOfRangeAreAnErrorOfThePayload) {
  const Program p = Store().parse(program(2, -3, 3, R"({"op":"clamp","in":[0],"min":0,"max":1})"));
  EXPECT_THROW(run1(p, {0, 4}, 1), Failure);
  EXPECT_THROW(run1(p, {0}, 1), Failure);
  EXPECT_EQ(run1(p, {-3, 3}, 1), (Batch{0, 1}));
}

struct Hostile {
  const char *what, *json, *said;
};

class HostileProgram : public testing::TestWithParam<Hostile> {};

TEST_P(HostileProgram, IsRefusedWithASentence) {
  Store s;
  s.add<int16_t>("w", {2, 3}, {1, 2, 3, 4, 5, 6});
  s.add<int32_t>("wide", {2, 3}, {1, 2, 3, 4, 5, 6});
  s.add<int32_t>("b", {2}, {0, 0});
  s.add<int16_t>("t", {4}, {0, 1, 2, 3});
  s.add<int8_t>("k", {2, 3, 2}, std::vector<int8_t>(12, 1));
  const std::string said = refusal(s, GetParam().json);
  EXPECT_NE(said.find(GetParam().said), std::string::npos) << GetParam().what << ": '" << said << "'";
  EXPECT_NE(said.find("; get the"), std::string::npos) << "no remedy: " << said;
}

#define IN R"({"inputs":[{"shape":[3],"min":-9,"max":9}],"ops":[)"
#define OUT R"(],"outputs":[1]})"
#define CONV(what, op, stride, before, after, said)                                                          \
  Hostile {                                                                                                  \
    what,                                                                                                    \
        R"({"inputs":[{"shape":[2,2],"min":0,"max":1}],"ops":[{"op":")" op                                   \
        R"(","in":[0],"weight":"k","bias":"b","stride":)" stride R"(,"before":)" before R"(,"after":)" after \
        "}],\"outputs\":[1]}",                                                                               \
        said                                                                                                 \
  }
INSTANTIATE_TEST_SUITE_P(
    All, HostileProgram,
    testing::Values(
        Hostile{"no JSON", "{", "damaged"}, Hostile{"no object", "[1]", "not an object"},
        Hostile{"deep", "{\"a\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}", "too deeply"},
        Hostile{"no inputs", R"({"ops":[],"outputs":[0]})", "'inputs' is missing"},
        Hostile{"empty inputs", R"({"inputs":[],"ops":[],"outputs":[0]})", "there are none"},
        Hostile{"no outputs", R"({"inputs":[{"shape":[1],"min":0,"max":0}],"ops":[],"outputs":[]})",
                "there are none"},
        Hostile{"output of nothing", R"({"inputs":[{"shape":[1],"min":0,"max":0}],"ops":[],"outputs":[1]})",
                "no operation"},
        Hostile{"fractional", R"({"inputs":[{"shape":[1.5],"min":0,"max":0}],"ops":[],"outputs":[0]})",
                "not an integer"},
        Hostile{"extent 0", R"({"inputs":[{"shape":[0],"min":0,"max":0}],"ops":[],"outputs":[0]})",
                "not an integer from 1"},
        Hostile{
            "huge",
            R"({"inputs":[{"shape":[16777216,16777216,16777216],"min":0,"max":0}],"ops":[],"outputs":[0]})",
            "memory"},
        Hostile{"empty range", R"({"inputs":[{"shape":[1],"min":1,"max":0}],"ops":[],"outputs":[0]})",
                "range is empty"},
        Hostile{"beyond 32 bits",
                R"({"inputs":[{"shape":[1],"min":0,"max":4294967296}],"ops":[],"outputs":[0]})",
                "not an integer"},
        Hostile{"beyond 64 bits",
                R"({"inputs":[{"shape":[1],"min":0,"max":18446744073709551615}],"ops":[],"outputs":[0]})",
                "not an integer"},
        Hostile{"unknown", IN R"({"op":"exec","in":[0]})" OUT, "knows no 'exec'"},
        Hostile{"reads the future", IN R"({"op":"clamp","in":[1],"min":0,"max":1})" OUT,
                "no earlier operation"},
        Hostile{"too many inputs", IN R"({"op":"clamp","in":[0,0],"min":0,"max":1})" OUT, "2 inputs"},
        Hostile{"no inputs of an operation", IN R"({"op":"concat","in":[]})" OUT, "0 inputs"},
        Hostile{"missing tensor", IN R"({"op":"linear","in":[0],"weight":"x","bias":"b"})" OUT,
                "'x' is missing"},
        Hostile{"wide weights", IN R"({"op":"linear","in":[0],"weight":"wide","bias":"b"})" OUT,
                "wider than 16"},
        Hostile{"vector weights", IN R"({"op":"linear","in":[0],"weight":"b","bias":"b"})" OUT,
                "not a matrix"},
        Hostile{"bias length", IN R"({"op":"linear","in":[0],"weight":"w","bias":"t"})" OUT, "one bias"},
        Hostile{
            "columns",
            R"({"inputs":[{"shape":[4],"min":0,"max":1}],"ops":[{"op":"linear","in":[0],"weight":"w","bias":"b"}],"outputs":[1]})",
            "3 columns"},
        Hostile{
            "wide input",
            R"({"inputs":[{"shape":[3],"min":0,"max":32768}],"ops":[{"op":"linear","in":[0],"weight":"w","bias":"b"}],"outputs":[1]})",
            "16 bits"},
        Hostile{
            "add overflows",
            R"({"inputs":[{"shape":[1],"min":0,"max":2147483647}],"ops":[{"op":"add","in":[0,0]}],"outputs":[1]})",
            "beyond 32 bits"},
        Hostile{
            "add shapes",
            R"({"inputs":[{"shape":[1],"min":0,"max":1},{"shape":[2],"min":0,"max":1}],"ops":[{"op":"add","in":[0,1]}],"outputs":[2]})",
            "different shapes"},
        Hostile{
            "concat shapes",
            R"({"inputs":[{"shape":[1,2],"min":0,"max":1},{"shape":[1,3],"min":0,"max":1}],"ops":[{"op":"concat","in":[0,1]}],"outputs":[2]})",
            "first axis"},
        Hostile{"reshape", IN R"({"op":"reshape","in":[0],"shape":[2]})" OUT, "does not hold"},
        Hostile{"reshape overflow",
                IN R"({"op":"reshape","in":[0],"shape":[16777216,16777216,16777216]})" OUT, "does not hold"},
        Hostile{"table too short", IN R"({"op":"table","in":[0],"table":"t","first":-9})" OUT,
                "outside of the table"},
        Hostile{"table starts late", IN R"({"op":"table","in":[0],"table":"t","first":0})" OUT,
                "outside of the table"},
        Hostile{"shift", IN R"({"op":"requantise","in":[0],"multiplier":1,"shift":63,"min":0,"max":1})" OUT,
                "'shift'"},
        Hostile{"multipliers",
                IN R"({"op":"requantise","in":[0],"multiplier":"b","shift":1,"min":0,"max":1})" OUT,
                "2 multipliers"},
        Hostile{"conv weights", IN R"({"op":"conv","in":[0],"weight":"w","bias":"b"})" OUT, "spatial axes"},
        Hostile{"conv rank",
                IN
                R"({"op":"conv","in":[0],"weight":"k","bias":"b","stride":[1],"before":[0],"after":[0]})" OUT,
                "input of rank 1"},
        CONV("conv strides", "conv", "[]", "[0]", "[0]", "one number for each"),
        CONV("conv many strides", "conv", "[1,1]", "[0]", "[0]", "array of at most 1"),
        CONV("conv stride 0", "conv", "[0]", "[0]", "[0]", "not an integer from 1"),
        CONV("conv border", "conv", "[1]", "[3]", "[0]", "wider than its kernel"),
        CONV("conv crop", "conv", "[1]", "[0]", "[-1]", "wider than its kernel"),
        CONV("conv crop transposed", "conv_transposed", "[2]", "[0]", "[-2]", "wider than its kernel"),
        CONV("conv empty transposed", "conv_transposed", "[1]", "[2]", "[2]", "result is empty"),
        Hostile{
            "conv empty",
            R"({"inputs":[{"shape":[2,2],"min":0,"max":1}],"ops":[{"op":"conv","in":[0],"weight":"k","bias":"b","stride":[1],"before":[0],"after":[0]}],"outputs":[1]})",
            "result is empty"},
        Hostile{
            "conv channels",
            R"({"inputs":[{"shape":[2,3],"min":0,"max":1}],"ops":[{"op":"conv","in":[0],"weight":"k","bias":"b","stride":[1],"before":[1],"after":[1]}],"outputs":[1]})",
            "2 channels for an input of 3"},
        Hostile{
            "conv wide input",
            R"({"inputs":[{"shape":[2,2],"min":0,"max":40000}],"ops":[{"op":"conv","in":[0],"weight":"k","bias":"b","stride":[1],"before":[1],"after":[1]}],"outputs":[1]})",
            "16 bits"},
        Hostile{
            "conv memory",
            R"({"inputs":[{"shape":[2000,2],"min":0,"max":1}],"ops":[{"op":"conv_transposed","in":[0],"weight":"k","bias":"b","stride":[60000],"before":[1],"after":[1]}],"outputs":[1]})",
            "too large"},
        Hostile{"empty clamp", IN R"({"op":"clamp","in":[0],"min":2,"max":1})" OUT, "limits are empty"}),
    [](const auto& i) {
      std::string s = i.param.what;
      for (char& c : s) c = c == ' ' ? '_' : c;
      return s;
    });
#undef IN
#undef OUT
#undef CONV

// The transposed convolution's sums are those of the taps that meet: one of 2^31 / 3 each, three of them too
// many.
TEST(ExactProof, TransposedConvolutionsSumTheTapsOfAPhase) {
  Store s;
  s.add<int16_t>("w", {1, 3, 1}, {30000, 30000, 30000});
  s.add<int32_t>("b", {1}, {0});
  const auto json = [](int stride) {
    return R"({"inputs":[{"shape":[4,1],"min":-30000,"max":30000}],"ops":[{"op":"conv_transposed","weight":"w","bias":"b",
        "in":[0],"stride":[)" +
           std::to_string(stride) + R"(],"before":[0],"after":[0]}],"outputs":[1]})";
  };
  EXPECT_EQ(s.parse(json(3)).largest_sum, uint64_t{900000000});
  EXPECT_EQ(s.parse(json(2)).largest_sum, uint64_t{1800000000});
  EXPECT_NE(refusal(s, json(1)).find("row 0"), std::string::npos);
}

// A few bytes of JSON that ask for hours of work.
TEST(ExactProof, WorkIsBounded) {
  Store s;
  s.add<int8_t>("w", {4096, 4096}, std::vector<int8_t>(size_t{4096} * 4096, 0));
  s.add<int32_t>("b", {4096}, std::vector<int32_t>(4096, 0));
  const std::string json = R"({"inputs":[{"shape":[200,4096],"min":0,"max":0}],"ops":[
      {"op":"linear","weight":"w","bias":"b","in":[0]}],"outputs":[1]})";
  EXPECT_NE(refusal(s, json).find("over the limit"), std::string::npos);
}

}  // namespace
}  // namespace h5neural

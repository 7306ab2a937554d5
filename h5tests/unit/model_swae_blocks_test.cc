// model_swae_blocks_test.cc: the form `blocks` of SWAE with small weights made here: what is written is read
// back, by the engine and by a plain computation beside it; weights and latents made to do harm are refused.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "exact/backend.h"
#include "exact/json.h"
#include "models/factory.h"
#include "models/latent_spread.h"
#include "weights/safetensors.h"

namespace h5neural {
namespace {

constexpr int kOne = 1024;    // 1.0 as a latent
constexpr int kValue = 8192;  // 1.0 as a normalised value
constexpr int kSpread = 40;   // of latents: 2^10 = kOne

Json value(uint64_t count, int limit) { return {{"shape", {count}}, {"min", -limit}, {"max", limit}}; }
Json linear(int in, const char* weight, const char* bias) {
  return {{"op", "linear"}, {"in", {in}}, {"weight", weight}, {"bias", bias}};
}
Json requantise(int in, int shift, int low, int high) {
  return {{"op", "requantise"}, {"in", {in}}, {"multiplier", 1},
          {"shift", shift},     {"min", low}, {"max", high}};
}

// Weights of blocks whose latents are the mean and the slope along each axis: orthogonal, so that the encoder
// is the decoder's transpose. The context of a block says that its mean is that of the block before it along
// the last axis.
struct SmallWeights {
  explicit SmallWeights(const std::vector<int64_t>& block, const std::string& normalise = "minmax") {
    int64_t points = 1;
    for (const int64_t n : block) points *= n;
    const size_t axes = block.size(), k = axes + 1, p = static_cast<size_t>(points), inputs = axes * (k + 3);
    std::vector<double> modes(p * k);
    for (size_t i = 0; i < p; ++i) {
      modes[i * k] = 1;
      size_t rest = i;
      for (size_t a = axes; a-- > 0;) {
        const auto n = static_cast<size_t>(block[a]);
        if (n > 1) modes[i * k + 1 + a] = 2.0 * double(rest % n) / double(n - 1) - 1;
        rest /= n;
      }
    }
    std::vector<int16_t> up(p * k), down(k * p), before(k * inputs);
    for (size_t j = 0; j < k; ++j) {
      double norm = 1e-9;
      for (size_t i = 0; i < p; ++i) norm += modes[i * k + j] * modes[i * k + j];
      for (size_t i = 0; i < p; ++i) {
        up[i * k + j] = static_cast<int16_t>(std::lround(modes[i * k + j] * 1024));
        down[j * p + i] = static_cast<int16_t>(std::lround(modes[i * k + j] / norm * 16384));
      }
    }
    before[(axes - 1) * (k + 3)] = 1024;
    keep("up", {p, k}, up), keep("down", {k, p}, down), keep("before", {k, inputs}, before);
    keep("none", {k, inputs}, std::vector<int16_t>(k * inputs));
    keep("zero_k", {k}, std::vector<int32_t>(k)), keep("zero_p", {p}, std::vector<int32_t>(p));
    keep("spread", {k}, std::vector<int32_t>(k, kSpread));
    programs["encode"] = {{"inputs", {value(p, 16383)}},
                          {"ops", {linear(0, "down", "zero_k"), requantise(1, 17, -16383, 16383)}},
                          {"outputs", {2}}};
    programs["decode"] = {{"inputs", {value(k, 16383)}},
                          {"ops", {linear(0, "up", "zero_p"), requantise(1, 7, -32767, 32767)}},
                          {"outputs", {2}}};
    programs["context"] = {
        {"inputs", {value(inputs, 16383)}},
        {"ops",
         {linear(0, "before", "zero_k"), requantise(1, 10, -16383, 16383), linear(0, "none", "spread")}},
        {"outputs", {2, 3}}};
    config = {{"form", "blocks"}, {"block", block}, {"normalise", normalise}, {"gain", kOne}};
  }

  std::shared_ptr<const Model> model() const {
    Safetensors s;
    s.metadata = {
        {"format", "h5neural-weights-1"}, {"name", "small"}, {"family", "swae"}, {"config", config.dump()}};
    for (const auto& [name, p] : programs) s.metadata["program." + name] = p.dump();
    for (const auto& [name, t] : tensors) s.tensors[name] = {t.type, t.shape, t.bytes};
    const Bytes file = write_safetensors(s);
    return make_model(WeightsFile(file, sha256(file), "small"));
  }

  template <class T>
  void keep(const std::string& name, const std::vector<uint64_t>& shape, const std::vector<T>& values) {
    auto& t = tensors[name];
    t.type = sizeof(T) == 2 ? "I16" : "I32";
    t.shape = shape;
    t.bytes.resize(values.size() * sizeof(T));
    std::memcpy(t.bytes.data(), values.data(), t.bytes.size());
  }

  struct Kept {
    std::string type;
    std::vector<uint64_t> shape;
    Bytes bytes;
  };
  std::map<std::string, Kept> tensors;
  std::map<std::string, Json> programs;
  Json config;
};

// A plane in each block, with a height and slopes of its own: what these weights are for.
std::vector<int32_t> planes(const Extents& e, const std::vector<int64_t>& block) {
  std::vector<int32_t> field(e.count());
  for (size_t i = 0; i < field.size(); ++i) {
    uint32_t key = 1;
    double value = 0;
    size_t rest = i;
    for (auto a = static_cast<size_t>(e.rank); a-- > 0;) {
      const size_t x = rest % e.n[a], n = static_cast<size_t>(block[a]);
      rest /= e.n[a];
      key = key * 31 + static_cast<uint32_t>(x / n);
      value += 900.0 * double(a + 1) * (double(x % n) / double(n) - 0.5);
    }
    std::minstd_rand draw(key);
    draw.discard(3);
    field[i] = static_cast<int32_t>(value * (draw() % 100 - 49.5) / 50) +
               static_cast<int32_t>(draw() % 4000) + 100000;
  }
  return field;
}

struct Case {
  Extents chunk;
  std::vector<int64_t> block;
};
const std::vector<Case> kCases = {{{3, {13, 10, 11}}, {5, 5, 5}}, {{3, {16, 16, 16}}, {8, 8, 8}},
                                  {{2, {40, 33}}, {7, 8}},        {{1, {100}}, {9}},
                                  {{3, {3, 30, 20}}, {2, 6, 5}},  {{3, {60, 60, 60}}, {5, 5, 5}}};

TEST(SwaeBlocks, WhatIsWrittenIsReadBack) {
  for (const char* normalise : {"minmax", "zscore", "none"}) {
    for (const Case& c : kCases) {
      const auto model = SmallWeights(c.block, normalise).model();
      ASSERT_TRUE(model->serves(c.chunk));
      const auto field = planes(c.chunk, c.block);
      const auto section = model->encode(field, c.chunk, 64);
      ASSERT_TRUE(section.has_value()) << normalise << " rank " << c.chunk.rank;
      EXPECT_EQ(section, model->encode(field, c.chunk, 64));
      std::vector<int32_t> base(field.size(), INT32_MAX);
      model->decode(*section, c.chunk, base);
      double error = 0, energy = 0;
      for (size_t i = 0; i < field.size(); ++i) {
        error += std::pow(field[i] - base[i], 2);
        energy += std::pow(field[i] - 102000, 2);
      }
      EXPECT_LT(error, 0.05 * energy) << normalise << " rank " << c.chunk.rank;
    }
  }
}

// The decoder of these weights, in plain loops over what is exported.
TEST(SwaeBlocks, TheBaseIsWhatThePlainComputationGives) {
  for (const Case& c : kCases) {
    const SmallWeights weights(c.block);
    const auto model = weights.model();
    const auto section = model->encode(planes(c.chunk, c.block), c.chunk, 64);
    ASSERT_TRUE(section.has_value());
    std::vector<int32_t> base(c.chunk.count());
    model->decode(*section, c.chunk, base);
    const LatentArray a = model->latents(*section, c.chunk);
    ASSERT_EQ(a.grid.size(), c.block.size());
    ASSERT_EQ(a.numbers, c.block.size() + 1);
    std::vector<int16_t> up(weights.tensors.at("up").bytes.size() / 2);
    std::memcpy(up.data(), weights.tensors.at("up").bytes.data(), up.size() * 2);
    for (size_t i = 0; i < base.size(); ++i) {
      size_t rest = i, block = 0, point = 0, blocks = 1, points = 1;
      for (size_t axis = c.block.size(); axis-- > 0;) {
        const size_t x = rest % c.chunk.n[axis], n = static_cast<size_t>(c.block[axis]);
        rest /= c.chunk.n[axis];
        block += x / n * blocks, blocks *= a.grid[axis];
        point += x % n * points, points *= n;
      }
      int64_t sum = 0;
      for (size_t j = 0; j < a.numbers; ++j)
        sum += int64_t{up[point * a.numbers + j]} * a.values[block * a.numbers + j];
      const int64_t y = std::clamp<int64_t>((sum + 64) >> 7, -32767, 32767);
      const auto range = static_cast<int64_t>(a.scale[block] * kValue),
                 offset = static_cast<int64_t>(a.offset[block]);
      ASSERT_EQ(base[i], offset + ((y * range + kValue / 2) >> 13)) << i;
    }
  }
}

// Blocks alike: once the first is known, the others cost next to nothing.
TEST(SwaeBlocks, WhatNeighboursSuggestIsNotPaidFor) {
  const Extents row{1, {4096}};
  const auto model = SmallWeights({16}, "none").model();
  std::vector<int32_t> field(row.count());
  for (size_t i = 0; i < field.size(); ++i) field[i] = i == 4095 ? -2000 : 2000;
  const auto section = model->encode(field, row, 64);
  ASSERT_TRUE(section.has_value());
  EXPECT_LT(section->size(), 24u);  // 256 blocks, two latents each
}

TEST(SwaeBlocks, FlatBlocksHaveNoLatents) {
  const Extents e{3, {20, 20, 20}};
  const auto model = SmallWeights({5, 5, 5}).model();
  std::vector<int32_t> field(e.count(), 500);
  EXPECT_FALSE(model->encode(field, e, 64).has_value());
  for (size_t z = 0; z < 5; ++z) {
    for (size_t y = 0; y < 5; ++y) {
      for (size_t x = 0; x < 5; ++x) field[(z * 20 + y) * 20 + x] += static_cast<int32_t>(900 * (x + y));
    }
  }
  const auto section = model->encode(field, e, 64);
  ASSERT_TRUE(section.has_value());
  const LatentArray a = model->latents(*section, e);
  EXPECT_GT(a.scale[0], 0);
  for (size_t b = 1; b < a.scale.size(); ++b) EXPECT_EQ(a.scale[b], 0) << b;
}

TEST(SwaeBlocks, ServesItsRankAndNoMoreThanItsShareOfPadding) {
  const auto model = SmallWeights({5, 5, 5}).model();
  EXPECT_TRUE(model->serves(Extents{3, {7, 9, 11}}));
  EXPECT_TRUE(model->serves(Extents{3, {4, 4, 4}}));
  EXPECT_FALSE(model->serves(Extents{3, {2, 2, 2}}));
  EXPECT_FALSE(model->serves(Extents{2, {64, 64}}));
  EXPECT_FALSE(model->serves(Extents{3, {0, 5, 5}}));
  std::vector<int32_t> base(8);
  EXPECT_THROW(model->decode({}, Extents{3, {2, 2, 2}}, base), Failure);
  EXPECT_THROW(model->decode({}, Extents{3, {5, 5, 5}}, base), Failure);
}

TEST(SwaeBlocks, ExtremeFieldsComeThrough) {
  const Extents e{3, {11, 12, 13}};
  for (const char* normalise : {"minmax", "zscore", "pos_log", "none"}) {
    const auto model = SmallWeights({5, 5, 5}, normalise).model();
    std::mt19937 draw(11);
    for (const int32_t bin : {1, 16, 1 << 20, INT32_MAX}) {
      for (int kind = 0; kind < 4; ++kind) {
        auto field = planes(e, {5, 5, 5});
        for (auto& v : field) {
          if (kind == 1) v = draw() & 1 ? 1 << 30 : -(1 << 30);
          if (kind == 2) v = static_cast<int32_t>(draw() % (1u << 31)) - (1 << 30);
          if (kind == 3) v = v > 102000 ? 1 << 30 : 0;
        }
        const auto section = model->encode(field, e, bin);
        if (!section) continue;
        std::vector<int32_t> base(field.size());
        EXPECT_NO_THROW(model->decode(*section, e, base)) << normalise << " bin " << bin << " kind " << kind;
        for (const int32_t v : base) ASSERT_LE(std::abs(int64_t{v}), 1 << 30);
      }
    }
  }
}

TEST(SwaeBlocks, AnyBytesAreRefusedOrDecoded) {
  const Extents e{3, {20, 20, 20}};
  for (const char* normalise : {"minmax", "none"}) {
    const auto model = SmallWeights({5, 5, 5}, normalise).model();
    std::mt19937 draw(13);
    std::vector<int32_t> base(e.count());
    size_t refused = 0;
    for (int round = 0; round < 500; ++round) {
      Bytes section(draw() % 64);
      for (auto& b : section) b = static_cast<uint8_t>(draw());
      try {
        model->decode(section, e, base);
        for (const int32_t v : base) ASSERT_LE(std::abs(int64_t{v}), 1 << 30);
      } catch (const Failure& f) {
        EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
        ++refused;
      }
    }
    EXPECT_GT(refused, 0u);
  }
}

TEST(SwaeBlocks, WeightsThatDoNotFitAreRefused) {
  const auto refused = [](const SmallWeights& w) { EXPECT_THROW(w.model(), Failure); };
  SmallWeights w({5, 5, 5});
  w.config["block"] = {5, 5, 6};
  refused(w);
  w.config["block"] = Json::array();
  refused(w);
  w.config["block"] = {1 << 10, 1 << 10, 1};
  refused(w);
  w = SmallWeights({5, 5, 5});
  w.config["normalise"] = "log";
  refused(w);
  w = SmallWeights({5, 5, 5});
  w.config["gain"] = 0;
  refused(w);
  w = SmallWeights({5, 5, 5});
  w.programs.erase("context");
  refused(w);
  w = SmallWeights({5, 5, 5});
  w.programs["context"]["outputs"] = {2};
  refused(w);
  w = SmallWeights({5, 5, 5});
  w.programs["decode"]["outputs"] = {1};  // sums that were never made small
  refused(w);
}

TEST(SpreadCoder, AnyNumberComesBackUnderAnySpread) {
  std::mt19937 draw(3);
  std::vector<std::array<int32_t, 3>> all;
  for (int i = 0; i < 3000; ++i) {
    const auto q = static_cast<int32_t>(draw() >> (draw() % 32)) * (draw() & 1 ? 1 : -1);
    all.push_back({q, static_cast<int32_t>(draw() % 64), static_cast<int32_t>(1 + draw() % 16384)});
  }
  BitEncoder out;
  SpreadCoder writer, reader;
  for (const auto& [q, spread, step] : all) writer.encode(out, q, spread, step);
  const Bytes bytes = out.finish();
  BitDecoder in(bytes);
  for (const auto& [q, spread, step] : all) ASSERT_EQ(reader.decode(in, spread, step), q);
}

// Numbers of the spread that was said take what their entropy is, from the first on.
TEST(SpreadCoder, TakesAboutTheEntropy) {
  std::mt19937 draw(4);
  std::exponential_distribution<double> half(std::sqrt(2.0));
  for (const int octaves : {-1, 0, 2, 4}) {
    double expected = 0;
    BitEncoder out;
    SpreadCoder coder;
    constexpr int kCount = 400, kStep = 64;
    for (int i = 0; i < kCount; ++i) {
      const double x = half(draw) * (draw() & 1 ? 1 : -1) * std::exp2(octaves);
      const auto q = static_cast<int32_t>(std::lround(x));
      expected += coder.bits(q, 24 + 4 * octaves, kStep);
      coder.encode(out, q, 24 + 4 * octaves, kStep);
    }
    EXPECT_NEAR(8.0 * static_cast<double>(out.finish().size()) / expected, 1, 0.08) << octaves;
  }
}

}  // namespace
}  // namespace h5neural

// model_three_branch_test.cc: three-branch models made here, small enough to work out by hand: cells of two
// points whose latent is their mean. The base against a plain computation, chunks of all shapes, latents and
// weights made to do harm, and the spectrum that encoders look at.
#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numbers>
#include <random>

#include "models/factory.h"
#include "models/latent_coder.h"
#include "models/spectrum.h"
#include "models/tiles.h"
#include "weights/safetensors.h"

namespace h5neural {
namespace {

using Json = nlohmann::json;

constexpr int kTile = 4, kStep = 2, kTables = 20, kSymbols = 32;
constexpr int kLimit = 16383;

// The parts of a weights file; bytes kept apart from their views.
struct File {
  std::map<std::string, std::string> metadata;
  std::map<std::string, std::pair<std::string, std::vector<uint64_t>>> shapes;  // type, shape
  std::map<std::string, Bytes> bytes;

  template <class T>
  void add(const std::string& name, std::vector<uint64_t> shape, const std::vector<T>& v) {
    shapes[name] = {sizeof(T) == 1 ? "I8" : sizeof(T) == 2 ? "I16" : "I32", std::move(shape)};
    bytes[name].resize(v.size() * sizeof(T));
    std::memcpy(bytes[name].data(), v.data(), bytes[name].size());
  }
  std::shared_ptr<const Model> load() const {
    Safetensors s;
    s.metadata = metadata;
    for (const auto& [name, b] : bytes) s.tensors[name] = {shapes.at(name).first, shapes.at(name).second, b};
    const Bytes all = write_safetensors(s);
    return make_model(WeightsFile(all, sha256(all), "test"));
  }
};

Json value(int rank, int n, int limit) {
  std::vector<int> shape(static_cast<size_t>(rank), n);
  shape.push_back(1);
  return {{"shape", shape}, {"min", -limit}, {"max", limit}};
}
Json conv(int rank, const char* op, int in, const char* weight, int stride) {
  const std::vector<int> s(static_cast<size_t>(rank), stride), none(static_cast<size_t>(rank), 0);
  return {{"op", op},    {"in", {in}},     {"weight", weight}, {"bias", "zero"},
          {"stride", s}, {"before", none}, {"after", none}};
}
Json limited(int in, int multiplier, int shift, int limit) {
  return {{"op", "requantise"}, {"in", {in}},    {"multiplier", multiplier},
          {"shift", shift},     {"min", -limit}, {"max", limit}};
}

// Symbols of table k: two-sided geometric about 0, the wider the larger k.
std::vector<int16_t> frequencies() {
  std::vector<int16_t> all;
  for (int k = 0; k < kTables; ++k) {
    const double size = std::exp2(k / 2.0 - 4);
    std::vector<double> p;
    double sum = 0;
    for (int s = 0; s < kSymbols; ++s) sum += p.emplace_back(std::exp(-((s + 1) / 2) / size));
    int left = 4096;
    for (int s = kSymbols - 1; s > 0; --s) {
      const auto f =
          static_cast<int16_t>(1 + std::floor(p[static_cast<size_t>(s)] / sum * (4096 - kSymbols)));
      p[static_cast<size_t>(s)] = f;
      left -= f;
    }
    p[0] = left;
    all.insert(all.end(), p.begin(), p.end());
  }
  return all;
}

// Encoder: the mean of a cell's points in 2^-8 deviations; decoder: the same for all of its points. With
// `branches` 3 the encoder is handed spectra, which it weighs with 0.
File make(int rank, int branches = 1) {
  File f;
  const int near = (1 << rank) - 1, taps = rank == 3 ? 27 : 9, points = rank == 3 ? 8 : 4,
            bits = rank == 3 ? 5 : 4;
  std::vector<uint64_t> kernel(static_cast<size_t>(rank) + 2, 3), cell(static_cast<size_t>(rank) + 2, 2);
  kernel.front() = kernel.back() = cell.front() = cell.back() = 1;
  std::vector<int8_t> middle(static_cast<size_t>(taps));
  middle[static_cast<size_t>(taps / 2)] = 1;
  f.add("middle", kernel, middle);
  f.add("cell", cell, std::vector<int8_t>(static_cast<size_t>(points), 1));
  f.add("none", cell, std::vector<int8_t>(static_cast<size_t>(points), 0));
  f.add<int32_t>("zero", {1}, {0});
  const int n = (kTile + 2) * kStep;
  Json encode{{"inputs", Json::array()}, {"ops", Json::array()}};
  for (int b = 0; b < branches; ++b) {
    encode["inputs"].push_back(value(rank, n, kLimit));
    encode["ops"].push_back(conv(rank, "conv", b, b == 0 ? "cell" : "none", kStep));
  }
  int sum = branches;
  for (int b = 1; b < branches; ++b) {
    encode["ops"].push_back({{"op", "add"}, {"in", {sum, branches + b}}});
    sum = branches + static_cast<int>(encode["ops"].size()) - 1;
  }
  // A sum of 2^rank values in 2^-10 to a mean in 2^-8.
  encode["ops"].push_back(limited(sum, 1, bits, kLimit));
  encode["ops"].push_back(
      conv(rank, "conv", branches + static_cast<int>(encode["ops"].size()) - 1, "middle", 1));
  encode["outputs"] = {branches + static_cast<int>(encode["ops"].size()) - 1};
  f.metadata["program.encode"] = encode.dump();
  f.metadata["program.decode"] = Json{
      {"inputs", {value(rank, kTile + 2, kLimit)}},
      {"ops",
       {conv(rank, "conv", 0, "middle", 1), conv(rank, "conv_transposed", 1, "cell", kStep),
        limited(2, 16, 0, 1 << 18)}},
      {"outputs", {3}}}.dump();
  std::vector<int16_t> predict(static_cast<size_t>(near));
  predict[0] = 128;  // half of the cell before
  f.add<int16_t>("predict", {1, static_cast<uint64_t>(near)}, predict);
  f.add<int16_t>("spread", {1, static_cast<uint64_t>(near) + 2},
                 std::vector<int16_t>(static_cast<size_t>(near) + 2, 40));
  f.add<int32_t>("floor", {3, 1}, {100, 60, 30});
  f.add<int32_t>("steps", {3, 1}, {4, 16, 64});
  std::vector<int32_t> thresholds;
  for (int k = 1; k < kTables; ++k) thresholds.push_back(static_cast<int32_t>(16 * std::exp2(k / 2.0)));
  f.add<int32_t>("thresholds", {kTables - 1}, thresholds);
  f.add<int16_t>("frequencies", {kTables, kSymbols}, frequencies());
  f.metadata["format"] = "h5neural-weights-1";
  f.metadata["name"] = "test";
  f.metadata["family"] = "three-branch";
  // Bins of 1/32, 1/8 and 1/2 deviations.
  f.metadata["config"] =
      Json{{"rank", rank}, {"step", kStep}, {"tile", kTile}, {"bins", {2048, 8192, 32768}}}.dump();
  return f;
}

// A value for each cell of two points along the last `rank` axes: nothing predicts it but its latent.
std::vector<int32_t> cells(const Extents& e, int rank, int32_t size, uint32_t seed) {
  std::mt19937 draw(seed);
  std::map<std::vector<uint64_t>, int32_t> of;
  std::vector<int32_t> f(e.count());
  for (size_t i = 0; i < f.size(); ++i) {
    std::vector<uint64_t> at(static_cast<size_t>(e.rank));
    size_t rest = i;
    for (int a = e.rank - 1; a >= 0; --a) {
      const auto k = static_cast<size_t>(a);
      at[k] = rest % e.n[k] / (a >= e.rank - rank ? kStep : 1);
      rest /= e.n[k];
    }
    const auto [it, fresh] = of.try_emplace(at, 0);
    if (fresh) it->second = static_cast<int32_t>(draw() % (2 * static_cast<uint32_t>(size))) - size;
    f[i] = it->second;
  }
  return f;
}

const std::vector<Extents> kShapes = {
    {3, {8, 8, 8}}, {3, {13, 17, 9}}, {3, {40, 3, 10}}, {4, {3, 9, 16, 8}}, {5, {2, 2, 7, 8, 9}}};

// Every latent finds its way to the points of its cell, those of cells cut off by the end of the chunk too.
TEST(ThreeBranchModel, TheBaseIsWhatThePlainComputationGives) {
  const auto model = make(3).load();
  for (const Extents& e : kShapes) {
    ASSERT_TRUE(model->serves(e));
    const auto field = cells(e, 3, 4000, 3);
    const auto section = model->encode(field, e, 100);
    ASSERT_TRUE(section.has_value()) << e.rank;
    std::vector<int32_t> base(e.count());
    model->decode(*section, e, base);
    const LatentArray a = model->latents(*section, e);
    ASSERT_EQ(a.grid.size(), static_cast<size_t>(e.rank));
    for (size_t i = 0; i < base.size(); ++i) {
      size_t rest = i, cell = 0, stride = 1;
      for (size_t k = static_cast<size_t>(e.rank); k-- > 0; rest /= e.n[k], stride *= a.grid[k])
        cell += rest % e.n[k] / (k + 3 >= static_cast<size_t>(e.rank) ? kStep : 1) * stride;
      const double plain = a.offset[cell] + a.scale[cell] * 16 * a.values[cell];
      ASSERT_NEAR(base[i], plain, 0.5001) << i;
      ASSERT_LE(std::abs(base[i] - field[i]), 105) << i;  // half a latent's step and a little
    }
  }
}

TEST(ThreeBranchModel, RankTwoTakesSlices) {
  const auto model = make(2).load();
  for (const Extents& e : {Extents{2, {33, 17}}, Extents{3, {3, 20, 11}}, Extents{4, {2, 2, 16, 16}}}) {
    const auto field = cells(e, 2, 4000, 4);
    const auto section = model->encode(field, e, 400);
    ASSERT_TRUE(section.has_value()) << e.rank;
    std::vector<int32_t> base(e.count());
    model->decode(*section, e, base);
    for (size_t i = 0; i < base.size(); ++i) ASSERT_LE(std::abs(base[i] - field[i]), 400) << i;
  }
}

TEST(ThreeBranchModel, ServesWhatFillsItsTiles) {
  const auto model = make(3).load();
  EXPECT_FALSE(model->serves({2, {64, 64}}));
  EXPECT_FALSE(model->serves({3, {2, 2, 4096}}));
  EXPECT_FALSE(model->serves({}));
  EXPECT_TRUE(model->serves({3, {4, 4, 4}}));
}

TEST(ThreeBranchModel, SpectraChangeNothingThatTheyWeighNothingIn) {
  const Extents e{3, {16, 13, 8}};
  const auto field = cells(e, 3, 4000, 5);
  EXPECT_EQ(make(3, 1).load()->encode(field, e, 100), make(3, 3).load()->encode(field, e, 100));
}

TEST(ThreeBranchModel, HasNothingToOfferWhereLatentsDoNotPay) {
  const auto model = make(3).load();
  const Extents e{3, {16, 16, 16}};
  std::vector<int32_t> field(e.count(), 7);
  EXPECT_FALSE(model->encode(field, e, 16).has_value());  // one value
  std::mt19937 draw(5);
  for (auto& v : field) v = static_cast<int32_t>(draw() % 4096) - 2048;
  EXPECT_FALSE(model->encode(field, e, 400).has_value());  // noise within the cells
  const auto right = cells(e, 3, 4000, 6);
  EXPECT_TRUE(model->encode(right, e, 100).has_value());
  EXPECT_FALSE(model->encode(right, e, 10).has_value());  // finer than any gain
  EXPECT_FALSE(model->encode(right, e, 4000).has_value());
}

// Whatever the writer is given, what it writes is read back.
TEST(ThreeBranchModel, ExtremeFieldsComeThrough) {
  const auto model = make(3, 3).load();
  const Extents e{3, {8, 9, 10}};
  std::mt19937 draw(11);
  for (const int32_t bin : {1, 16, 1 << 20, 1 << 28, INT32_MAX}) {
    for (int kind = 0; kind < 3; ++kind) {
      auto field = cells(e, 3, 1 << 30, 7);
      for (auto& v : field) {
        if (kind == 1) v = draw() & 1 ? 1 << 30 : -(1 << 30);
        if (kind == 2) v = v > 0 ? 1 << 30 : (1 << 30) - 1;
      }
      const auto section = model->encode(field, e, bin);
      if (!section) continue;
      std::vector<int32_t> base(field.size());
      EXPECT_NO_THROW(model->decode(*section, e, base)) << bin << " " << kind;
    }
  }
}

TEST(ThreeBranchModel, AnyBytesAreRefusedOrDecoded) {
  const auto model = make(3).load();
  const Extents e{3, {8, 9, 10}};
  const auto section = model->encode(cells(e, 3, 4000, 8), e, 100);
  ASSERT_TRUE(section.has_value());
  std::vector<int32_t> base(e.count());
  std::mt19937 draw(13);
  size_t refused = 0;
  for (int k = 0; k < 3000; ++k) {
    Bytes b = *section;
    for (uint32_t changes = 1 + draw() % 3; changes > 0; --changes) b[draw() % b.size()] ^= 1u << draw() % 8;
    if (k % 5 == 0) b.resize(draw() % b.size());
    if (k % 7 == 0) b.push_back(static_cast<uint8_t>(draw()));
    try {
      model->decode(b, e, base);
    } catch (const Failure& f) {
      EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
      ++refused;
    }
  }
  EXPECT_GT(refused, 2000u);
}

TEST(ThreeBranchModel, WeightsThatDoNotFitAreRefused) {
  const auto refused = [](const std::function<void(File&)>& change) {
    File f = make(3);
    change(f);
    try {
      f.load();
    } catch (const Failure& e) {
      return e.status() == H5N_ERR_CORRUPT;
    }
    return false;
  };
  const auto config = [&](const char* key, const Json& v) {
    return refused([&](File& f) {
      Json c = Json::parse(f.metadata["config"]);
      c[key] = v;
      f.metadata["config"] = c.dump();
    });
  };
  EXPECT_FALSE(refused([](File&) {}));
  EXPECT_TRUE(config("rank", 2));
  EXPECT_TRUE(config("rank", 4));
  EXPECT_TRUE(config("step", 4));
  EXPECT_TRUE(config("tile", 5));
  EXPECT_TRUE(config("tile", 0));
  EXPECT_TRUE(config("bins", {1, 2}));
  EXPECT_TRUE(config("bins", {3, 2, 1}));
  for (const char* name : {"predict", "spread", "floor", "steps", "thresholds", "frequencies", "middle"}) {
    EXPECT_TRUE(refused([&](File& f) { f.bytes.erase(name); })) << name;
  }
  EXPECT_TRUE(refused([](File& f) { f.add<int32_t>("steps", {3, 1}, {4, 0, 64}); }));
  EXPECT_TRUE(refused([](File& f) { f.add<int32_t>("steps", {3, 1}, {4, kLimit + 1, 64}); }));
  EXPECT_TRUE(refused([](File& f) { f.add<int32_t>("floor", {3, 1}, {-1, 0, 64}); }));
  EXPECT_TRUE(refused([](File& f) { f.bytes["spread"][1] = 0x80; }));   // negative
  EXPECT_TRUE(refused([](File& f) { f.bytes["thresholds"][3] = 1; }));  // the first above the others
  EXPECT_TRUE(refused([](File& f) { ++f.bytes["frequencies"][0]; }));   // no longer 4096
  EXPECT_TRUE(refused([](File& f) { f.metadata.erase("program.encode"); }));
  EXPECT_TRUE(refused([](File& f) {  // an output that could leave its range
    Json p = Json::parse(f.metadata["program.decode"]);
    p["ops"][2]["multiplier"] = 256;
    p["ops"][2]["max"] = 1 << 24;
    f.metadata["program.decode"] = p.dump();
  }));
}

TEST(Spectrum, IsThatOfTheDefinition) {
  const std::array<int64_t, 3> n = {3, 4, 5};
  std::mt19937 draw(17);
  std::vector<float> x(60);
  for (float& v : x) v = static_cast<float>(draw() % 1000) / 500 - 1;
  const Spectrum s = spectrum_of(x, n);
  for (size_t k = 0; k < x.size(); ++k) {
    std::complex<double> sum = 0;
    for (size_t p = 0; p < x.size(); ++p) {
      const double turn =
          double(k / 20 * (p / 20)) / 3 + double(k / 5 % 4 * (p / 5 % 4)) / 4 + double(k % 5 * (p % 5)) / 5;
      sum += double(x[p]) * std::polar(1.0, -2 * std::numbers::pi * turn);
    }
    EXPECT_NEAR(s.magnitude[k], std::log1p(std::abs(sum)), 1e-4);
    const double apart = std::remainder(s.phase[k] - std::arg(sum) / std::numbers::pi, 2.0);
    EXPECT_NEAR(apart * std::abs(sum), 0, 1e-4);
  }
}

TEST(TileGrid, ReflectsAtBothEnds) {
  const std::vector<int64_t> of_three = {2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1};
  for (int64_t at = -3; at < 8; ++at)
    EXPECT_EQ(TileGrid::reflect(at, 3), of_three[static_cast<size_t>(at + 3)]);
  EXPECT_EQ(TileGrid::reflect(-9, 1), 0);
}

}  // namespace
}  // namespace h5neural

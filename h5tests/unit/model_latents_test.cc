// model_latents_test.cc: latents of series (families vae, contextual, dcae, diffusion): the seeds of the
// fuzzer, whose latents are means of cells, on series of all shapes; latents and weights made to do harm;
// the generator of noise against published numbers. What is read is held against an independent reader in
// h5tests/hosts/test_format.py.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "models/factory.h"
#include "models/latent_frames.h"
#include "support/philox.h"
#include "weights/safetensors.h"

namespace h5neural {
namespace {

using Json = nlohmann::json;

const std::vector<std::string> kFamilies = {"vae", "contextual", "dcae", "diffusion"};

// A seed's file, its arrays kept apart from their views.
struct File {
  std::map<std::string, std::string> metadata;
  std::map<std::string, SafetensorsEntry> entries;
  std::map<std::string, Bytes> bytes;

  explicit File(const std::string& family) {
    std::ifstream in(H5NEURAL_SOURCE_DIR "/h5tests/fuzz/seeds/weights/" + family + ".safetensors",
                     std::ios::binary);
    const Bytes all{std::istreambuf_iterator<char>(in), {}};
    const Safetensors s = parse_safetensors(all, family);
    metadata = s.metadata;
    for (const auto& [name, e] : s.tensors) {
      entries[name] = {e.type, e.shape, {}};
      bytes[name] = {e.bytes.begin(), e.bytes.end()};
    }
  }
  std::shared_ptr<const Model> load() const {
    Safetensors s;
    s.metadata = metadata;
    for (const auto& [name, b] : bytes) s.tensors[name] = {entries.at(name).type, entries.at(name).shape, b};
    const Bytes all = write_safetensors(s);
    return make_model(WeightsFile(all, sha256(all), "test"));
  }
  int32_t& number(const std::string& array, size_t k) {
    return *(reinterpret_cast<int32_t*>(bytes.at(array).data()) + k);
  }
};

uint64_t frames_of(const Extents& e) { return e.rank == 3 ? e.n[0] : 1; }

// A value for each cell of 2 x 2 points that nothing around it tells: drawn anew for each frame, or, for what
// generates frames, on a straight line from each third one to the next.
std::vector<int32_t> series(const std::string& family, const Extents& e, int32_t size, uint32_t seed) {
  const uint64_t frames = frames_of(e), rows = e.n[static_cast<size_t>(e.rank) - 2],
                 columns = e.n[static_cast<size_t>(e.rank) - 1];
  std::mt19937 draw(seed);
  const uint64_t apart = family == "diffusion" ? 3 : 1;
  const uint64_t across = (columns + 1) / 2, cells = (rows + 1) / 2 * across;
  std::vector<int32_t> keys((frames / apart + 2) * cells), f;
  for (auto& v : keys) v = static_cast<int32_t>(draw() % (2 * static_cast<uint32_t>(size))) - size;
  for (uint64_t t = 0; t < frames; ++t) {
    for (uint64_t i = 0; i < rows; ++i) {
      for (uint64_t j = 0; j < columns; ++j) {
        const uint64_t cell = i / 2 * across + j / 2;
        const int64_t a = keys[t / apart * cells + cell], b = keys[(t / apart + 1) * cells + cell];
        f.push_back(static_cast<int32_t>(a + (b - a) * static_cast<int64_t>(t % apart) /
                                                 static_cast<int64_t>(apart)));
      }
    }
  }
  return f;
}

const std::vector<Extents> kShapes = {
    {3, {9, 16, 24}}, {3, {2, 33, 9}}, {3, {11, 7, 5}}, {3, {5, 8, 8}}, {2, {40, 17}}};

TEST(LatentFrames, BasesComeNearOnAllShapes) {
  for (const std::string& family : kFamilies) {
    const auto model = File(family).load();
    EXPECT_EQ(model->family(), family);
    for (const Extents& e : kShapes) {
      if (family == "vae" && e.rank == 2) continue;  // twice the latents for one frame
      ASSERT_TRUE(model->serves(e));
      const auto field = series(family, e, 4000, 3);
      const auto section = model->encode(field, e, 100);
      ASSERT_TRUE(section.has_value()) << family << " " << e.n[0];
      std::vector<int32_t> base(e.count());
      model->decode(*section, e, base);
      double squares = 0;
      for (size_t i = 0; i < base.size(); ++i) squares += std::pow(double(base[i]) - field[i], 2);
      // Steps of latents are half a bin; what is generated, or spread by the decoder, is less sure.
      EXPECT_LT(std::sqrt(squares / double(base.size())),
                family == "vae" || family == "diffusion" ? 600 : 160)
          << family << " " << e.n[0];
    }
  }
}

TEST(LatentFrames, LatentsAreThoseOfGroupsThatHaveThem) {
  const Extents e{3, {11, 16, 24}};
  const std::map<std::string, uint64_t> groups = {
      {"vae", 6}, {"contextual", 11}, {"dcae", 11}, {"diffusion", 5}};
  for (const std::string& family : kFamilies) {
    const auto model = File(family).load();
    const auto section = model->encode(series(family, e, 4000, 5), e, 100);
    ASSERT_TRUE(section.has_value()) << family;
    const LatentArray a = model->latents(*section, e);
    EXPECT_EQ(a.grid, (std::vector<uint64_t>{groups.at(family), 8, 12})) << family;
    EXPECT_EQ(a.values.size(), groups.at(family) * 96 * a.numbers);
  }
}

TEST(LatentFrames, ServesSeriesThatFillTheirTiles) {
  for (const std::string& family : kFamilies) {
    const auto model = File(family).load();
    EXPECT_FALSE(model->serves({1, {4096}})) << family;
    EXPECT_FALSE(model->serves({4, {2, 8, 8, 8}})) << family;
    EXPECT_FALSE(model->serves({3, {8, 2, 2}})) << family;
    EXPECT_FALSE(model->serves({})) << family;
    EXPECT_TRUE(model->serves({2, {16, 16}})) << family;
  }
}

// What the writer makes of it is left to its estimates; what it writes is read back.
TEST(LatentFrames, ExtremeFieldsComeThrough) {
  const Extents e{3, {7, 9, 10}};
  std::mt19937 draw(11);
  for (const std::string& family : kFamilies) {
    const auto model = File(family).load();
    for (const int32_t bin : {1, 16, 1 << 20, 1 << 28, INT32_MAX}) {
      for (int kind = 0; kind < 4; ++kind) {
        auto field = series(family, e, 1 << 30, 7);
        for (auto& v : field) {
          if (kind == 1) v = draw() & 1 ? 1 << 30 : -(1 << 30);
          if (kind == 2) v = v > 0 ? 1 << 30 : (1 << 30) - 1;
          if (kind == 3) v = 12345;
        }
        const auto section = model->encode(field, e, bin);
        if (!section) continue;
        std::vector<int32_t> base(field.size());
        EXPECT_NO_THROW(model->decode(*section, e, base)) << family << " " << bin << " " << kind;
      }
    }
  }
}

TEST(LatentFrames, AnyBytesAreRefusedOrDecoded) {
  const Extents e{3, {8, 9, 10}};
  std::mt19937 draw(13);
  for (const std::string& family : kFamilies) {
    const auto model = File(family).load();
    const auto section = model->encode(series(family, e, 4000, 8), e, 100);
    ASSERT_TRUE(section.has_value()) << family;
    std::vector<int32_t> base(e.count());
    for (int k = 0; k < 1000; ++k) {
      Bytes b = *section;
      const size_t near = k % 2 == 0 ? b.size() : std::min<size_t>(b.size(), 12);
      for (uint32_t changes = 1 + draw() % 3; changes > 0; --changes) b[draw() % near] ^= 1u << draw() % 8;
      if (k % 5 == 0) b.resize(draw() % b.size());
      try {
        model->decode(b, e, base);
      } catch (const Failure& f) {
        EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
      }
    }
    EXPECT_THROW(model->decode({}, e, base), Failure);
    EXPECT_THROW(model->decode(*section, {1, {e.count()}}, base), Failure);
  }
}

TEST(LatentFrames, WeightsThatDoNotFitAreRefused) {
  const auto refused = [](const std::string& family, const std::function<void(File&)>& change) {
    File f(family);
    change(f);
    try {
      f.load();
    } catch (const Failure& e) {
      return e.status() == H5N_ERR_CORRUPT;
    }
    return false;
  };
  const auto config = [&](const std::string& family, const char* key, const Json& v) {
    return refused(family, [&](File& f) {
      Json c = Json::parse(f.metadata["config"]);
      c[key] = v;
      f.metadata["config"] = c.dump();
    });
  };
  for (const std::string& family : kFamilies) {
    EXPECT_FALSE(refused(family, [](File&) {})) << family;
    for (const char* key : {"window", "step", "tile", "hyper", "memory", "every"})
      EXPECT_TRUE(config(family, key, 7)) << family << " " << key;
    EXPECT_TRUE(config(family, "motion", 65)) << family;
    EXPECT_TRUE(config(family, "bins", {1, 2})) << family;
    EXPECT_TRUE(config(family, "bins", {3, 2, 1})) << family;
    for (const char* name : {"program.encode", "program.prior", "program.decode"})
      EXPECT_TRUE(refused(family, [&](File& f) { f.metadata.erase(name); })) << family << " " << name;
    const size_t arrays = File(family).bytes.size();
    for (size_t k = 0; k < arrays; ++k) {
      const std::string name = std::next(File(family).bytes.begin(), static_cast<ptrdiff_t>(k))->first;
      const bool used = name != "cell" || family != "vae";  // its programs have their own
      EXPECT_EQ(refused(family, [&](File& f) { f.bytes.erase(name); }), used) << family << " " << name;
    }
    EXPECT_TRUE(refused(family, [](File& f) { f.number("steps", 0) = 0; })) << family;
    EXPECT_TRUE(refused(family, [](File& f) { f.number("steps", 0) = 16384; })) << family;
  }
  EXPECT_TRUE(refused("vae", [](File& f) { f.number("hyper_spread", 0) = 128; }));
  EXPECT_TRUE(refused("diffusion", [](File& f) { f.number("sampler", 2) = 32768; }));
  EXPECT_TRUE(refused("diffusion", [](File& f) { f.number("levels", 0) = 101; }));  // beyond its input
  EXPECT_TRUE(config("diffusion", "memory", 1));
  EXPECT_TRUE(refused("vae", [](File& f) {  // an output that could leave its range
    Json p = Json::parse(f.metadata["program.decode"]);
    p["ops"][3]["multiplier"] = 256;
    p["ops"][3]["max"] = 1 << 24;
    f.metadata["program.decode"] = p.dump();
  }));
}

// The known answers of the authors' own tests (Random123, kat_vectors).
TEST(Philox, GivesThePublishedNumbers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t kAll = 0xffffffff;
  EXPECT_EQ(philox({kAll, kAll, kAll, kAll}, {kAll, kAll}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, NormalNumbersHaveTheirMoments) {
  constexpr int kCount = 100000;
  double sum = 0, squares = 0, fourth = 0;
  for (uint32_t i = 0; i < kCount; ++i) {
    const double x = philox_normal({i, 3, 1, 0}, 7) / 256.0;
    sum += x, squares += x * x, fourth += x * x * x * x;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.02);
  EXPECT_NEAR(squares / kCount, 1, 0.02);
  EXPECT_NEAR(fourth / kCount, 3, 0.2);
}

}  // namespace
}  // namespace h5neural

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
#include "models/latent_section.h"
#include "models/latent_series.h"
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
    const Bytes all = file();
    return make_model(WeightsFile(all, sha256(all), "test"));
  }
  LatentWeights weights() const {
    const Bytes all = file();
    return LatentWeights(WeightsFile(all, sha256(all), "test"));
  }
  Bytes file() const {
    Safetensors s;
    s.metadata = metadata;
    for (const auto& [name, b] : bytes) s.tensors[name] = {entries.at(name).type, entries.at(name).shape, b};
    return write_safetensors(s);
  }
  void set(const char* key, const Json& v) {
    Json c = Json::parse(metadata["config"]);
    c[key] = v;
    metadata["config"] = c.dump();
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

// ---- axes that wrap

const Extents kDomain{3, {7, 24, 32}};

// Numbers drawn for each cell and block, `down` and `right` places further than they were drawn. A place
// beyond the end of the grid is one at its other end.
class DrawnNumbers final : public GroupCoder {
 public:
  DrawnNumbers(const LatentWeights& w, const LatentSeries& s, int64_t down, int64_t right)
      : w_(w), s_(s), down_(down), right_(right) {}

  void displacements(size_t g, std::span<const int32_t>, std::span<int32_t> d) override {
    fill(g, 1, w_.motion, 2, d, [](uint32_t r) { return static_cast<int32_t>(r % 15) - 7; });
  }
  void hyper(size_t g, std::span<int32_t> z) override {
    fill(g, 2, w_.step * w_.hyper, w_.hyper_channels, z,
         [](uint32_t r) { return static_cast<int32_t>(r % 5) - 2; });
  }
  void latents(size_t g, std::span<const int32_t> prior, std::span<int32_t> y) override {
    const size_t c = w_.channels;
    fill(g, 3, w_.step, c, y, [](uint32_t r) { return static_cast<int32_t>(r % 401) - 200; });
    for (size_t i = 0; i < y.size(); ++i)
      y[i] = latent_of(prior[i / c * 2 * c + i % c], y[i], w_.steps[i % c], w_.limit);
  }

 private:
  template <class Of>
  void fill(size_t g, uint32_t kind, int64_t cell, size_t channels, std::span<int32_t> to, Of&& of) const {
    const int64_t rows = s_.rows() / cell, columns = s_.columns() / cell;
    ASSERT_EQ(to.size(), static_cast<size_t>(rows * columns) * channels);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        const int64_t from =
            TileGrid::wrap(i - down_ / cell, rows) * columns + TileGrid::wrap(j - right_ / cell, columns);
        for (size_t c = 0; c < channels; ++c) {
          std::seed_seq drawn{static_cast<uint32_t>(g), kind, static_cast<uint32_t>(from),
                              static_cast<uint32_t>(c)};
          to[static_cast<size_t>(i * columns + j) * channels + c] = of(std::mt19937(drawn)());
        }
      }
    }
  }

  const LatentWeights& w_;
  const LatentSeries& s_;
  int64_t down_, right_;
};

std::vector<int32_t> drawn_series(const LatentWeights& w, const LatentWraps& wraps, int64_t down,
                                  int64_t right) {
  LatentSeries s(w, kDomain, wraps);
  DrawnNumbers numbers(w, s, down, right);
  s.run(numbers, 1);
  return {s.decoded().begin(), s.decoded().end()};
}

// Frames turned about by so many points.
std::vector<int32_t> turned(const std::vector<int32_t>& f, int64_t down, int64_t right) {
  const auto rows = static_cast<int64_t>(kDomain.n[1]), columns = static_cast<int64_t>(kDomain.n[2]);
  std::vector<int32_t> t(f.size());
  for (int64_t k = 0; k < static_cast<int64_t>(f.size()); ++k) {
    const int64_t frame = k / (rows * columns), i = k / columns % rows, j = k % columns;
    t[static_cast<size_t>(k)] = f[static_cast<size_t>(
        (frame * rows + TileGrid::wrap(i - down, rows)) * columns + TileGrid::wrap(j - right, columns))];
  }
  return t;
}

// On a domain without ends no place is special: what numbers become does not depend on where they stand,
// tiles, hyper-latents, memory, the displaced frame and generation included.
TEST(LatentFrames, NumbersTurnedAboutGiveFramesTurnedAbout) {
  constexpr int64_t kDown = 4, kRight = 12;  // whole blocks and cells of hyper-latents, parts of tiles
  for (const char* name : {"vae", "contextual", "contextual-around", "dcae", "diffusion"}) {
    File file(name);
    if (file.bytes.count("sampler") != 0) {  // noise stays where it is
      file.set("start", 0);
      for (size_t k = 0; k < 2; ++k) file.number("sampler", 3 * k + 2) = 0;
    }
    const LatentWeights w = file.weights();
    for (const LatentWraps wraps : {LatentWraps{true, false}, {false, true}, {true, true}}) {
      const int64_t down = wraps.rows ? kDown : 0, right = wraps.columns ? kRight : 0;
      const auto expected = turned(drawn_series(w, wraps, 0, 0), down, right);
      EXPECT_EQ(drawn_series(w, wraps, down, right), expected) << name;
      // It would not hold where ends do not meet; dcae looks at no neighbours.
      if (name != std::string("dcae")) {
        EXPECT_NE(drawn_series(w, {}, down, right), turned(drawn_series(w, {}, 0, 0), down, right)) << name;
      }
    }
  }
}

int wraps_of(const Bytes& section) { return section[0] >> LatentHead::kGainBits; }

double squares_apart(const Model& model, const Bytes& section, const std::vector<int32_t>& field) {
  std::vector<int32_t> base(field.size());
  model.decode(section, kDomain, base);
  double sum = 0;
  for (size_t i = 0; i < base.size(); ++i) sum += std::pow(double(base[i]) - field[i], 2);
  return sum;
}

// Rough values on a domain without ends, whose border is no rougher than the inside: moved on by some points
// from frame to frame; for vae spread over the cells around as its decoder does, drawn anew for every second
// frame.
std::vector<int32_t> periodic(const std::string& name, const Extents& e) {
  const auto frames = static_cast<int64_t>(e.n[0]), rows = static_cast<int64_t>(e.n[1]),
             columns = static_cast<int64_t>(e.n[2]);
  std::mt19937 draw(17);
  std::vector<int32_t> drawn(static_cast<size_t>(frames * rows * columns / 4));
  for (auto& v : drawn) v = static_cast<int32_t>(draw() % 8000) - 4000;
  const auto cell = [&](int64_t t, int64_t i, int64_t j) {  // 2 x 2 points
    return drawn[static_cast<size_t>((t * (rows / 2) + TileGrid::wrap(i, rows / 2)) * (columns / 2) +
                                     TileGrid::wrap(j, columns / 2))];
  };
  const auto pair = [&](int64_t t, int64_t i, int64_t j) {  // 2 x 2 cells, the border between them
    return cell(t, TileGrid::wrap(i + 1, rows / 2) / 2, TileGrid::wrap(j + 1, columns / 2) / 2);
  };
  std::vector<int32_t> f;
  for (int64_t t = 0; t < frames; ++t) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        if (name != "vae") {
          f.push_back(cell(0, TileGrid::wrap(i - t, rows) / 2, TileGrid::wrap(j + 3 * t, columns) / 2));
          continue;
        }
        int32_t sum = 55 * pair(t / 2, i / 2, j / 2);
        for (int64_t k = 0; k < 9; ++k) sum += pair(t / 2, i / 2 + k / 3 - 1, j / 2 + k % 3 - 1);
        f.push_back(sum / 64);
      }
    }
  }
  return f;
}

TEST(LatentFrames, TheWriterWrapsWhatIsPeriodic) {
  for (const char* name : {"vae", "contextual", "contextual-around"}) {
    const auto model = File(name).load();
    const auto field = periodic(name, kDomain);
    const auto section = model->encode(field, kDomain, 300);
    ASSERT_TRUE(section.has_value()) << name;
    EXPECT_EQ(wraps_of(*section), 3) << name;
    // The same numbers are worth less where ends do not meet.
    Bytes apart = *section;
    apart[0] &= (1 << LatentHead::kGainBits) - 1;
    EXPECT_LT(squares_apart(*model, *section, field), squares_apart(*model, apart, field)) << name;
    // A ramp along the rows leaves the columns.
    auto ramp = field;
    for (size_t k = 0; k < ramp.size(); ++k)
      ramp[k] += static_cast<int32_t>(300 * (k / kDomain.n[2] % kDomain.n[1]));
    const auto sloped = model->encode(ramp, kDomain, 300);
    ASSERT_TRUE(sloped.has_value()) << name;
    EXPECT_EQ(wraps_of(*sloped), 2) << name;
    // Half a cell of hyper-latents is left at the end of the columns.
    const Extents broken{3, {7, 24, 30}};
    const auto cut = model->encode(periodic(name, broken), broken, 300);
    ASSERT_TRUE(cut.has_value()) << name;
    EXPECT_EQ(wraps_of(*cut), 1) << name;
  }
}

TEST(LatentFrames, AxesWithoutWholeCellsDoNotWrap) {
  for (const std::string& family : kFamilies) {
    const auto model = File(family).load();
    const std::vector<std::pair<Extents, int>> cases = {
        {{3, {8, 9, 11}}, 0}, {{3, {8, 12, 9}}, 1}, {{3, {8, 9, 12}}, 2}, {{3, {8, 8, 12}}, 3}};
    for (const auto& [e, allowed] : cases) {
      auto section = model->encode(series(family, e, 4000, 8), e, 100);
      ASSERT_TRUE(section.has_value()) << family;
      std::vector<int32_t> base(e.count());
      for (int wraps = 0; wraps < 4; ++wraps) {
        (*section)[0] = static_cast<uint8_t>((*section)[0] & 63) | static_cast<uint8_t>(wraps << 6);
        if ((wraps & ~allowed) != 0) {
          EXPECT_THROW(model->decode(*section, e, base), Failure) << family << " " << wraps;
        } else {
          EXPECT_NO_THROW(model->decode(*section, e, base)) << family << " " << wraps;
        }
      }
    }
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
    return refused(family, [&](File& f) { f.set(key, v); });
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

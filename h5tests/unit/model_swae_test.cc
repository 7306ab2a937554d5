// model_swae_test.cc: the shipped SWAE weights: what they find for a field of their family, what they do with
// fields that are none, and what they do with latents made to do harm.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "exact/backend.h"
#include "models/factory.h"

namespace h5neural {
namespace {

namespace fs = std::filesystem;

Bytes bytes_of(const std::string& prefix) {
  for (const auto& e : fs::directory_iterator(fs::path(H5NEURAL_SOURCE_DIR) / "weights")) {
    const std::string name = e.path().filename().string();
    if (!name.starts_with(prefix) || e.path().extension() != ".safetensors") continue;
    std::ifstream in(e.path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  return {};
}

std::shared_ptr<const Model> load(const std::string& prefix) {
  const Bytes bytes = bytes_of(prefix);
  return bytes.empty() ? nullptr : make_model(WeightsFile(bytes, sha256(bytes), prefix));
}

constexpr Extents kChunk{3, {32, 32, 32}};

// U_CHI of h5tests/fields/two_puncture.py for mass ratio q, separation d and phase, on the lattice: `bins`
// bins of 16 units over its range, about its middle.
std::vector<int32_t> chi(double q, double d, double phase, double bins) {
  const std::array<double, 2> m = {1 / (1 + q), q / (1 + q)};
  const std::array<double, 2> x = {d * m[1] * std::cos(phase), -d * m[0] * std::cos(phase)};
  const std::array<double, 2> y = {d * m[1] * std::sin(phase), -d * m[0] * std::sin(phase)};
  std::vector<double> f;
  const auto at = [](int i) { return (i + 0.5) * 0.75 - 12; };
  for (int k = 0; k < 32; ++k) {
    for (int j = 0; j < 32; ++j) {
      for (int i = 0; i < 32; ++i) {
        double psi = 1;
        for (int a = 0; a < 2; ++a) psi += m[a] / (2 * std::hypot(at(i) - x[a], at(j) - y[a], at(k)));
        f.push_back(std::pow(psi, -4));
      }
    }
  }
  const auto [lo, hi] = std::minmax_element(f.begin(), f.end());
  std::vector<int32_t> n;
  for (const double v : f)
    n.push_back(static_cast<int32_t>(std::lround((v - (*lo + *hi) / 2) / (*hi - *lo) * bins * 16)));
  return n;
}

double share_outside(const std::vector<int32_t>& a, const std::vector<int32_t>& b, int32_t half) {
  size_t n = 0;
  for (size_t i = 0; i < a.size(); ++i) n += std::abs(a[i] - b[i]) > half;
  return static_cast<double>(n) / static_cast<double>(a.size());
}

// Held-out stripes of all three parameters (see the generator).
TEST(SwaeChunkModel, FindsAFieldOfItsFamilyInAFewBytes) {
  const auto model = load("swae-chunk32");
  ASSERT_NE(model, nullptr) << "weights/ has no whole-chunk model";
  ASSERT_TRUE(model->serves(kChunk));
  for (const auto& [bins, bytes, outside] :
       {std::array{5.0, 24.0, 0.001}, std::array{50.0, 40.0, 0.002}, std::array{500.0, 64.0, 0.01}}) {
    const auto field = chi(0.4 + 0.6 * 19.5 / 64, 3 + 3 * 35.5 / 64, 2 * M_PI * 43.5 / 64, bins);
    const auto section = model->encode(field, kChunk, 16);
    ASSERT_TRUE(section.has_value()) << bins;
    EXPECT_LE(static_cast<double>(section->size()), bytes) << bins;
    std::vector<int32_t> base(field.size());
    model->decode(*section, kChunk, base);
    EXPECT_LE(share_outside(field, base, 8), outside) << bins;
  }
}

TEST(SwaeChunkModel, TheSameFieldGivesTheSameBytes) {
  const auto a = load("swae-chunk32"), b = load("swae-chunk32");
  ASSERT_NE(a, nullptr);
  const auto field = chi(0.7, 4, 1, 50);
  EXPECT_EQ(a->encode(field, kChunk, 16), b->encode(field, kChunk, 16));
}

TEST(SwaeChunkModel, ServesItsOwnExtentsOnly) {
  const auto model = load("swae-chunk32");
  ASSERT_NE(model, nullptr);
  for (const Extents& e :
       {Extents{3, {32, 32, 31}}, Extents{2, {32, 1024}}, Extents{4, {1, 32, 32, 32}}, Extents{}}) {
    EXPECT_FALSE(model->serves(e));
    EXPECT_FALSE(model->encode(std::vector<int32_t>(e.count()), e, 16).has_value());
  }
}

TEST(SwaeChunkModel, HasNothingToOfferForNoise) {
  const auto model = load("swae-chunk32");
  ASSERT_NE(model, nullptr);
  std::mt19937 draw(5);
  std::vector<int32_t> field(kChunk.count());
  for (auto& v : field) v = static_cast<int32_t>(draw() % 2048) - 1024;
  EXPECT_FALSE(model->encode(field, kChunk, 16).has_value());
  std::fill(field.begin(), field.end(), 7);
  EXPECT_FALSE(model->encode(field, kChunk, 16).has_value());
}

// Whatever the writer is given, what it writes is read back.
TEST(SwaeModels, ExtremeFieldsComeThrough) {
  for (const char* name : {"swae-chunk32", "swae-block5"}) {
    const auto model = load(name);
    ASSERT_NE(model, nullptr) << name;
    std::mt19937 draw(11);
    for (const int32_t bin : {1, 16, 1 << 20, INT32_MAX}) {
      auto field = chi(0.7, 4, 1, 500);
      for (int kind = 0; kind < 4; ++kind) {
        for (auto& v : field) {
          if (kind == 1) v = draw() & 1 ? 1 << 30 : -(1 << 30);
          if (kind == 2) v = static_cast<int32_t>(draw() % (1u << 31)) - (1 << 30);
          if (kind == 3) v = v > 0 ? 1 << 30 : 0;
        }
        const auto section = model->encode(field, kChunk, bin);
        if (!section) continue;
        std::vector<int32_t> base(field.size());
        EXPECT_NO_THROW(model->decode(*section, kChunk, base)) << name << " bin " << bin << " kind " << kind;
      }
    }
  }
}

TEST(SwaeModels, AnyBytesAreRefusedOrDecoded) {
  for (const char* name : {"swae-chunk32", "swae-block5"}) {
    const auto model = load(name);
    ASSERT_NE(model, nullptr) << name;
    std::mt19937 draw(13);
    size_t refused = 0;
    std::vector<int32_t> base(kChunk.count());
    for (int round = 0; round < 300; ++round) {
      Bytes section(draw() % 64);
      for (auto& b : section) b = static_cast<uint8_t>(draw());
      std::fill(base.begin(), base.end(), INT32_MAX);
      try {
        model->decode(section, kChunk, base);
        for (const int32_t v : base) ASSERT_LE(std::abs(v), 1 << 30);
      } catch (const Failure& f) {
        EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
        ++refused;
      }
    }
    EXPECT_GT(refused, 0u) << name;
    EXPECT_THROW(model->decode({}, Extents{3, {32, 32, 32}}, std::span(base).first(5)), Failure);
  }
}

// A plane wave, which is none of the family's fields: the base follows it all the same.
std::vector<int32_t> wave(const Extents& e) {
  std::vector<int32_t> field(e.count());
  for (size_t i = 0; i < field.size(); ++i) {
    const double x = static_cast<double>(i % e.n[2]), y = static_cast<double>(i / e.n[2] % e.n[1]),
                 z = static_cast<double>(i / (e.n[1] * e.n[2]));
    field[i] = static_cast<int32_t>(4000 * std::sin(0.3 * x + 0.2 * y + 0.25 * z));
  }
  return field;
}

// Blocks at the border are cut; every point gets a base.
TEST(SwaeBlockModel, ServesAnyThreeExtents) {
  const auto model = load("swae-block5");
  ASSERT_NE(model, nullptr) << "weights/ has no block model";
  size_t offered = 0;
  for (const Extents& e : {Extents{3, {17, 19, 21}}, Extents{3, {7, 9, 11}}, Extents{3, {5, 5, 5}},
                           Extents{3, {1, 64, 3}}, Extents{3, {40, 1, 1}}}) {
    ASSERT_TRUE(model->serves(e));
    const auto field = wave(e);
    std::vector<int32_t> base(e.count(), INT32_MAX);
    const auto section = model->encode(field, e, 16);
    if (!section) continue;  // too few points for latents to pay
    ++offered;
    model->decode(*section, e, base);
    double error = 0, energy = 0;
    for (size_t i = 0; i < field.size(); ++i) {
      error += std::pow(field[i] - base[i], 2);
      energy += std::pow(field[i], 2);
    }
    EXPECT_LT(error, 0.15 * energy) << e.n[0] << "x" << e.n[1] << "x" << e.n[2];
  }
  EXPECT_GE(offered, 3u);
  EXPECT_FALSE(model->serves(Extents{2, {64, 64}}));
  EXPECT_FALSE(model->serves(Extents{3, {0, 1, 1}}));
}

// What is exported says all that the base is made of: each block from its vector, scale and offset.
TEST(SwaeBlockModel, LatentsGiveTheBaseBack) {
  const Bytes bytes = bytes_of("swae-block5");
  const WeightsFile file(bytes, sha256(bytes), "swae-block5");
  const auto model = make_model(file);
  const Program decoder = file.program("decode");
  const Extents e{3, {17, 19, 21}};
  const auto section = model->encode(wave(e), e, 16);
  ASSERT_TRUE(section.has_value());
  std::vector<int32_t> base(e.count());
  model->decode(*section, e, base);
  const LatentArray a = model->latents(*section, e);
  ASSERT_EQ(a.grid, (std::vector<uint64_t>{4, 4, 5}));
  ASSERT_EQ(a.scale.size(), 80u);
  ASSERT_EQ(a.offset.size(), 80u);
  ASSERT_EQ(a.values.size(), 80 * a.numbers);
  EXPECT_EQ(a.latents, a.numbers);
  for (size_t i = 0; i < base.size(); ++i) {
    const size_t x = i % 21, y = i / 21 % 19, z = i / (21 * 19), block = (z / 5 * 4 + y / 5) * 5 + x / 5;
    const Batch input(a.values.begin() + static_cast<ptrdiff_t>(block * a.numbers),
                      a.values.begin() + static_cast<ptrdiff_t>((block + 1) * a.numbers));
    const int32_t v = run(decoder, std::vector<Batch>{input}, 1)[0][(z % 5 * 5 + y % 5) * 5 + x % 5];
    ASSERT_NEAR(base[i], a.offset[block] + a.scale[block] * v, 0.5001) << i;
  }
  EXPECT_THROW(model->latents(*section, Extents{2, {17, 19}}), Failure);
}

TEST(SwaeChunkModel, LatentsGiveTheBaseBack) {
  const Bytes bytes = bytes_of("swae-chunk32");
  const WeightsFile file(bytes, sha256(bytes), "swae-chunk32");
  const auto model = make_model(file);
  const Program coefficients = file.program("coefficients"), field = file.program("field");
  const auto section = model->encode(chi(1.5, 6, 0.7, 100), kChunk, 16);
  ASSERT_TRUE(section.has_value());
  std::vector<int32_t> base(kChunk.count());
  model->decode(*section, kChunk, base);
  const LatentArray a = model->latents(*section, kChunk);
  EXPECT_TRUE(a.grid.empty());
  ASSERT_EQ(a.scale.size(), 1u);
  ASSERT_EQ(a.values.size(), a.numbers);
  std::vector<Batch> inputs;
  size_t at = 0;
  for (size_t k = 0; k < coefficients.inputs; at += coefficients.values[k++].count()) {
    inputs.emplace_back(a.values.begin() + static_cast<ptrdiff_t>(at),
                        a.values.begin() + static_cast<ptrdiff_t>(at + coefficients.values[k].count()));
  }
  ASSERT_EQ(at, a.numbers);
  EXPECT_EQ(a.latents, inputs[0].size());
  const Batch y = run(field, run(coefficients, inputs, 1), 1)[0];
  for (size_t i = 0; i < base.size(); ++i) ASSERT_NEAR(base[i], a.offset[0] + a.scale[0] * y[i], 0.5001) << i;
}

TEST(SwaeBlockModel, AConstantNeedsNoModel) {
  const auto model = load("swae-block5");
  ASSERT_NE(model, nullptr);
  EXPECT_FALSE(model->encode(std::vector<int32_t>(kChunk.count(), 12345), kChunk, 16).has_value());
}

}  // namespace
}  // namespace h5neural

// model_linear_test.cc: linear models made here: the base against a plain computation, what is found for
// fields of the basis, latents and weights made to do harm; and the eigenvectors that training needs.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>

#include "corrections/choose_schedule.h"
#include "corrections/walk.h"
#include "models/factory.h"
#include "models/linear.h"
#include "weights/safetensors.h"

namespace h5neural {
namespace {

using Json = nlohmann::json;

// Fields of a few waves as the walk codes them, and what they come back as.
struct Made {
  Json config;
  Bytes basis;
  std::vector<std::vector<int32_t>> fields;  // decoded
};

double wave(const Extents& e, size_t p, int k) {
  double x = 0;
  for (int a = e.rank - 1; a >= 0; --a) {
    const auto n = static_cast<double>(e.n[a]);
    x += (1 + (k + a) % 3) * M_PI * static_cast<double>(p % e.n[a]) / n;
    p /= e.n[a];
  }
  return std::sin(x + k);
}

Made make(const Extents& e, const std::string& form, int modes, int bits = 2) {
  Made m;
  std::vector<size_t> bytes;
  std::vector<int> step_bits, exponents, scales;
  for (int k = 0; k < modes; ++k) {
    std::vector<double> target(e.count());
    for (size_t p = 0; p < target.size(); ++p) target[p] = 3000.0 / (1 + k % 4) * wave(e, p, k);
    WalkInput in;
    in.n = fold(e);
    in.step_bits = bits;
    std::vector<int32_t> decoded;
    const Bytes section = encode_walk(in, all_axes_alike(in.n), target, walk_effort(3), decoded);
    m.basis.insert(m.basis.end(), section.begin(), section.end());
    m.fields.push_back(decoded);
    bytes.push_back(section.size());
    step_bits.push_back(bits);
    exponents.push_back(11 - k % 4 / 2);
    scales.push_back(k % 4);
  }
  m.config = {{"form", form},           {"extents", std::vector<uint64_t>(e.n.begin(), e.n.begin() + e.rank)},
              {"bytes", bytes},         {"bits", step_bits},
              {"exponents", exponents}, {"scales", scales}};
  return m;
}

std::shared_ptr<const Model> load(const Json& config, const Bytes& basis) {
  Safetensors s;
  s.metadata = {
      {"format", "h5neural-weights-1"}, {"name", "test"}, {"family", "linear"}, {"config", config.dump()}};
  s.tensors["basis"] = {"I8", {basis.size()}, basis};
  const Bytes bytes = write_safetensors(s);
  return make_model(WeightsFile(bytes, sha256(bytes), "test"));
}
std::shared_ptr<const Model> load(const Made& m) { return load(m.config, m.basis); }

// Sum of the fields, each times a number, in lattice units.
std::vector<int32_t> mix(const Made& m, const std::vector<double>& c, double offset) {
  std::vector<int32_t> f(m.fields[0].size());
  for (size_t p = 0; p < f.size(); ++p) {
    double v = offset;
    for (size_t k = 0; k < c.size(); ++k) v += c[k] * m.fields[k][p];
    f[p] = static_cast<int32_t>(std::lround(v));
  }
  return f;
}

constexpr Extents kChunk{3, {12, 10, 14}};

TEST(LinearModel, FindsAMixtureOfItsFieldsInAFewBytes) {
  const Made m = make(kChunk, "chunk", 5);
  const auto model = load(m);
  ASSERT_TRUE(model->serves(kChunk));
  EXPECT_FALSE(model->general());
  for (const double offset : {0.0, 5000.0}) {
    const auto field = mix(m, {1.2, -0.4, 0.3, 0.02, -0.7}, offset);
    const auto section = model->encode(field, kChunk, 16);
    ASSERT_TRUE(section.has_value());
    EXPECT_LE(section->size(), 20u);
    std::vector<int32_t> base(field.size());
    model->decode(*section, kChunk, base);
    for (size_t p = 0; p < base.size(); ++p) ASSERT_NEAR(base[p], field[p], 8) << p;
  }
}

// Where a point of a chunk lies: its block, and its place in there.
struct Place {
  size_t block = 0, point = 0;
};
Place place(size_t p, const Extents& chunk, const Extents& block) {
  Place at;
  size_t point_stride = 1, stride = 1;
  for (int i = chunk.rank - 1; i >= 0; --i) {
    const size_t x = p % chunk.n[i];
    p /= chunk.n[i];
    at.block += x / block.n[i] * stride;
    at.point += x % block.n[i] * point_stride;
    stride *= (chunk.n[i] + block.n[i] - 1) / block.n[i];
    point_stride *= block.n[i];
  }
  return at;
}

// The sum as the header of linear.cc has it, from the numbers that are exported.
// `share`: of the points, so many come within a bin at least; blocks at the border are fitted with their
// repeated ends.
void expect_plain_sum(const Made& m, const Extents& chunk, const Extents& block, double share = 0.9) {
  const auto model = load(m);
  std::vector<int32_t> field(chunk.count());
  for (size_t p = 0; p < field.size(); ++p) {
    const Place at = place(p, chunk, block);
    double v = 0;
    for (size_t k = 0; k < m.fields.size(); ++k)
      v += std::cos(static_cast<double>(at.block * 7 + k)) * m.fields[k][at.point];
    field[p] = static_cast<int32_t>(std::lround(v));
  }
  const auto section = model->encode(field, chunk, 16);
  ASSERT_TRUE(section.has_value());
  std::vector<int32_t> base(chunk.count(), INT32_MAX);
  model->decode(*section, chunk, base);
  const LatentArray a = model->latents(*section, chunk);
  ASSERT_EQ(a.values.size(), a.scale.size() * a.numbers);
  ASSERT_EQ(a.offset.size(), a.scale.size());
  size_t near = 0;
  for (size_t p = 0; p < base.size(); ++p) {
    const Place at = place(p, chunk, block);
    int64_t sum = 0;
    for (size_t k = 0; k < a.numbers; ++k)
      sum += int64_t{a.values[at.block * a.numbers + k]} * m.fields[k][at.point];
    ASSERT_EQ(base[p], a.offset[at.block] + std::floor(static_cast<double>(sum) * a.scale[at.block] + 0.5))
        << p;
    near += std::abs(base[p] - field[p]) <= 16;
  }
  EXPECT_GT(static_cast<double>(near), share * static_cast<double>(base.size()));
}

TEST(LinearModel, TheBaseIsThePlainSum) { expect_plain_sum(make(kChunk, "chunk", 6), kChunk, kChunk); }

TEST(LinearModel, BlocksAreCutAtTheBorder) {
  const Extents block{3, {4, 5, 6}};
  const Made m = make(block, "block", 12);
  for (const Extents& e : {Extents{3, {12, 10, 12}}, Extents{3, {13, 11, 20}}, Extents{3, {8, 10, 11}}})
    expect_plain_sum(m, e, block, e.n[2] == 12 ? 0.9 : 0.3);
  const auto model = load(m);
  EXPECT_TRUE(model->general());
  EXPECT_FALSE(model->serves(Extents{2, {40, 40}}));
  EXPECT_FALSE(model->serves(Extents{3, {0, 40, 40}}));
  EXPECT_FALSE(model->serves(Extents{3, {1, 1, 1000}})) << "nearly all of every block would lie outside";
}

TEST(LinearModel, RanksOneAndTwo) {
  expect_plain_sum(make(Extents{1, {300}}, "chunk", 4), Extents{1, {300}}, Extents{1, {300}});
  expect_plain_sum(make(Extents{2, {5, 8}}, "block", 4), Extents{2, {33, 31}}, Extents{2, {5, 8}}, 0.5);
}

TEST(LinearModel, ServesItsOwnExtentsOnly) {
  const auto model = load(make(kChunk, "chunk", 3));
  for (const Extents& e :
       {Extents{3, {12, 10, 13}}, Extents{2, {12, 140}}, Extents{4, {1, 12, 10, 14}}, Extents{}}) {
    EXPECT_FALSE(model->serves(e));
    EXPECT_FALSE(model->encode(std::vector<int32_t>(e.count()), e, 16).has_value());
    std::vector<int32_t> base(e.count());
    EXPECT_THROW(model->decode({}, e, base), Failure);
    EXPECT_THROW((void)model->latents({}, e), Failure);
  }
  std::vector<int32_t> few(5);
  EXPECT_THROW(model->decode({}, kChunk, few), Failure);
}

// Whatever the writer is given, what it writes is read back.
TEST(LinearModel, ExtremeFieldsComeThrough) {
  for (const char* form : {"chunk", "block"}) {
    const Extents e{3, {8, 8, 8}};
    const auto model = load(make(e, form, 9));
    std::mt19937 draw(11);
    size_t offered = 0;
    for (const int32_t bin : {1, 16, 1 << 20, INT32_MAX}) {
      for (int kind = 0; kind < 4; ++kind) {
        std::vector<int32_t> field(e.count());
        for (size_t p = 0; p < field.size(); ++p) {
          if (kind == 0) field[p] = static_cast<int32_t>(1e9 * wave(e, p, 1));
          if (kind == 1) field[p] = draw() & 1 ? 1 << 30 : -(1 << 30);
          if (kind == 2) field[p] = static_cast<int32_t>(draw() % (1u << 31)) - (1 << 30);
          if (kind == 3) field[p] = 7;
        }
        const auto section = model->encode(field, e, bin);
        if (!section) continue;
        ++offered;
        std::vector<int32_t> base(field.size());
        EXPECT_NO_THROW(model->decode(*section, e, base)) << form << " bin " << bin << " kind " << kind;
      }
    }
    EXPECT_GT(offered, 0u);
  }
}

TEST(LinearModel, AnyBytesAreRefusedOrDecoded) {
  const Extents block{3, {4, 5, 6}};
  for (const auto& model : {load(make(kChunk, "chunk", 9)), load(make(block, "block", 9))}) {
    std::mt19937 draw(13);
    size_t refused = 0, decoded = 0;
    std::vector<int32_t> base(kChunk.count());
    for (int round = 0; round < 2000; ++round) {
      Bytes section(draw() % 64);
      for (auto& b : section) b = static_cast<uint8_t>(draw());
      if (round % 2 == 0 && !section.empty()) section[0] = static_cast<uint8_t>(draw() % 16);
      try {
        model->decode(section, kChunk, base);
        for (const int32_t v : base) ASSERT_LE(std::abs(v), 1 << 30);
        ++decoded;
      } catch (const Failure& f) {
        EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
        ++refused;
      }
    }
    EXPECT_GT(refused, 0u);
    EXPECT_GT(decoded, 0u);
  }
}

TEST(LinearModel, HostileWeightsAreRefusedWithAReason) {
  const Made m = make(kChunk, "chunk", 3);
  const auto refused = [&](const std::function<void(Json&, Bytes&)>& change) {
    Json config = m.config;
    Bytes basis = m.basis;
    change(config, basis);
    try {
      load(config, basis);
    } catch (const Failure& f) {
      EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
      return std::string(f.what());
    }
    return std::string("accepted");
  };
  const auto says = [](const std::string& text, const char* part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  says(refused([](Json& c, Bytes&) { c["form"] = "tree"; }), "install a newer");
  says(refused([](Json& c, Bytes&) { c["extents"] = {1 << 22, 1 << 22, 1 << 22, 1 << 22}; }), "too large");
  says(refused([](Json& c, Bytes&) { c["extents"] = {4096, 4096}; }), "too large");
  says(refused([](Json& c, Bytes&) { c["extents"] = Json::array(); }), "empty");
  says(refused([](Json& c, Bytes&) {
         c["form"] = "block";
         c["extents"] = {32, 32, 5};
       }),
       "blocks are too large");
  says(refused([](Json& c, Bytes&) { c["scales"] = {0, 1}; }), "one number a mode");
  says(refused([](Json& c, Bytes&) { c["exponents"] = {0, 1, 16}; }), "exponents");
  says(refused([](Json& c, Bytes&) { c["bits"][1] = 25; }), "bits");
  says(refused([](Json& c, Bytes&) { c["bytes"][2] = 1 << 20; }), "ends early");
  says(refused([](Json&, Bytes& b) { b.push_back(0); }), "to spare");
  says(refused([](Json& c, Bytes& b) {
         b.resize(1);
         c["bytes"] = {0, 0, 1};
       }),
       "damaged");
  EXPECT_THROW(load(Json{{"form", "chunk"}}, m.basis), Failure);
  std::mt19937 draw(3);
  for (int round = 0; round < 300; ++round) {
    (void)refused([&](Json&, Bytes& b) { b[draw() % b.size()] = static_cast<uint8_t>(draw()); });
  }
}

// The largest numbers that a section can hold, on a basis at the end of its range: nothing overflows (UBSan).
TEST(LinearModel, LargestNumbersStayInRange) {
  const Extents e{1, {64}};
  Made m = make(e, "chunk", 64, 0);
  for (auto& x : m.config["exponents"]) x = 15;
  m.config["exponents"][0] = 0;
  const auto model = load(m);
  std::vector<int32_t> base(64);
  for (const uint8_t shift : {0, 1, 40, 60}) {
    for (const uint8_t level : {16, 24, 31}) {
      BitEncoder out;
      IntModel offset, number;
      out.raw(shift, 6);
      offset.encode(out, 1);
      out.raw(30, 5);
      out.raw(64, 8);
      out.raw(level, 5);
      for (int k = 0; k < 64; ++k) {
        const int g = std::max(0, level - k % 4);
        number.encode(out, 0);
        if (g > 0) out.raw(k == 0 ? 0xffff : (uint32_t{1} << std::min(g, 30)) - 1, g);
      }
      model->decode(out.finish(), e, base);
      for (const int32_t v : base) EXPECT_LE(std::abs(v), 1 << 30);
    }
  }
}

}  // namespace
}  // namespace h5neural

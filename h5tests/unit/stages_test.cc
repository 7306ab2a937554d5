// stages_test.cc: the smaller stages: lattice, value range, specials, header, exact bytes, parameters.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "bounds/lattice.h"
#include "bounds/range.h"
#include "codec/exact_bytes.h"
#include "codec/params.h"
#include "payload/header.h"
#include "specials/specials.h"
#include "support/short_double.h"

namespace h5neural {
namespace {

template <class T>
void expect_ordered(std::initializer_list<T> ascending) {
  int64_t before = INT64_MIN;
  for (const T x : ascending) {
    EXPECT_GT(ordered_bits(x), before) << x;
    before = ordered_bits(x);
    EXPECT_EQ(from_ordered_bits<T>(before), x);
  }
}

TEST(Lattice, OrdersTheBitsOfFloats) {
  expect_ordered<float>(
      {-std::numeric_limits<float>::max(), -1.f, -1e-45f, 0.f, 1e-45f, 1.f, 1.0000001f, 3e38f});
  expect_ordered<double>({-1e308, -1., -5e-324, 0., 5e-324, 1., 1e308});
}

TEST(Lattice, KeepsABoundAtEveryPoint) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform(-3, 1000);
  for (const double bound : {10.0, 1e-1, 1e-3, 3e-5}) {
    Lattice l;
    ASSERT_TRUE(linear_lattice(-3, 1000, bound, 0, l));
    for (int i = 0; i < 1000; ++i) {
      const double x = uniform(random);
      const double point = std::nearbyint(x / l.unit - double(l.origin));
      EXPECT_LE(std::abs(l.value<double>(static_cast<int32_t>(point)) - x), std::ldexp(bound, -l.step_bits));
    }
    ByteWriter w;
    l.write(w);
    const Bytes b = w.take();
    ByteReader r(b);
    const Lattice back = Lattice::read(r);
    EXPECT_EQ(back.unit, l.unit);
    EXPECT_EQ(back.origin, l.origin);
    EXPECT_EQ(back.step_bits, l.step_bits);
  }
}

TEST(Lattice, SaysWhenNoneIsFineEnough) {
  Lattice l;
  EXPECT_FALSE(linear_lattice(0, 1e30, 1e-3, 0, l));
  EXPECT_FALSE(linear_lattice(0, 1, 1e-9, 1e-8, l));
  EXPECT_FALSE(linear_lattice(-1.7e308, 1.7e308, 1e-3, 0, l));
  EXPECT_FALSE(bits_lattice(INT64_MIN / 2, INT64_MAX / 2, 3, l));
}

TEST(ValueRange, LeavesSentinelsOut) {
  const auto range = [](const std::vector<double>& x) { return value_range<double>(x, {}); };
  std::vector<double> v;
  for (int i = 0; i < 1000; ++i) v.push_back(i * 0.01);
  EXPECT_EQ(range(v).high, 9.99);
  auto filled = v;
  for (int i = 0; i < 50; ++i) filled.push_back(-9999.9);
  for (int i = 0; i < 50; ++i) filled.push_back(1e34);
  const ValueRange r = range(filled);
  EXPECT_EQ(r.low, 0);
  EXPECT_EQ(r.high, 9.99);
  EXPECT_EQ(r.sentinels, (std::vector<double>{1e34, -9999.9}));
  v.push_back(9.96921e36);  // the padding of an edge chunk: few, and far
  v.push_back(9.96921e36);
  EXPECT_EQ(range(v).high, 9.99);
  v.push_back(50);  // one value apart is data
  EXPECT_EQ(range(v).high, 50);
  EXPECT_EQ(range({}).high, 0);
  EXPECT_EQ(range({5, 5, 5}).low, 5);
  const std::vector<float> x = {1, 2, std::numeric_limits<float>::quiet_NaN(), 3};
  EXPECT_EQ(value_range<float>(x, std::vector<uint8_t>{0, 0, 1, 0}).high, 3);
}

TEST(Specials, ComeBackInAnyArrangement) {
  std::mt19937 random(2);
  for (const Extents& e :
       {Extents{1, {500}}, Extents{2, {20, 25}}, Extents{3, {5, 10, 10}}, Extents{4, {3, 2, 9, 11}}}) {
    Specials s;
    s.patterns = {0x7fc00000u, 0x80000000u, 0x4cbebc20u};
    s.classes.assign(e.count(), 0);
    for (size_t k = 0; k < s.classes.size(); ++k) {
      if (k % 50 > 20) s.classes[k] = static_cast<uint8_t>(random() % 5 == 0 ? random() % 5 : 1);
      if (s.classes[k] == 4) s.literals.push_back(random());
    }
    s.outliers = {{0, 7}, {3, 0xffffffffu}, {e.count() - 1, 1}};
    const Bytes section = write_specials(s, e, 4);
    const Specials r = read_specials(section, e, 4);
    EXPECT_EQ(r.classes, s.classes);
    EXPECT_EQ(r.patterns, s.patterns);
    EXPECT_EQ(r.literals, s.literals);
    ASSERT_EQ(r.outliers.size(), 3u);
    EXPECT_EQ(r.outliers[2].index, e.count() - 1);
    EXPECT_EQ(r.count(), s.count());
    for (int i = 0; i < 200; ++i) {
      Bytes damaged = section;
      damaged[random() % damaged.size()] ^= static_cast<uint8_t>(1u << random() % 8);
      try {
        read_specials(damaged, e, 4);
      } catch (const Failure& f) {
        EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
      }
    }
  }
  EXPECT_TRUE(write_specials({}, {1, {5}}, 4).empty());
}

TEST(Specials, CostNextToNothingWhereAMaskRepeats) {
  const Extents e{3, {40, 50, 60}};
  Specials s;
  s.patterns = {0x7fc00000u};
  s.classes.assign(e.count(), 0);
  for (size_t k = 0; k < s.classes.size(); ++k) s.classes[k] = k % 3000 < 1234;
  EXPECT_LT(write_specials(s, e, 4).size(), 60u);
}

Payload example() {
  static const Bytes latents = {1, 2, 3}, corrections(40, 9), specials = {7};
  Payload p;
  p.kind = H5N_KIND_WALK;
  p.mode = H5N_REL;
  p.bound = 1e-3;
  p.abs_bound = 0.25;
  p.model = 0x1234567890abcdefu;
  p.extents = {8, {2, 1, 3, 1, 4, 1, 300, 2}};
  p.latents = latents;
  p.corrections = corrections;
  p.specials = specials;
  return p;
}

TEST(Header, ComesBackInAtMost64Bytes) {
  const Bytes b = write_payload(example());
  const Payload p = parse_payload(b);
  EXPECT_LE(p.header_bytes, kMaxHeader);
  EXPECT_EQ(p.extents, example().extents);
  EXPECT_EQ(p.model, example().model);
  EXPECT_EQ(p.abs_bound, 0.25);
  EXPECT_EQ(p.latents.size(), 3u);
  EXPECT_EQ(p.corrections.size(), 40u);
  EXPECT_EQ(p.specials.size(), 1u);
}

TEST(Header, BringsBackEveryBound) {
  for (const double bound :
       {1e-3, 0.05, 75.0, 1e-22, 0.1 + 0.2, 0x1.fffffp-1, 268435455.0, 268435456.0, 4e-320, 1e300}) {
    Payload p = example();
    p.bound = bound;
    const Bytes b = write_payload(p);
    EXPECT_EQ(parse_payload(b).bound, bound);
    EXPECT_LE(parse_payload(b).header_bytes, kMaxHeader);
  }
}

TEST(ShortDouble, LiesNextToTheNumber) {
  for (const double x : {0.0, 4e-320, 1e-300, 0.1, 0.25, 1 / 3.0, 1e300}) {
    const double below = short_double_below(x), above = short_double_above(x);
    EXPECT_LE(below, x);
    EXPECT_GE(above, x);
    EXPECT_LE(above - below, std::max(x * 0x1p-13, 0x1p-1035));
    EXPECT_EQ(short_double_above(below), below);
    ByteWriter w;
    write_short_double(w, above);
    const Bytes b = w.take();
    ByteReader r(b);
    EXPECT_EQ(b.size(), 3u);
    EXPECT_EQ(read_short_double(r), above);
  }
}

TEST(Header, FindsEveryFlippedBit) {
  const Bytes b = write_payload(example());
  for (size_t bit = 0; bit < 8 * b.size(); ++bit) {
    Bytes damaged = b;
    damaged[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    try {
      parse_payload(damaged);
      FAIL() << "bit " << bit;
    } catch (const Failure& f) {
      EXPECT_NE(std::string(f.what()).find("checksum"), std::string::npos);
    }
  }
  for (size_t n = 0; n < b.size(); ++n) EXPECT_THROW(parse_payload(ByteSpan(b).first(n)), Failure);
}

TEST(ExactBytes, ComeBackInEveryForm) {
  std::mt19937 random(4);
  for (const size_t size : {4u, 8u}) {
    for (int kind = 0; kind < 3; ++kind) {
      Bytes raw;
      for (uint32_t i = 0; i < 4000; ++i)
        raw.push_back(static_cast<uint8_t>(kind == 0 ? random() : kind == 1 ? i % 16 : i >> 6));
      const Bytes packed = pack_exact(raw, size, 5, raw.size());
      Bytes out(raw.size());
      unpack_exact(packed, size, out);
      EXPECT_EQ(out, raw);
      EXPECT_THROW(unpack_exact(ByteSpan(packed).first(packed.size() / 2), size, out), Failure);
    }
  }
  EXPECT_THROW(
      {
        Bytes out(8);
        unpack_exact(Bytes{9, 1, 2}, 4, out);
      },
      Failure);
}

TEST(Params, AreRefusedWithASentence) {
  const auto refusal = [](auto change) -> std::string {
    h5n_params p{};
    p.mode = H5N_ABS;
    p.bound = 1;
    p.type = H5N_FLOAT32;
    p.rank = 1;
    p.dims[0] = 10;
    change(p);
    try {
      check_params(p);
    } catch (const Failure& f) {
      return f.what();
    }
    return "";
  };
  EXPECT_EQ(refusal([](h5n_params&) {}), "");
  const auto says = [](const std::string& sentence, const char* word) {
    return sentence.find(word) != std::string::npos;
  };
  EXPECT_TRUE(says(refusal([](h5n_params& p) { p.mode = 7; }), "use 0 lossless"));
  EXPECT_TRUE(says(refusal([](h5n_params& p) { p.type = 3; }), "float32 and float64"));
  EXPECT_TRUE(says(refusal([](h5n_params& p) { p.rank = 9; }), "rank 1 to 8"));
  EXPECT_TRUE(says(refusal([](h5n_params& p) { p.rank = 0; }), "rank 1 to 8"));
  EXPECT_TRUE(says(refusal([](h5n_params& p) { p.effort = 10; }), "0 to 9"));
  EXPECT_TRUE(says(refusal([](h5n_params& p) { p.dims[0] = 0; }), "1 value to 4 GiB"));
  EXPECT_TRUE(says(refusal([](h5n_params& p) { p.dims[0] = uint64_t{1} << 31; }), "1 value to 4 GiB"));
  for (const double bound : {0.0, -1.0, double(NAN), double(INFINITY)}) {
    EXPECT_TRUE(says(refusal([=](h5n_params& p) { p.bound = bound; }), "above 0"));
  }
  EXPECT_TRUE(says(refusal([](h5n_params& p) { p.mode = H5N_RATIO; }), "below 1"));
  EXPECT_TRUE(says(refusal([](h5n_params& p) { p.model = 12345; }), "0000000000003039"));
}

}  // namespace
}  // namespace h5neural

// corrections_test.cc: the walk and what it is made of: ghosts, schedules, stencils, kriging, references,
// repeats.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "corrections/kriging.h"
#include "corrections/places.h"
#include "corrections/reference.h"
#include "corrections/repeats.h"
#include "corrections/walk.h"

namespace h5neural {
namespace {

// A smooth field with some noise, in lattice units, row-major.
std::vector<double> field(const Index4& n, double noise, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> f;
  for (int i = 0; i < n[0]; ++i) {
    for (int j = 0; j < n[1]; ++j) {
      for (int k = 0; k < n[2]; ++k) {
        for (int m = 0; m < n[3]; ++m) {
          f.push_back(3000 * std::sin(0.2 * m + 0.1 * k) * std::cos(0.15 * j + 0.5 * i) +
                      noise * normal(random));
        }
      }
    }
  }
  return f;
}

TEST(Ghosts, ContinueALineAndRepeatAPoint) {
  const Layout l = Layout::make({1, 1, 1, 12}, 0b1000);
  Array<int32_t> v(l.size, 0);
  Array<uint16_t> m(l.size, 0);
  for (int i = 0; i < 6; ++i) {
    v[l.at({0, 0, 0, i})] = 10 * i;
    m[l.at({0, 0, 0, i})] = static_cast<uint16_t>(7 + i);
  }
  extend_values(l, 0b1000, v);
  EXPECT_EQ(v[l.at({0, 0, 0, -3})], -30);
  EXPECT_EQ(v[l.at({0, 0, 0, 8})], 80);
  extend_magnitudes(l, 0b1000, m);
  EXPECT_EQ(m[l.at({0, 0, 0, -3})], 7);
  EXPECT_EQ(m[l.at({0, 0, 0, 8})], 12);
}

TEST(Ghosts, DampOrStayAsTheLevelSays) {
  Layout l = Layout::make({1, 1, 1, 12}, 0b1000);
  Array<int32_t> v(l.size, 0);
  for (int i = 0; i < 6; ++i) v[l.at({0, 0, 0, i})] = 256 * i;
  l.onward[3] = kDamped;
  extend_values(l, 0b1000, v);
  EXPECT_EQ(v[l.at({0, 0, 0, -1})], -160);
  EXPECT_EQ(v[l.at({0, 0, 0, -3})], -280);
  EXPECT_EQ(v[l.at({0, 0, 0, 7})], 5 * 256 + 240);
  l.onward[3] = kFlat;
  extend_values(l, 0b1000, v);
  EXPECT_EQ(v[l.at({0, 0, 0, -3})], 0);
  EXPECT_EQ(v[l.at({0, 0, 0, 8})], 5 * 256);
}

TEST(Ghosts, AreThePointsOfTheOtherEndWhereAnAxisWraps) {
  const Layout l = Layout::make({1, 1, 6, 8}, 0b1000, 0b1100);
  Array<int32_t> v(l.size, 0);
  for (int j = 0; j < 6; ++j) {
    for (int i = 0; i < 4; ++i) v[l.at({0, 0, j, i})] = 100 * j + i;
  }
  extend_values(l, 0b1000, v);
  for (int j = -l.margin[2]; j < 6 + l.margin[2]; ++j) {
    for (int i = -l.margin[3]; i < 4 + l.margin[3]; ++i) {
      EXPECT_EQ(v[l.at({0, 0, j, i})], 100 * ((j + 6) % 6) + (i + 4) % 4) << j << " " << i;
    }
  }
}

TEST(Ghosts, WrapSeveralTimesWhereThereAreFewPoints) {
  const Layout l = Layout::make({1, 1, 1, 2}, 0, 0b1000);
  Array<uint16_t> m(l.size, 0);
  m[l.at({0, 0, 0, 0})] = 5;
  m[l.at({0, 0, 0, 1})] = 6;
  extend_magnitudes(l, 0, m);
  EXPECT_EQ(m[l.at({0, 0, 0, -1})], 6);
  EXPECT_EQ(m[l.at({0, 0, 0, 2})], 5);
}

TEST(Ghosts, StayOnTheLatticeAtItsEnds) {
  for (const uint8_t onward : {kStraight, kDamped, kFlat}) {
    Layout l = Layout::make({1, 1, 1, 4}, 0b1000);
    l.onward[3] = onward;
    Array<int32_t> v(l.size, 0);
    v[l.at({0, 0, 0, 0})] = -kLatticeMax;
    v[l.at({0, 0, 0, 1})] = kLatticeMax;
    extend_values(l, 0, v);
    for (const int32_t g : v) EXPECT_LE(std::abs(int64_t{g}), kLatticeMax);
  }
}

// Ghosts must not multiply the memory of thin chunks: a reader could be made to ask for gigabytes.
TEST(Layout, NeedsLittleMoreThanItsPointsOnThinAxes) {
  for (const int thin : {2, 3, 4, 5, 6}) {
    for (const uint8_t mask : {0b1000, 0b0111, 0b1110}) {
      const Index4 n{thin, thin, thin, 250000 / thin};
      const Layout l = Layout::make(n, mask);
      int64_t all = 0;
      for (int c = 0; c < kClasses; ++c) all += (c & ~mask) == 0 ? l.size : 0;
      EXPECT_LT(double(all), 25 * double(points(n))) << thin << " " << int(mask);
    }
  }
}

TEST(Layout, FindsNeighboursInTheirClasses) {
  // Values that say where they are: each class holds the grid coordinates of its points.
  const Index4 n{1, 6, 7, 9};
  const uint8_t mask = 0b1010;
  const Layout l = Layout::make(n, mask);
  const auto code = [](const Index4& i) { return (i[1] * 100 + i[2]) * 100 + i[3]; };
  Classes<int32_t> classes;
  for (const uint8_t axes : {0b0000, 0b0010, 0b1000, 0b1010}) {
    classes[axes].resize(l.size);
    const Index4 count = l.count(axes);
    for_rows(count, [&](const Index4& i) {
      for (int k = 0; k < count[3]; ++k) {
        classes[axes][l.at(i) + k] = code({0, 2 * i[1] + (axes >> 1 & 1), i[2], 2 * k + (axes >> 3 & 1)});
      }
    });
  }
  for (const Index4& d :
       {Index4{0, 1, 0, 1}, Index4{0, -1, 2, 0}, Index4{0, 2, -1, -3}, Index4{0, 0, 0, 2}}) {
    const Neighbour at = neighbour(l, 0b1010, d);
    const int64_t p = l.at({0, 1, 3, 2});  // grid point (3, 3, 5)
    EXPECT_EQ(classes[at.axes][p + at.offset], code({0, 3 + d[1], 3 + d[2], 5 + d[3]}));
  }
  std::vector<int32_t> row(n[3]);
  grid_row(l, classes, {0, 3, 4, 0}, row.data());
  for (int k = 0; k < n[3]; ++k) EXPECT_EQ(row[k], code({0, 3, 4, k}));
}

TEST(Fold, DropsPointsAndMergesTheSlowest) {
  EXPECT_EQ(fold({3, {1, 7, 1}}), (Index4{1, 1, 1, 7}));
  EXPECT_EQ(fold({6, {2, 3, 4, 5, 6, 7}}), (Index4{24, 5, 6, 7}));
  EXPECT_EQ(fold({1, {1}}), (Index4{1, 1, 1, 1}));
}

// The same with bins that narrow from level to level.
Schedule narrowing(Schedule s, int finer) {
  for (size_t l = 0; l < s.levels.size(); ++l) {
    s.levels[l].finer = static_cast<uint8_t>(std::min<int>(kMaxFiner, static_cast<int>(l) * finer));
  }
  return s;
}

TEST(Schedule, NarrowsBinsByQuarterOctaves) {
  EXPECT_EQ(bin_width(4, 0), 16);
  EXPECT_EQ(bin_width(4, 1), 13);  // 13.45
  EXPECT_EQ(bin_width(4, 4), 8);
  EXPECT_EQ(bin_width(0, kMaxFiner), 1);
}

TEST(Schedule, WrapsWhereTheSeamLooksLikeTheInside) {
  const Index4 n{1, 1, 40, 64};
  std::vector<double> globe, noise;
  std::mt19937 random(4);
  for (int j = 0; j < n[2]; ++j) {
    for (int i = 0; i < n[3]; ++i) {
      globe.push_back(1000 * std::sin(i * 0.09817477 + 0.2 * j) + 40 * j);  // 2 pi / 64
      noise.push_back(double(random() % 1000));
    }
  }
  for (const Schedule& s : propose_schedules(n, globe, {}, 4)) EXPECT_EQ(s.wraps, 0b1000);
  for (const Schedule& s : propose_schedules(n, noise, {}, 4)) EXPECT_EQ(s.wraps, 0);
  const Schedule s = propose_schedules(n, globe, {}, 4).front();
  EXPECT_EQ(cropped(s, {1, 1, 20, 64}).wraps, 0b1000);
  EXPECT_EQ(cropped(s, {1, 1, 40, 32}).wraps, 0);
}

TEST(Schedule, GoesOnStraightWhereThereIsASlopeAndNotWhereThereIsNoise) {
  const Index4 n{1, 1, 40, 41};
  std::vector<double> slope, noise;
  std::mt19937 random(4);
  for (int k = 0; k < n[2] * n[3]; ++k) {
    slope.push_back(100.0 * (k % n[3]) + 70.0 * k / n[3]);
    noise.push_back(double(random() % 1000));
  }
  EXPECT_EQ(propose_schedules(n, slope, {}, 1).front().levels.front().onward[3], kStraight);
  EXPECT_EQ(propose_schedules(n, noise, {}, 1).front().levels.front().onward[3], kFlat);
}

TEST(Schedule, IsTheSameOnAPartOfTheChunk) {
  const Index4 n{1, 12, 60, 70};
  for (const Schedule& s : propose_schedules(n, field(n, 5), {}, 0)) {
    EXPECT_EQ(cropped(s, n), s);
    Index4 grid{1, 12, 15, 18};
    for (const Level& level : cropped(s, grid).levels) {
      EXPECT_NE(level.mask, 0);
      grid = coarser(grid, level.mask);
    }
    EXPECT_LE(points(grid), 4);
  }
}

TEST(Schedule, ComesBackAsItWasProposed) {
  for (const Index4& n :
       {Index4{1, 1, 1, 100}, Index4{1, 1, 33, 40}, Index4{1, 17, 64, 9}, Index4{4, 14, 48, 49}}) {
    const auto f = field(n, 5);
    std::vector<Schedule> all = propose_schedules(n, f, {}, 0);
    all.push_back(narrowing(all.front(), 2));
    all.push_back(straightened(all.front()));
    all.push_back(all.front());
    std::mt19937 random(2);
    for (int a = 0; a < kAxes; ++a) {
      if (n[a] > 1) all.back().wraps |= static_cast<uint8_t>(1 << a);
    }
    Index4 grid = n;
    for (Level& level : all.back().levels) {
      for (int a = 0; a < kAxes; ++a) level.onward[a] = grid[a] > 1 ? random() % kOnwards : 0;
      grid = coarser(grid, level.mask);
    }
    for (const Schedule& s : all) {
      BitEncoder e;
      write_schedule(e, s);
      const Bytes b = e.finish();
      BitDecoder d(b);
      const Schedule r = read_schedule(d, n);
      ASSERT_EQ(r.levels.size(), s.levels.size());
      EXPECT_EQ(r, s);
    }
  }
}

TEST(Stencil, HoldsKnownNeighboursOnlyNearestFirst) {
  const Level level{0b1110, {}};
  const Layout l = Layout::make({1, 20, 20, 20}, level.mask);
  uint32_t known = 1;
  for (const uint8_t axes : coset_order(level.mask)) {
    const Stencil s = make_stencil(l, level, axes, known);
    ASSERT_FALSE(s.offset.empty());
    EXPECT_TRUE(std::is_sorted(s.distance.begin(), s.distance.end()));
    for (const Index4& d : s.offset) {
      uint8_t c = axes;
      for (int a = 1; a < kAxes; ++a) c ^= static_cast<uint8_t>((d[a] & 1) << a);
      EXPECT_TRUE(known >> c & 1);
    }
    known |= 1u << axes;
  }
  EXPECT_EQ(known, 0b101010101010101u);  // all subsets of the three axes
}

// Kriging in double precision, for comparison.
std::vector<double> float_kriging(const Stencil& s, double exponent, double nugget) {
  const int pairs = static_cast<int>(std::min<size_t>(s.offset.size(), kKrigingPairs)), n = pairs - 1;
  const auto cov = [&](int i, int j, int sign) {
    double h2 = 0;
    for (int a = 0; a < kAxes; ++a) {
      const double d = (i < 0 ? 0 : s.offset[i][a]) + (j < 0 ? 0 : sign * s.offset[j][a]);
      h2 += d * d;
    }
    return (exponent < 2 ? -1 : 1) * std::pow(h2, exponent / 2);
  };
  std::vector<double> a(pairs * pairs), k(pairs), m(n * n), g(n);
  for (int i = 0; i < pairs; ++i) {
    k[i] = 2 * cov(i, -1, 1);
    for (int j = 0; j < pairs; ++j)
      a[i * pairs + j] = 2 * (cov(i, j, -1) + cov(i, j, 1)) + (i == j ? 2 * nugget : 0);
  }
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j)
      m[i * n + j] = a[(i + 1) * pairs + j + 1] - a[(i + 1) * pairs] - a[j + 1] + a[0];
    g[i] = k[i + 1] - k[0] - (a[(i + 1) * pairs] - a[0]) / 2;
  }
  for (int p = 0; p < n; ++p) {  // Gauss-Jordan, positive definite
    for (int i = 0; i < n; ++i) {
      if (i == p) continue;
      const double f = m[i * n + p] / m[p * n + p];
      for (int j = 0; j < n; ++j) m[i * n + j] -= f * m[p * n + j];
      g[i] -= f * g[p];
    }
  }
  for (int i = 0; i < n; ++i) g[i] /= m[i * n + i];
  return g;
}

TEST(Kriging, AgreesWithDoublePrecision) {
  const Level level{0b1100, {}};
  const Stencil s = make_stencil(Layout::make({1, 1, 40, 40}, level.mask), level, 0b1100, 1);
  static constexpr double kExponent[kExponents] = {0.5, 1, 1.5, 2.5, 3, 3.5},
                          kNugget[kNuggets] = {0, 1 / 16., .25, 1};
  for (int e = 0; e < kExponents; ++e) {
    for (int t = 0; t < kNuggets; ++t) {
      const auto c = kriging(s, level.weight, e, t);
      const auto f = float_kriging(s, kExponent[e], kNugget[t]);
      ASSERT_EQ(c.size(), f.size());
      for (size_t j = 0; j < c.size(); ++j)
        EXPECT_NEAR(std::ldexp(c[j], -kCoefficientBits), f[j], 2e-3) << e << " " << t;
    }
  }
}

// The same integers on every machine: payloads depend on them.
TEST(Kriging, GivesTheseBits) {
  const Level level{0b1100, {0, 0, 0, 2}};
  const Stencil s = make_stencil(Layout::make({1, 1, 40, 40}, level.mask), level, 0b1100, 1);
  int64_t sum = 0, weighted = 0;
  for (int e = 0; e < kExponents; ++e) {
    const auto c = kriging(s, level.weight, e, e % kNuggets);
    for (size_t j = 0; j < c.size(); ++j) {
      sum += c[j];
      weighted += c[j] * int64_t(j + 1) * (e + 1);
    }
  }
  EXPECT_EQ(sum, 1266868);
  EXPECT_EQ(weighted, -1531636);
}

struct WalkCase {
  Index4 n;
  int step_bits;
  bool masked, based;
};

class Walk : public testing::TestWithParam<WalkCase> {};

TEST_P(Walk, GivesBackEveryCodedPointWithinHalfABin) {
  const WalkCase& c = GetParam();
  const auto target = field(c.n, 20);
  std::mt19937 random(7);
  std::vector<uint8_t> skip;
  std::vector<int32_t> base;
  for (size_t k = 0; k < target.size(); ++k) {
    if (c.masked) skip.push_back(random() % 3 == 0);
    if (c.based) base.push_back(static_cast<int32_t>(target[k]) + static_cast<int32_t>(random() % 64));
  }
  WalkInput in;
  in.n = c.n;
  in.step_bits = c.step_bits;
  in.skip = skip;
  in.base = base;
  for (const Schedule& s : propose_schedules(c.n, target, skip, 4)) {
    std::vector<int32_t> written, read(target.size());
    const Bytes section = encode_walk(in, s, target, walk_effort(5), written);
    decode_walk(in, section, read);
    ASSERT_EQ(written, read);
    const Bytes narrow = encode_walk(in, narrowing(s, 3), target, walk_effort(1), written);
    decode_walk(in, narrow, read);
    ASSERT_EQ(written, read);
    const double half = std::ldexp(0.5, c.step_bits);
    for (size_t k = 0; k < target.size(); ++k) {
      if (skip.empty() || !skip[k]) {
        ASSERT_LE(std::abs(read[k] - target[k]), half + 0.5) << k;
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(
    Shapes, Walk,
    testing::Values(WalkCase{{1, 1, 1, 1}, 4, false, false}, WalkCase{{2, 2, 2, 900}, 4, false, false},
                    WalkCase{{3, 2, 5, 200}, 4, true, false}, WalkCase{{1, 1, 1, 2}, 4, false, false},
                    WalkCase{{1, 1, 1, 5000}, 4, false, false}, WalkCase{{1, 1, 2, 300}, 3, false, true},
                    WalkCase{{1, 1, 61, 67}, 4, true, false}, WalkCase{{1, 1, 300, 1}, 0, false, false},
                    WalkCase{{1, 17, 24, 31}, 4, false, false}, WalkCase{{1, 17, 24, 31}, 0, true, true},
                    WalkCase{{1, 3, 3, 3}, 4, false, false}, WalkCase{{4, 5, 12, 13}, 4, true, false},
                    WalkCase{{2, 2, 2, 2}, 2, false, true}));

// Forty maps that repeat a pattern of their own at each place: x(t, p) = share(p) times what the even points
// say.
struct Stack {
  Index4 n{1, 40, 20, 22};
  std::vector<double> target;
  std::vector<int32_t> base;
  std::vector<uint8_t> skip;

  explicit Stack(bool masked) {
    std::mt19937 random(11);
    std::normal_distribution<double> normal;
    std::vector<double> share(n[2] * n[3]);
    for (double& s : share) s = 0.3 + 0.01 * double(random() % 200);
    for (int t = 0; t < n[1]; ++t) {
      std::vector<double> coarse(15 * 15);
      for (double& v : coarse) v = 60 * normal(random);
      for (int j = 0; j < n[2]; ++j) {
        for (int i = 0; i < n[3]; ++i) {
          target.push_back(share[j * n[3] + i] * coarse[j / 2 * 15 + i / 2]);
          base.push_back(3);
          if (masked) skip.push_back((i * i + j) % 7 == 0 || (t + i) % 11 == 0);
        }
      }
    }
  }
};

TEST(Places, LearnWhatIsTheirOwnAndComeBack) {
  for (const bool masked : {false, true}) {
    const Stack s(masked);
    WalkInput in;
    in.n = s.n;
    in.step_bits = 4;
    in.base = s.base;
    in.skip = s.skip;
    const Schedule schedule = propose_schedules(in.n, s.target, s.skip, 4).back();
    std::vector<int32_t> written, read(s.target.size());
    const size_t plain = encode_walk(in, schedule, s.target, walk_effort(5), written).size();
    in.learns = true;
    for (const int finer : {0, 2}) {
      const Bytes section = encode_walk(in, narrowing(schedule, finer), s.target, walk_effort(5), written);
      decode_walk(in, section, read);
      ASSERT_EQ(written, read);
      for (size_t k = 0; k < read.size(); ++k) {
        if (s.skip.empty() || !s.skip[k]) {
          ASSERT_LE(std::abs(read[k] - s.target[k]), 8.5) << k;
        }
      }
      if (finer == 0) {
        EXPECT_LT(double(section.size()), 0.95 * double(plain)) << masked;
      }
    }
  }
}

TEST(Places, SurviveDamageAndValuesAtTheEndsOfTheLattice) {
  const Stack s(false);
  WalkInput in;
  in.n = s.n;
  in.base = s.base;
  in.learns = true;
  std::vector<double> target = s.target;
  for (size_t k = 0; k < target.size(); ++k) target[k] = (k % 3 == 0 ? -1.0 : 1.0) * double(kLatticeMax);
  std::vector<int32_t> written, read(target.size());
  for (const int step_bits : {0, 2, 4}) {
    in.step_bits = step_bits;
    const Schedule schedule = propose_schedules(in.n, s.target, {}, 4).back();
    const Bytes section = encode_walk(in, schedule, target, walk_effort(1), written);
    decode_walk(in, section, read);
    ASSERT_EQ(written, read);
  }
  in.step_bits = 4;
  const Bytes section =
      encode_walk(in, propose_schedules(in.n, s.target, {}, 4).back(), s.target, walk_effort(3), written);
  std::mt19937 random(3);
  for (int i = 0; i < 100; ++i) {
    Bytes damaged = section;
    damaged[random() % damaged.size()] ^= static_cast<uint8_t>(1u << random() % 8);
    try {
      decode_walk(in, damaged, read);
    } catch (const Failure& f) {
      EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
    }
  }
}

TEST(Places, TakePlanesInBlocksThatGrow) {
  EXPECT_EQ(plane_blocks(5), (std::vector<int>{5}));
  EXPECT_EQ(plane_blocks(50), (std::vector<int>{8, 16, 24, 32, 40, 50}));
  EXPECT_EQ(slowest_axis({1, 7, 1, 4}), 1);
  EXPECT_EQ(slowest_axis({1, 1, 1, 1}), 3);
}

TEST(Walk, SurvivesDamage) {
  const Index4 n{1, 9, 20, 21};
  const auto target = field(n, 20);
  WalkInput in;
  in.n = n;
  in.step_bits = 4;
  std::vector<int32_t> written, read(target.size());
  const Bytes section =
      encode_walk(in, propose_schedules(n, target, {}, 4).front(), target, walk_effort(5), written);
  std::mt19937 random(3);
  for (int i = 0; i < 300; ++i) {
    Bytes damaged = section;
    damaged[random() % damaged.size()] ^= static_cast<uint8_t>(1u << random() % 8);
    if (i % 3 == 0) damaged.resize(random() % damaged.size());
    try {
      decode_walk(in, damaged, read);  // any values, but no crash; the checksum is another stage's business
    } catch (const Failure& f) {
      EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
    }
  }
}

TEST(Reference, IsTheMeanOverAPersistentAxisAndComesBack) {
  const Index4 n{1, 24, 30, 31};
  std::mt19937 random(5);
  std::normal_distribution<double> normal;
  std::vector<double> target;
  for (int t = 0; t < n[1]; ++t) {
    for (int k = 0; k < n[2] * n[3]; ++k)
      target.push_back(4000 * std::sin(k * 12.9898) + 100 * normal(random));
  }
  WalkInput in;
  in.n = n;
  in.step_bits = 4;
  ASSERT_EQ(reference_axis(in, target), 1);
  std::vector<int32_t> base;
  const Bytes section = encode_reference(in, 1, target, walk_effort(5), base);
  EXPECT_EQ(decode_reference(in, 1, section), base);
  double left = 0, all = 0;
  for (size_t k = 0; k < target.size(); ++k) {
    left += (target[k] - base[k]) * (target[k] - base[k]);
    all += target[k] * target[k];
  }
  EXPECT_LT(left, 0.01 * all);
}

TEST(Reference, IsNotProposedWhereNothingPersists) {
  const Index4 n{1, 1, 40, 40};
  std::mt19937 random(5);
  std::vector<double> target(1600);
  for (double& v : target) v = double(random() % 1000);
  WalkInput in;
  in.n = n;
  EXPECT_FALSE(reference_axis(in, target).has_value());
}

TEST(Repeats, ComeBackAndRefuseDamage) {
  const Extents e{2, {50, 60}};
  std::mt19937 random(9);
  for (const int32_t scale : {3, 40000, 1 << 28}) {
    std::vector<int32_t> points(3000), read(3000);
    for (int32_t& p : points) p = static_cast<int32_t>(random() % 5) * scale - scale;
    const Bytes section = encode_repeats(points, e, 5, 1u << 20);
    ASSERT_FALSE(section.empty());
    decode_repeats(section, e, read);
    EXPECT_EQ(points, read);
    EXPECT_THROW(decode_repeats(ByteSpan(section).first(section.size() / 2), e, read), Failure);
  }
  EXPECT_DOUBLE_EQ(repeated_share(std::vector<int32_t>(3000, 4), e), 2999.0 / 3000);
}

}  // namespace
}  // namespace h5neural

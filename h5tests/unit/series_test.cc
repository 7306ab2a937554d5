// series_test.cc: frames walked one after the other against what is expected of each: what comes back, what
// it takes, and sections made to do harm. Expectations are made here, no model takes part.
#include "corrections/series.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace h5neural {
namespace {

struct Series {
  SeriesInput in;
  std::vector<double> target;  // [known + frames, points]
  std::vector<uint8_t> skip;
  Schedule schedule;
  size_t size = 0;
};

// Waves that drift, under a little noise; each frame is expected to be the one before it.
Series drifting(Index4 n, int known, int frames, double noise = 4) {
  Series s;
  s.in.n = n;
  s.in.known = known;
  s.in.frames = frames;
  s.in.step_bits = 4;
  s.size = static_cast<size_t>(points(n));
  std::mt19937 random(3);
  std::normal_distribution<double> normal(0, noise);
  for (int t = 0; t < known + frames; ++t) {
    for (size_t k = 0; k < s.size; ++k) {
      const double x = double(k % size_t(n[3])), y = double(k / size_t(n[3]));
      s.target.push_back(900 * std::sin(x / 5 + 0.02 * t) * std::cos(y / 7 - 0.03 * t) + normal(random));
    }
  }
  const size_t size = s.size;
  s.in.expect = [size](int t, std::span<const int32_t> decoded, std::span<int32_t> base) {
    const auto last = decoded.subspan(size_t(t - 1) * size, size);
    std::copy(last.begin(), last.end(), base.begin());
  };
  s.schedule = all_axes_alike(n);
  return s;
}

std::vector<int32_t> rounded(const Series& s) {
  std::vector<int32_t> r;
  for (const double v : s.target) r.push_back(clamp_lattice(std::llround(v)));
  return r;
}

Bytes encode(const Series& s, int group, std::vector<int32_t>& decoded, int echo = 0) {
  decoded = rounded(s);
  return encode_series(s.in, s.schedule, group, echo, s.target, walk_effort(5), decoded);
}

std::vector<int32_t> decode(const Series& s, const Bytes& section, const std::vector<int32_t>& known) {
  std::vector<int32_t> d(s.target.size());
  std::copy_n(known.begin(), size_t(s.in.known) * s.size, d.begin());
  decode_series(s.in, section, d);
  return d;
}

void expect_back(const Series& s, int group, int echo = 0) {
  std::vector<int32_t> decoded;
  const Bytes section = encode(s, group, decoded, echo);
  EXPECT_EQ(decode(s, section, decoded), decoded);
  for (size_t k = size_t(s.in.known) * s.size; k < decoded.size(); ++k) {
    if (!s.in.skip.empty() && s.in.skip[k]) continue;
    ASSERT_LE(std::abs(decoded[k] - s.target[k]), 8.5) << k;
  }
}

TEST(Series, FramesOfEveryShapeComeBack) {
  for (const Index4& n : {Index4{1, 1, 20, 30},
                          {1, 1, 2, 2},
                          {1, 1, 2, 50},
                          {1, 1, 61, 3},
                          {1, 5, 9, 7},
                          {1, 2, 2, 2},
                          {1, 1, 33, 64}})
    expect_back(drifting(n, 1, 5), 5);
}

TEST(Series, GroupsMayEndAnywhere) {
  const Series s = drifting({1, 1, 24, 24}, 2, 7);
  for (const int group : {1, 2, 3, 6, 7, 100}) expect_back(s, group);
}

TEST(Series, ErrorsThatLastEcho) {
  Series s = drifting({1, 1, 24, 24}, 1, 7);
  for (const int echo : {-8, -3, 5, 8}) {
    expect_back(s, 7, echo);
    expect_back(s, 3, echo);
  }
  // A prediction that is wrong by the same field again and again.
  std::mt19937 random(9);
  std::normal_distribution<double> normal(0, 90);
  std::vector<double> wrong;
  for (size_t k = 0; k < s.size; ++k) wrong.push_back(normal(random));
  for (size_t k = s.size; k < s.target.size(); ++k) s.target[k] = s.target[k - s.size] + wrong[k % s.size];
  const int echo = suggest_echo(s.in, s.target, rounded(s));
  EXPECT_EQ(echo, 8);
  std::vector<int32_t> decoded;
  const size_t without = encode(s, 7, decoded).size();
  EXPECT_LT(2 * encode(s, 7, decoded, echo).size(), without);
}

TEST(Series, SkippedPointsTakeNothing) {
  Series s = drifting({1, 1, 24, 24}, 1, 6);
  std::mt19937 random(5);
  for (size_t k = 0; k < s.target.size(); ++k) s.skip.push_back(random() % 3 == 0);
  std::fill_n(s.skip.begin() + static_cast<ptrdiff_t>(3 * s.size), s.size, uint8_t{1});  // a whole frame
  s.in.skip = s.skip;
  expect_back(s, 6);
  expect_back(s, 2);
}

TEST(Series, AnyShareOfTheBaseIsTakenOff) {
  Series s = drifting({1, 1, 24, 40}, 1, 5);
  for (const std::vector<uint8_t>& shares :
       {std::vector<uint8_t>{0}, {3, 5}, {8, 0, 8}, {0, 0, 0, 0, 0, 0, 0, 0, 0}}) {
    s.in.shares = shares;
    expect_back(s, 5);
  }
}

TEST(Series, WhatIsExpectedTakesLittle) {
  const Series s = drifting({1, 1, 64, 64}, 1, 8, 0);
  std::vector<int32_t> decoded;
  const size_t bytes = encode(s, 8, decoded).size();
  Series lost = s;
  lost.in.expect = [](int, std::span<const int32_t>, std::span<int32_t> base) {
    std::fill(base.begin(), base.end(), 0);
  };
  EXPECT_LT(4 * bytes, 3 * encode(lost, 8, decoded).size());
  // A frame that is exactly what was expected.
  Series same = s;
  for (size_t k = same.size; k < same.target.size(); ++k)
    same.target[k] = std::round(same.target[k % same.size]);
  EXPECT_LT(encode(same, 8, decoded).size(), 200u);
}

// Places where the base has erred are told apart from those where it has not.
TEST(Series, MissesAreRemembered) {
  Series s = drifting({1, 1, 64, 64}, 1, 12, 0);
  std::mt19937 random(7);
  std::normal_distribution<double> normal(0, 60);
  for (size_t k = 0; k < s.target.size(); ++k) {
    const size_t x = k % 64, y = k / 64 % 64;
    s.target[k] = (x > 20 && x < 30 && y > 40 && y < 48) ? normal(random) : 0;
  }
  std::vector<int32_t> decoded;
  const size_t first = [&] {
    Series one = s;
    one.in.frames = 1;
    one.target.resize(2 * s.size);
    return encode(one, 1, decoded).size();
  }();
  EXPECT_LT(encode(s, 12, decoded).size(), 12 * (first - 40) * 9 / 10);
}

TEST(Series, AnyBytesAreRefusedOrDecoded) {
  const Series s = drifting({1, 1, 20, 20}, 1, 4);
  std::vector<int32_t> decoded;
  const Bytes section = encode(s, 2, decoded);
  std::mt19937 random(11);
  int refused = 0;
  for (int k = 0; k < 2000; ++k) {
    Bytes b = section;
    for (uint32_t changes = 1 + random() % 3; changes > 0; --changes)
      b[random() % b.size()] ^= 1u << random() % 8;
    if (k % 5 == 0) b.resize(random() % b.size());
    try {
      decode(s, b, decoded);
    } catch (const Failure& f) {
      EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
      ++refused;
    }
  }
  EXPECT_GT(refused, 1500);
}

// A stack whose planes know nothing of each other is coded as each of them would be.
TEST(Series, PlanesApartDoNotSeeEachOther) {
  const Layout plane = Layout::make({1, 1, 40, 40}, 0b1100),
               stack = Layout::make({1, 7, 40, 40}, 0b1100, 0, 1);
  EXPECT_EQ(stack.reach, plane.reach);
  Level level;
  level.mask = 0b1100;
  EXPECT_EQ(make_stencil(stack, level, 0b1100, 1).offset, make_stencil(plane, level, 0b1100, 1).offset);
}

}  // namespace
}  // namespace h5neural

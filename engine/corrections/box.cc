// box.cc: see box.h.
#include "corrections/box.h"

#include <cmath>

#include "support/about_log2.h"

namespace h5neural {

Box::Box(const Index4& whole, double most, uint8_t wraps) : n(whole) {
  const auto length = [&](int a) { return n[a] == whole[a] && wraps >> a & 1 ? n[a] * 5 / 8 : n[a]; };
  while (double(points(n)) > most) {
    int cut = -1;
    for (int a = 0; a < kAxes; ++a) {
      if (n[a] >= 2 * kLeastExtent && (cut < 0 || length(a) > length(cut))) cut = a;
    }
    if (cut < 0) break;
    n[cut] = (n[cut] + 1) / 2;
  }
  for (int a = 0; a < kAxes; ++a) first[a] = (whole[a] - n[a]) / 2;
}

namespace {

struct Sample {
  Index4 at;
  float bits;
};

// A sample of the coded points, and about what each would take if it were predicted from its two neighbours
// along the axis where that works best.
std::vector<Sample> sampled(const WalkInput& in, std::span<const double> x) {
  constexpr int64_t kSamples = 4000;
  std::vector<Sample> samples;
  std::array<int64_t, kAxes> jump{};
  int64_t size = 1;
  for (int a = kAxes - 1; a >= 0; --a) {
    jump[a] = size;
    size *= in.n[a];
  }
  const auto skipped = [&](int64_t p) { return !in.skip.empty() && in.skip[p] != 0; };
  const double unit = std::ldexp(1.0, -in.step_bits);
  const int64_t every = std::max<int64_t>(1, size / kSamples) | 1;  // odd: does not lock on to even extents
  for (int64_t p = 0; p < size; p += every) {
    if (skipped(p)) continue;
    Sample s{};
    double least = -1;
    for (int a = 0; a < kAxes; ++a) {
      s.at[a] = static_cast<int>(p / jump[a] % in.n[a]);
      if (s.at[a] == 0 || s.at[a] + 1 == in.n[a] || skipped(p - jump[a]) || skipped(p + jump[a])) continue;
      const double e = std::abs(x[p] - (x[p - jump[a]] + x[p + jump[a]]) / 2) * unit;
      if (least < 0 || e < least) least = e;
    }
    if (least < 0) continue;
    const auto e = static_cast<float>(std::min(least, 1e9));
    s.bits = about_log2(1 + 9 * e * e);
    samples.push_back(s);
  }
  return samples;
}

}  // namespace

void Box::seek(const WalkInput& in, std::span<const double> target) {
  constexpr int kSteps = 4;  // along an axis from one end to the other
  Index4 places{};
  int all = 1;
  for (int a = 0; a < kAxes; ++a) all *= places[a] = n[a] < in.n[a] ? kSteps + 1 : 1;
  if (all == 1) return;
  const std::vector<Sample> samples = sampled(in, target);
  double most = 0;
  for (int k = 0; k < all; ++k) {
    Index4 from{};
    for (int a = 0, rest = k; a < kAxes; rest /= places[a++]) {
      from[a] = (in.n[a] - n[a]) * (rest % places[a]) / kSteps;
    }
    double sum = 0;
    for (const Sample& s : samples) {
      bool inside = true;
      for (int a = 0; a < kAxes; ++a) inside &= s.at[a] >= from[a] && s.at[a] < from[a] + n[a];
      sum += inside ? double(s.bits) : 0;
    }
    if (sum > most) {
      most = sum;
      first = from;
    }
  }
}

Part::Part(const WalkInput& whole, std::span<const double> target, const Box& box)
    : field(box.cut(target, whole.n)),
      base(box.cut(whole.base, whole.n)),
      skip(box.cut(whole.skip, whole.n)) {
  in.n = box.n;
  in.step_bits = whole.step_bits;
  in.base = base;
  in.skip = skip;
  in.learns = whole.learns;
}

}  // namespace h5neural

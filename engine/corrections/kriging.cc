// kriging.cc: see kriging.h. With K the generalised covariance, u[j] = S[j] - S0 and b = v - S0 / 2, the
// coefficients solve  <u[j], u[k]> c = <u[j], b>.  All quantities are 64-bit integers in units of
// 2^-kFraction after scaling by the largest diagonal element; products are taken in 128 bits.
#include "corrections/kriging.h"

#include <algorithm>
#include <cmath>

namespace h5neural {
namespace {

__extension__ using int128 = __int128;
constexpr int kFraction = 40;

int64_t multiply(int64_t a, int64_t b, int fraction) {
  return static_cast<int64_t>((int128{a} * b) >> fraction);
}

// The largest integer whose square is not above x < 2^62: a floating-point guess, set right by integers, so
// that it is the same everywhere.
int64_t integer_sqrt(int64_t x) {
  auto r = static_cast<int64_t>(std::sqrt(static_cast<double>(x)));
  while (r * r > x) --r;
  while ((r + 1) * (r + 1) <= x) ++r;
  return r;
}

// Generalised covariance of a distance h (root: its square root), units of 2^-24: -h^e below 2, +h^e above.
int64_t covariance(int64_t h, int64_t root, int exponent) {
  const auto h2 = multiply(h, h, 24);
  switch (exponent) {
    case 0:
      return -root;
    case 1:
      return -h;
    case 2:
      return -multiply(h, root, 24);
    case 3:
      return multiply(h2, root, 24);
    case 4:
      return multiply(h2, h, 24);
    default:
      return multiply(multiply(h2, h, 24), root, 24);
  }
}

Index4 plus(const Index4& a, const Index4& b, int sign) {
  Index4 c{};
  for (int k = 0; k < kAxes; ++k) c[k] = a[k] + sign * b[k];
  return c;
}

// Symmetric positive definite solve by L D L^T, no pivoting. Returns false where a pivot is too small to
// trust.
bool solve_system(std::vector<int64_t>& m, std::vector<int64_t>& g, int n) {
  constexpr int64_t kLeastPivot = int64_t{1} << (kFraction - 26);
  for (int k = 0; k < n; ++k) {
    const int64_t pivot = m[k * n + k];
    if (pivot < kLeastPivot) return false;
    for (int i = k + 1; i < n; ++i) {
      const auto f = static_cast<int64_t>((int128{m[i * n + k]} << kFraction) / pivot);
      for (int j = k + 1; j < n; ++j) m[i * n + j] -= multiply(f, m[k * n + j], kFraction);
      g[i] -= multiply(f, g[k], kFraction);
    }
  }
  for (int k = n - 1; k >= 0; --k) {
    int128 s = int128{g[k]} << kFraction;
    for (int j = k + 1; j < n; ++j) s -= int128{m[k * n + j]} * g[j];
    g[k] = static_cast<int64_t>(s / m[k * n + k]);
  }
  return true;
}

}  // namespace

Kriging::Kriging(const Stencil& s, const std::array<uint8_t, kAxes>& weight)
    : pairs_(static_cast<int>(std::min<size_t>(s.offset.size(), kKrigingPairs))) {
  const auto distance = [&](const Index4& d) {
    const int64_t h = integer_sqrt(weighted_square(d, weight) << 40);
    return Distance{h, integer_sqrt(h << 24)};
  };
  apart_.resize(size_t(pairs_) * pairs_);
  mirrored_ = apart_;
  for (int i = 0; i < pairs_; ++i) {
    centre_.push_back(distance(s.offset[i]));
    for (int j = 0; j <= i; ++j) {
      apart_[i * pairs_ + j] = apart_[j * pairs_ + i] = distance(plus(s.offset[i], s.offset[j], -1));
      mirrored_[i * pairs_ + j] = mirrored_[j * pairs_ + i] = distance(plus(s.offset[i], s.offset[j], 1));
    }
  }
}

std::vector<int32_t> Kriging::solve(int exponent, int nugget) const {
  const int n = pairs_ - 1;
  if (n <= 0) return {};
  // Nugget: a share of the variogram at distance 1, on every value by itself.
  static constexpr int64_t kNugget[kNuggets] = {0, 1 << 20, 1 << 22, 1 << 24};
  const auto cov = [exponent](const Distance& d) { return covariance(d.h, d.root, exponent); };
  std::vector<int64_t> a(size_t(pairs_) * pairs_), k(pairs_);  // a: <S[i], S[j]>, k: <S[i], v>
  for (int i = 0; i < pairs_; ++i) {
    k[i] = 2 * cov(centre_[i]);
    for (int j = 0; j < pairs_; ++j) {
      a[i * pairs_ + j] = 2 * (cov(apart_[i * pairs_ + j]) + cov(mirrored_[i * pairs_ + j]));
      if (i == j) a[i * pairs_ + j] += 2 * kNugget[nugget];
    }
  }
  std::vector<int64_t> m(size_t(n) * n), g(n);
  int64_t largest = 1;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j)
      m[i * n + j] = a[(i + 1) * pairs_ + j + 1] - a[(i + 1) * pairs_] - a[j + 1] + a[0];
    g[i] = k[i + 1] - k[0] - (a[(i + 1) * pairs_] - a[0]) / 2;
    largest = std::max({largest, m[i * n + i], g[i], -g[i]});
  }
  for (int64_t& v : m) v = static_cast<int64_t>((int128{v} << kFraction) / largest);
  for (int64_t& v : g) v = static_cast<int64_t>((int128{v} << kFraction) / largest);
  std::vector<int32_t> c(n, 0);
  if (!solve_system(m, g, n)) return c;
  constexpr int64_t kLimit = int64_t{4} << kCoefficientBits;
  for (int i = 0; i < n; ++i) {
    c[i] = static_cast<int32_t>(std::clamp<int64_t>(g[i] >> (kFraction - kCoefficientBits), -kLimit, kLimit));
  }
  return c;
}

std::vector<int32_t> kriging(const Stencil& s, const std::array<uint8_t, kAxes>& weight, int exponent,
                             int nugget) {
  return Kriging(s, weight).solve(exponent, nugget);
}

}  // namespace h5neural

// kriging.cc: see kriging.h. With K the generalised covariance, u[j] = S[j] - S0 and b = v - S0 / 2, the
// coefficients solve  <u[j], u[k]> c = <u[j], b>.  All quantities are 64-bit integers in units of
// 2^-kFraction after scaling by the largest diagonal element; products are taken in 128 bits.
#include "corrections/kriging.h"

#include <algorithm>
#include <bit>

namespace h5neural {
namespace {

__extension__ using int128 = __int128;
constexpr int kFraction = 40;

int64_t multiply(int64_t a, int64_t b, int fraction) {
  return static_cast<int64_t>((int128{a} * b) >> fraction);
}

uint64_t integer_sqrt(uint64_t x) {
  uint64_t r = 0;
  for (uint64_t bit = uint64_t{1} << 31; bit != 0; bit >>= 1) {
    const uint64_t t = r | bit;
    if (t * t <= x) r = t;
  }
  return r;
}

// Generalised covariance of squared distance x (units of 1/256), units of 2^-24: -h^e below 2, +h^e above.
int64_t covariance(int64_t x, int exponent) {
  const auto h = static_cast<int64_t>(integer_sqrt(static_cast<uint64_t>(x) << 40));
  const auto root = static_cast<int64_t>(integer_sqrt(static_cast<uint64_t>(h) << 24));
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
bool solve(std::vector<int64_t>& m, std::vector<int64_t>& g, int n) {
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

std::vector<int32_t> kriging(const Stencil& s, const std::array<uint8_t, kAxes>& weight, int exponent,
                             int nugget) {
  const int pairs = static_cast<int>(std::min<size_t>(s.offset.size(), kKrigingPairs));
  const int n = pairs - 1;
  if (n <= 0) return {};
  // Nugget: a share of the variogram at distance 1, on every value by itself.
  static constexpr int64_t kNugget[kNuggets] = {0, 1 << 20, 1 << 22, 1 << 24};
  const auto cov = [&](const Index4& d) { return covariance(weighted_square(d, weight), exponent); };
  std::vector<int64_t> a(pairs * pairs), k(pairs);  // a: <S[i], S[j]>, k: <S[i], v>
  for (int i = 0; i < pairs; ++i) {
    k[i] = 2 * cov(s.offset[i]);
    for (int j = 0; j <= i; ++j) {
      a[i * pairs + j] =
          2 * (cov(plus(s.offset[i], s.offset[j], -1)) + cov(plus(s.offset[i], s.offset[j], 1)));
      if (i == j) a[i * pairs + j] += 2 * kNugget[nugget];
      a[j * pairs + i] = a[i * pairs + j];
    }
  }
  std::vector<int64_t> m(n * n), g(n);
  int64_t largest = 1;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j)
      m[i * n + j] = a[(i + 1) * pairs + j + 1] - a[(i + 1) * pairs] - a[j + 1] + a[0];
    g[i] = k[i + 1] - k[0] - (a[(i + 1) * pairs] - a[0]) / 2;
    largest = std::max({largest, m[i * n + i], g[i], -g[i]});
  }
  for (int64_t& v : m) v = static_cast<int64_t>((int128{v} << kFraction) / largest);
  for (int64_t& v : g) v = static_cast<int64_t>((int128{v} << kFraction) / largest);
  std::vector<int32_t> c(n, 0);
  if (!solve(m, g, n)) return c;
  constexpr int64_t kLimit = int64_t{4} << kCoefficientBits;
  for (int i = 0; i < n; ++i) {
    c[i] = static_cast<int32_t>(std::clamp<int64_t>(g[i] >> (kFraction - kCoefficientBits), -kLimit, kLimit));
  }
  return c;
}

}  // namespace h5neural

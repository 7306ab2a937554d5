// eigen.cc: see eigen.h.
#include "learn/eigen.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace h5neural::learn {
namespace {

constexpr size_t kSmall = 160;
constexpr int kSweeps = 30, kIterations = 40;
constexpr size_t kSpare = 16;  // vectors beyond those asked for, which make the others converge sooner

// One rotation that makes a[p, q] zero; the rows of `v` follow.
void rotate(std::vector<double>& a, std::vector<double>& v, size_t n, size_t p, size_t q) {
  const double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
  const double t = (theta >= 0 ? 1.0 : -1.0) / (std::fabs(theta) + std::hypot(theta, 1.0));
  const double c = 1 / std::hypot(t, 1.0), s = t * c;
  for (size_t k = 0; k < n; ++k) {
    const double x = a[k * n + p], y = a[k * n + q];
    a[k * n + p] = c * x - s * y;
    a[k * n + q] = s * x + c * y;
  }
  for (auto* m : {&a, &v}) {
    for (size_t k = 0; k < n; ++k) {
      const double x = (*m)[p * n + k], y = (*m)[q * n + k];
      (*m)[p * n + k] = c * x - s * y;
      (*m)[q * n + k] = s * x + c * y;
    }
  }
}

Eigen jacobi(std::vector<double> a, size_t n, size_t count) {
  std::vector<double> v(n * n, 0.0);
  for (size_t k = 0; k < n; ++k) v[k * n + k] = 1;
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    double off = 0, all = 0;
    for (size_t i = 0; i < n * n; ++i) {
      all += a[i] * a[i];
      if (i / n != i % n) off += a[i] * a[i];
    }
    if (off <= 1e-28 * all) break;
    for (size_t p = 0; p < n; ++p) {
      for (size_t q = p + 1; q < n; ++q) {
        if (a[p * n + q] != 0) rotate(a, v, n, p, q);
      }
    }
  }
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t i, size_t j) { return a[i * n + i] > a[j * n + j]; });
  Eigen e;
  for (size_t k = 0; k < std::min(count, n); ++k) {
    e.values.push_back(a[order[k] * n + order[k]]);
    const auto row = v.begin() + static_cast<ptrdiff_t>(order[k] * n);
    e.vectors.insert(e.vectors.end(), row, row + static_cast<ptrdiff_t>(n));
  }
  return e;
}

// Rows made orthonormal one after the other, twice for the sake of rounding (Gram and Schmidt).
void orthonormalise(std::vector<double>& rows, size_t n) {
  for (size_t k = 0; k < rows.size() / n; ++k) {
    double* x = rows.data() + k * n;
    for (int twice = 0; twice < 2; ++twice) {
      for (size_t j = 0; j < k; ++j) {
        const double* y = rows.data() + j * n;
        const double c = std::inner_product(x, x + n, y, 0.0);
        for (size_t i = 0; i < n; ++i) x[i] -= c * y[i];
      }
      const double length = std::sqrt(std::inner_product(x, x + n, x, 0.0));
      for (size_t i = 0; i < n; ++i) x[i] = length > 0 ? x[i] / length : (i == k ? 1.0 : 0.0);
    }
  }
}

// rows [p, n] times the matrix.
std::vector<double> apply(const std::vector<double>& matrix, size_t n, const std::vector<double>& rows) {
  std::vector<double> out(rows.size(), 0.0);
  for (size_t k = 0; k < rows.size() / n; ++k) {
    double* y = out.data() + k * n;
    for (size_t i = 0; i < n; ++i) {
      const double c = rows[k * n + i];
      const double* m = matrix.data() + i * n;
      for (size_t j = 0; j < n; ++j) y[j] += c * m[j];
    }
  }
  return out;
}

}  // namespace

Eigen leading_eigenvectors(const std::vector<double>& matrix, size_t n, size_t count, uint64_t seed) {
  count = std::min(count, n);
  const size_t p = std::min(n, count + kSpare);
  if (n <= kSmall || p == n) return jacobi(matrix, n, count);
  std::mt19937_64 draw(seed);
  std::vector<double> rows(p * n);
  for (double& x : rows) x = static_cast<double>(draw() >> 11) * 0x1p-52 - 1;
  for (int k = 0; k < kIterations; ++k) {
    orthonormalise(rows, n);
    rows = apply(matrix, n, rows);
  }
  orthonormalise(rows, n);
  const std::vector<double> image = apply(matrix, n, rows);
  std::vector<double> small(p * p);
  for (size_t i = 0; i < p; ++i) {
    for (size_t j = 0; j < p; ++j) {
      const double* x = rows.data() + i * n;
      small[i * p + j] = std::inner_product(x, x + n, image.data() + j * n, 0.0);
    }
  }
  const Eigen inner = jacobi(std::move(small), p, count);
  Eigen e;
  e.values = inner.values;
  e.vectors.assign(count * n, 0.0);
  for (size_t k = 0; k < count; ++k) {
    for (size_t i = 0; i < p; ++i) {
      const double c = inner.vectors[k * p + i];
      for (size_t j = 0; j < n; ++j) e.vectors[k * n + j] += c * rows[i * n + j];
    }
  }
  return e;
}

}  // namespace h5neural::learn

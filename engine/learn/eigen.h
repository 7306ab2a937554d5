// eigen.h: the leading eigenvectors of a symmetric positive matrix, in double precision. Knows nothing of
// what the matrix is.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace h5neural::learn {

struct Eigen {
  std::vector<double> values;   // largest first
  std::vector<double> vectors;  // [count, n], of length 1
};

// Of `matrix` [n, n], at most `count`: small ones by Jacobi's rotations (1846), large ones by subspace
// iteration with a Rayleigh-Ritz step (Rutishauser, 1969), begun from random numbers of `seed`.
Eigen leading_eigenvectors(const std::vector<double>& matrix, size_t n, size_t count, uint64_t seed);

}  // namespace h5neural::learn

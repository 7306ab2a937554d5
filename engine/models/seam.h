// seam.h: whether the two ends of an axis meet, as those of a periodic domain do. Writers and training.
#pragma once
#include <cstddef>
#include <span>

namespace h5neural {

// A step from the last point of such an axis to the first is at most this many usual ones, in the root mean
// square.
constexpr double kSeam = 1.5;

// Of the axis of `n` points of a field [before, n, after].
template <class T>
bool ends_meet(std::span<const T> field, size_t before, size_t n, size_t after) {
  if (n < 3) return false;
  double seam = 0, inside = 0;
  for (size_t b = 0; b < before; ++b) {
    for (size_t k = 0; k < n; ++k) {
      const T* here = field.data() + (b * n + k) * after;
      const T* next = field.data() + (b * n + (k + 1) % n) * after;
      double squares = 0;
      for (size_t i = 0; i < after; ++i) {
        const double step = static_cast<double>(next[i]) - static_cast<double>(here[i]);
        squares += step * step;
      }
      (k + 1 == n ? seam : inside) += squares;
    }
  }
  return seam <= kSeam * kSeam * inside / static_cast<double>(n - 1);
}

}  // namespace h5neural

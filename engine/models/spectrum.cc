// spectrum.cc: see spectrum.h.
#include "models/spectrum.h"

#include <cmath>
#include <complex>

namespace h5neural {
namespace {

using Complex = std::complex<float>;

// Transforms lines of `n` numbers, `stride` apart, in place.
void transform_axis(std::vector<Complex>& f, int64_t n, int64_t stride) {
  if (n == 1) return;
  std::vector<Complex> root(static_cast<size_t>(n)), line(static_cast<size_t>(n));
  for (int64_t k = 0; k < n; ++k) {
    const double angle = -2 * M_PI * static_cast<double>(k) / static_cast<double>(n);
    root[static_cast<size_t>(k)] = {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
  }
  const auto count = static_cast<int64_t>(f.size());
  for (int64_t block = 0; block < count; block += n * stride) {
    for (int64_t first = block; first < block + stride; ++first) {
      for (int64_t k = 0; k < n; ++k)
        line[static_cast<size_t>(k)] = f[static_cast<size_t>(first + k * stride)];
      for (int64_t k = 0; k < n; ++k) {
        float re = 0, im = 0;
        for (int64_t j = 0, at = 0; j < n; ++j, at = at + k < n ? at + k : at + k - n) {
          const Complex w = root[static_cast<size_t>(at)], v = line[static_cast<size_t>(j)];
          re += w.real() * v.real() - w.imag() * v.imag();
          im += w.real() * v.imag() + w.imag() * v.real();
        }
        f[static_cast<size_t>(first + k * stride)] = {re, im};
      }
    }
  }
}

}  // namespace

Spectrum spectrum_of(std::span<const float> x, const std::array<int64_t, 3>& n) {
  std::vector<Complex> f(x.begin(), x.end());
  transform_axis(f, n[2], 1);
  transform_axis(f, n[1], n[2]);
  transform_axis(f, n[0], n[1] * n[2]);
  Spectrum s;
  for (const Complex& v : f) {
    s.magnitude.push_back(std::log1p(std::abs(v)));
    s.phase.push_back(std::arg(v) / static_cast<float>(M_PI));
  }
  return s;
}

}  // namespace h5neural

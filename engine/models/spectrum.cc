// spectrum.cc: see spectrum.h.
#include "models/spectrum.h"

#include <cmath>

namespace h5neural {
namespace {

// A complex field, in parts, so that the inner loops below run over neighbours in memory.
struct Field {
  std::vector<float> re, im;
};

// Transforms lines of `n` numbers, `stride` apart: a product with the matrix of roots.
Field transform_axis(const Field& x, size_t n, size_t stride) {
  if (n == 1) return x;
  std::vector<float> cosine(n * n), sine(n * n);
  for (size_t k = 0; k < n; ++k) {
    for (size_t j = 0; j < n; ++j) {
      const double angle = -2 * M_PI * static_cast<double>(k * j % n) / static_cast<double>(n);
      cosine[k * n + j] = static_cast<float>(std::cos(angle));
      sine[k * n + j] = static_cast<float>(std::sin(angle));
    }
  }
  Field y{std::vector<float>(x.re.size()), std::vector<float>(x.re.size())};
  for (size_t block = 0; block < x.re.size(); block += n * stride) {
    for (size_t j = 0; j < n; ++j) {
      for (size_t k = 0; k < (stride == 1 ? 1 : n); ++k) {
        const size_t from = block + j * stride, to = block + k * stride;
        const float c = cosine[k * n + j], s = sine[k * n + j];
        if (stride > 1) {  // one root for neighbouring lines
          for (size_t i = 0; i < stride; ++i) {
            y.re[to + i] += c * x.re[from + i] - s * x.im[from + i];
            y.im[to + i] += c * x.im[from + i] + s * x.re[from + i];
          }
        } else {  // one number for all the results of its line
          const float re = x.re[from], im = x.im[from];
          for (size_t i = 0; i < n; ++i) {
            y.re[to + i] += cosine[j * n + i] * re - sine[j * n + i] * im;
            y.im[to + i] += cosine[j * n + i] * im + sine[j * n + i] * re;
          }
        }
      }
    }
  }
  return y;
}

}  // namespace

Spectrum spectrum_of(std::span<const float> x, const std::array<int64_t, 3>& n) {
  const std::array<size_t, 3> m = {static_cast<size_t>(n[0]), static_cast<size_t>(n[1]),
                                   static_cast<size_t>(n[2])};
  Field f{{x.begin(), x.end()}, std::vector<float>(x.size())};
  f = transform_axis(f, m[2], 1);
  f = transform_axis(f, m[1], m[2]);
  f = transform_axis(f, m[0], m[1] * m[2]);
  Spectrum s;
  for (size_t i = 0; i < x.size(); ++i) {
    s.magnitude.push_back(std::log1p(std::hypot(f.re[i], f.im[i])));
    s.phase.push_back(std::atan2(f.im[i], f.re[i]) / static_cast<float>(M_PI));
  }
  return s;
}

}  // namespace h5neural

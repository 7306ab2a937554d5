// spectrum.h: the discrete Fourier transform of a small box, as an encoder looks at it. Writer only.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace h5neural {

// Of `x` [n0, n1, n2]: log(1 + |F|) and the phase of F in units of pi, where F is the transform without a
// factor (axes by sums of n terms each: boxes are small and of any extent).
struct Spectrum {
  std::vector<float> magnitude, phase;
};
Spectrum spectrum_of(std::span<const float> x, const std::array<int64_t, 3>& n);

}  // namespace h5neural

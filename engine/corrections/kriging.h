// kriging.h: the predictor that costs next to nothing to send: best linear unbiased interpolation of a random
// field whose variogram is a power of the distance (Matheron 1963), with a nugget for the noise of the bound.
// The reader solves the small linear system itself, in integer fixed point, so every machine gets the same
// coefficients.
#pragma once
#include <cstdint>
#include <vector>

#include "corrections/stencil.h"
#include "kernels/kernels.h"

namespace h5neural {

constexpr int kExponents = 6;  // variogram h^0.5, h^1, h^1.5, h^2.5, h^3, h^3.5
constexpr int kNuggets = 4;    // 0, 1/16, 1/4, 1 of the variogram at distance 1
constexpr int kKrigingPairs = 20;

// Coefficient of each pair but the first (a point is predicted as S0 / 2 + sum of c[j] (S[j] - S0), S[j] the
// sum of pair j), for the first `kKrigingPairs` pairs of the stencil. 0 <= exponent < kExponents, 0 <= nugget
// < kNuggets.
std::vector<int32_t> kriging(const Stencil& stencil, const std::array<uint8_t, kAxes>& weight, int exponent,
                             int nugget);

// The same for many exponents and nuggets of one stencil: distances are worked out once.
class Kriging {
 public:
  Kriging(const Stencil& stencil, const std::array<uint8_t, kAxes>& weight);
  std::vector<int32_t> solve(int exponent, int nugget) const;

 private:
  struct Distance {
    int64_t h, root;  // and its square root, units of 2^-24
  };

  int pairs_ = 0;
  std::vector<Distance> centre_;            // of each pair from the point
  std::vector<Distance> apart_, mirrored_;  // pairs_ x pairs_: of d[i] from d[j] and from -d[j]
};

}  // namespace h5neural

// residual_cost.h: about what the corrections will pay for the difference between a field and a base. Writer
// only.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>

namespace h5neural {

// Sum over the values of log2(1 + (2 r / bin)^4) / 4 * 2, in bits: nothing while the residual r stays well
// inside its bin, half a bit at the bin's edge, 1 + log2(r / bin) far outside.
inline double residual_cost(std::span<const int32_t> field, std::span<const int32_t> base, int32_t bin) {
  const double unit = 2.0 / bin;
  double bits = 0, product = 1;
  for (size_t i = 0; i < field.size(); ++i) {
    const double r = (static_cast<double>(field[i]) - base[i]) * unit;
    product *= 1 + r * r * r * r;
    if (product > 1e150) {  // one logarithm for many values; a factor is at most (2^32)^4
      bits += std::log2(product);
      product = 1;
    }
  }
  return 0.5 * (bits + std::log2(product));
}

}  // namespace h5neural

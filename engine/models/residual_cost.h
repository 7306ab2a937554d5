// residual_cost.h: about what the corrections will pay for the difference between a field and a base. Writer
// only.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>

namespace h5neural {

// Bits for the residual in bins with a table of its own: count times the entropy of the rounded residual, and
// twice the logarithm of what lies beyond the table. Right where residuals are rare, as they are under a good
// base; above the truth where they are smooth, since the corrections predict too.
inline double residual_entropy(std::span<const int32_t> field, std::span<const int32_t> base, int32_t bin) {
  constexpr int64_t kEdge = 32;
  std::array<size_t, 2 * kEdge + 1> seen{};
  double bits = 0;
  const int64_t half = bin / 2;
  for (size_t i = 0; i < field.size(); ++i) {
    const int64_t r = int64_t{field[i]} - base[i];
    const int64_t q = (r >= 0 ? r + half : r - half) / bin;
    if (std::abs(q) < kEdge) {
      ++seen[static_cast<size_t>(q + kEdge)];
    } else {
      ++seen[q < 0 ? 0 : 2 * kEdge];
      bits += 2 * std::log2(static_cast<double>(std::abs(q)) / kEdge) + 1;
    }
  }
  for (const size_t n : seen) {
    if (n > 0)
      bits += static_cast<double>(n) * std::log2(static_cast<double>(field.size()) / static_cast<double>(n));
  }
  return bits;
}

// For few values, which make no table: sum of log2(1 + (2 r / bin)^4) / 2. Nothing while the residual r stays
// well inside its bin, half a bit at the bin's edge, 2 (1 + log2(r / bin)) far outside.
inline double residual_cost(std::span<const int32_t> field, std::span<const int32_t> base, int32_t bin) {
  const double unit = 2.0 / bin;
  double bits = 0;
  for (size_t i = 0; i < field.size(); ++i) {
    const double r = (static_cast<double>(field[i]) - base[i]) * unit;
    bits += 0.5 * std::log2(1 + r * r * r * r);
  }
  return bits;
}

}  // namespace h5neural

// residual_cost.h: about what the corrections will pay for the difference between a field and a base. Writer
// only.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "support/extents.h"

namespace h5neural {

// Bits of a table of rounded residuals: its entropy times the number of values.
class SampleTable {
 public:
  explicit SampleTable(int32_t bin) : bin_(bin) {}
  void add(int64_t r) {
    const int64_t half = bin_ / 2, q = (r >= 0 ? r + half : r - half) / bin_;
    ++count_;
    if (std::abs(q) < kEdge) {
      ++seen_[static_cast<size_t>(q + kEdge)];
    } else {
      ++seen_[q < 0 ? 0 : 2 * kEdge];
      beyond_ += 2 * std::log2(static_cast<double>(std::abs(q)) / kEdge) + 1;
    }
  }
  double bits() const {
    double sum = beyond_;
    for (const size_t n : seen_) {
      if (n > 0)
        sum += static_cast<double>(n) * std::log2(static_cast<double>(count_) / static_cast<double>(n));
    }
    return sum;
  }
  double bits_per_value() const { return count_ == 0 ? 0 : bits() / static_cast<double>(count_); }

 private:
  static constexpr int64_t kEdge = 32;
  int32_t bin_;
  size_t count_ = 0;
  std::array<size_t, 2 * kEdge + 1> seen_{};
  double beyond_ = 0;
};

// Bits for the residual in bins with a table of its own: count times the entropy of the rounded residual, and
// twice the logarithm of what lies beyond the table. Right where residuals are rare, as they are under a good
// base; above the truth where they are smooth, since the corrections predict too.
inline double residual_entropy(std::span<const int32_t> field, std::span<const int32_t> base, int32_t bin) {
  SampleTable table(bin);
  for (size_t i = 0; i < field.size(); ++i) table.add(int64_t{field[i]} - base[i]);
  return table.bits();
}

// About what a field of rank 3 costs without a base, from above: every value predicted from its two
// neighbours along the axis where that works best; from a sample of the values.
inline double plain_entropy(std::span<const int32_t> field, const Extents& extents, int32_t bin) {
  double best = -1;
  size_t stride = 1;
  for (int axis = 2; axis >= 0; --axis) {
    const auto n = static_cast<size_t>(extents.n[static_cast<size_t>(axis)]);
    SampleTable table(bin);
    const size_t every = std::max<size_t>(1, field.size() / 30000) | 1;
    for (size_t i = stride; i + stride < field.size(); i += every) {
      const size_t at = i / stride % n;
      if (at == 0 || at + 1 == n) continue;
      table.add(field[i] - (int64_t{field[i - stride]} + field[i + stride]) / 2);
    }
    const double bits = table.bits_per_value();
    if (n >= 3 && (best < 0 || bits < best)) best = bits;
    stride *= n;
  }
  return best < 0 ? 1e300 : best * static_cast<double>(field.size());
}

// About what corrections pay for a field of what is left, whatever its extents, in bits.
inline double corrections_estimate(std::span<const int32_t> rest, const Extents& extents, int32_t bin) {
  Extents three{3, {1, 1, 1}};  // the slowest axes as one
  for (int a = 0; a < extents.rank; ++a)
    three.n[static_cast<size_t>(std::max(0, a + 3 - extents.rank))] *= extents.n[static_cast<size_t>(a)];
  const std::vector<int32_t> zero(rest.size());
  return std::min(plain_entropy(rest, three, bin), residual_entropy(rest, zero, bin));
}

// A difference that stays clear of the ends of its type.
inline int32_t limited_difference(int64_t a, int64_t b) {
  return static_cast<int32_t>(std::clamp<int64_t>(a - b, INT32_MIN / 2, INT32_MAX / 2));
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

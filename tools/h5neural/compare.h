// compare.h: what a block of values became. Arithmetic in float64; knows no HDF5 and no engine.
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <type_traits>

namespace h5neural::tool {

// What a block promised. `abs` and `ratio` may both stand; L2 bounds are judged from Differences.
struct Promise {
  bool exact = false;                                      // every bit comes back
  double abs = std::numeric_limits<double>::infinity();    // |x - x'| <= abs
  double ratio = std::numeric_limits<double>::infinity();  // |x - x'| <= ratio * |x|
};

struct Differences {
  uint64_t values = 0;
  uint64_t changed = 0;                                  // of which a bit changed
  uint64_t specials = 0;                                 // NaN, Inf, -0 and the fill value, in the original
  uint64_t specials_changed = 0;                         // of which a bit changed
  uint64_t beyond = 0;                                   // values, specials aside, that broke the promise
  uint64_t measured = 0;                                 // values, specials aside
  double low = std::numeric_limits<double>::infinity();  // of the measured values, in the original
  double high = -std::numeric_limits<double>::infinity();
  double max_error = 0;       // largest |x - x'|; infinity when a finite value became none
  double max_over_bound = 0;  // largest |x - x'| / what was allowed
  double sum_of_squares = 0;  // of x - x'
  double patch_nrmse = 0;     // of the worst patch, where a block bound was promised

  double range() const { return high > low ? high - low : 0; }
  double rmse() const { return measured > 0 ? std::sqrt(sum_of_squares / static_cast<double>(measured)) : 0; }
  // Root mean square error over the range; 0 where nothing differs.
  double nrmse() const { return sum_of_squares > 0 ? rmse() / range() : 0; }
  // 20 log10(range / RMSE) in dB; infinity where nothing differs.
  double psnr() const { return -20 * std::log10(nrmse()); }

  void add(const Differences& d) {
    values += d.values;
    changed += d.changed;
    specials += d.specials;
    specials_changed += d.specials_changed;
    beyond += d.beyond;
    measured += d.measured;
    low = std::min(low, d.low);
    high = std::max(high, d.high);
    max_error = std::max(max_error, d.max_error);
    max_over_bound = std::max(max_over_bound, d.max_over_bound);
    sum_of_squares += d.sum_of_squares;
    patch_nrmse = std::max(patch_nrmse, d.patch_nrmse);
  }
};

// Only specials and range of an original, without a copy to compare with.
template <class T>
bool is_special(T x, const std::optional<T>& fill) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  return !std::isfinite(x) || (x == 0 && std::signbit(x)) ||
         (fill && std::bit_cast<Bits>(x) == std::bit_cast<Bits>(*fill));
}

// Range of the values that are not special.
template <class T>
double range_of(std::span<const T> original, const std::optional<T>& fill) {
  Differences d;
  for (const T x : original) {
    if (is_special(x, fill)) continue;
    d.low = std::min(d.low, static_cast<double>(x));
    d.high = std::max(d.high, static_cast<double>(x));
  }
  return d.range();
}

// Compares value by value. Both spans have the same length.
template <class T>
Differences compare(std::span<const T> original, std::span<const T> copy, const std::optional<T>& fill,
                    const Promise& promise) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  Differences d;
  d.values = original.size();
  for (size_t i = 0; i < original.size(); ++i) {
    const bool same = std::bit_cast<Bits>(original[i]) == std::bit_cast<Bits>(copy[i]);
    if (!same) ++d.changed;
    if (is_special(original[i], fill)) {
      ++d.specials;
      if (!same) ++d.specials_changed;
      continue;
    }
    const double x = original[i];
    double error = std::abs(x - static_cast<double>(copy[i]));
    if (!std::isfinite(copy[i])) error = std::numeric_limits<double>::infinity();
    const double allowed = promise.exact ? 0 : std::min(promise.abs, promise.ratio * std::abs(x));
    ++d.measured;
    d.low = std::min(d.low, x);
    d.high = std::max(d.high, x);
    d.max_error = std::max(d.max_error, error);
    d.sum_of_squares += error * error;
    if (error > allowed || (promise.exact && !same)) ++d.beyond;
    if (error > 0) d.max_over_bound = std::max(d.max_over_bound, error / allowed);
  }
  return d;
}

}  // namespace h5neural::tool

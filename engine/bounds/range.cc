// range.cc: see range.h.
#include "bounds/range.h"

#include <algorithm>
#include <cstddef>
#include <limits>

namespace h5neural {
namespace {

// What decides about the two extreme values among those between two limits.
struct Ends {
  std::size_t all = 0, at_low = 0, at_high = 0;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  double above_low = low, below_high = -low;  // their nearest other values
};

template <class T>
Ends find_ends(std::span<const T> v, std::span<const uint8_t> skip, double from, double to) {
  constexpr T kMost = std::numeric_limits<T>::infinity();
  const T least = static_cast<T>(from), most = static_cast<T>(to);
  const auto value = [&](std::size_t k, T otherwise) {
    const bool use = (skip.empty() || skip[k] == 0) && v[k] >= least && v[k] <= most;
    return use ? v[k] : otherwise;
  };
  T low = kMost, high = -kMost;
  for (std::size_t k = 0; k < v.size(); ++k) {
    low = std::min(low, value(k, kMost));
    high = std::max(high, value(k, -kMost));
  }
  Ends e;
  e.low = double(low);
  e.high = double(high);
  T above = kMost, below = -kMost;
  for (std::size_t k = 0; k < v.size(); ++k) {
    const T x = value(k, kMost);
    if (x == kMost) continue;
    ++e.all;
    e.at_low += x == low;
    e.at_high += x == high;
    if (x > low) above = std::min(above, x);
    if (x < high) below = std::max(below, x);
  }
  e.above_low = double(above);
  e.below_high = double(below);
  return e;
}

bool stands_apart(std::size_t copies, std::size_t all, double gap, double whole, double rest) {
  if (copies == all) return false;
  const bool many = double(copies) > 0.005 * double(all) && gap > 0.1 * whole;
  const bool far = copies >= 2 && gap > 100 * rest && rest > 0;
  return many || far;
}

}  // namespace

template <class T>
ValueRange value_range(std::span<const T> v, std::span<const uint8_t> skip) {
  ValueRange r;
  double from = double(-std::numeric_limits<T>::max()), to = -from;
  while (true) {
    const Ends e = find_ends(v, skip, from, to);
    if (e.all == 0) return r;
    r.low = e.low;
    r.high = e.high;
    if (e.low == e.high) return r;
    const double whole = e.high - e.low;
    if (stands_apart(e.at_low, e.all, e.above_low - e.low, whole, e.high - e.above_low)) {
      r.sentinels.push_back(e.low);
      from = e.above_low;
    } else if (stands_apart(e.at_high, e.all, e.high - e.below_high, whole, e.below_high - e.low)) {
      r.sentinels.push_back(e.high);
      to = e.below_high;
    } else {
      return r;
    }
  }
}

template ValueRange value_range(std::span<const float>, std::span<const uint8_t>);
template ValueRange value_range(std::span<const double>, std::span<const uint8_t>);

}  // namespace h5neural

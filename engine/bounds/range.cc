// range.cc: see range.h.
#include "bounds/range.h"

#include <algorithm>
#include <cstddef>

namespace h5neural {
namespace {

bool stands_apart(std::size_t copies, std::size_t all, double gap, double whole, double rest) {
  if (copies == all) return false;
  const bool many = double(copies) > 0.005 * double(all) && gap > 0.1 * whole;
  const bool far = copies >= 2 && gap > 100 * rest && rest > 0;
  return many || far;
}

}  // namespace

ValueRange value_range(std::vector<double> v) {
  ValueRange r;
  std::sort(v.begin(), v.end());
  auto first = v.begin(), last = v.end();
  while (first != last) {
    const double low = *first, high = *(last - 1);
    r.low = low;
    r.high = high;
    if (low == high) break;
    const auto after_low = std::upper_bound(first, last, low);
    const auto before_high = std::lower_bound(first, last, high);
    const auto all = static_cast<std::size_t>(last - first);
    if (stands_apart(static_cast<std::size_t>(after_low - first), all, *after_low - low, high - low,
                     high - *after_low)) {
      r.sentinels.push_back(low);
      first = after_low;
    } else if (stands_apart(static_cast<std::size_t>(last - before_high), all, high - *(before_high - 1),
                            high - low, *(before_high - 1) - low)) {
      r.sentinels.push_back(high);
      last = before_high;
    } else {
      break;
    }
  }
  return r;
}

}  // namespace h5neural

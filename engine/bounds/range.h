// range.h: the value range of a chunk without its specials, and the sentinels among its values.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace h5neural {

struct ValueRange {
  double low = 0, high = 0;
  std::vector<double> sentinels;  // extreme values outside low .. high that are fill in all but name
};

// A sentinel is an extreme value that stands apart: one that fills more than 0.5 % of the chunk and lies more
// than a tenth of the range from its neighbour, or one that occurs at least twice and lies a hundred times
// the range of the rest away (the padding of an edge chunk). `values`: all but those that `skip` (may be
// empty) marks are finite.
template <class T>
ValueRange value_range(std::span<const T> values, std::span<const uint8_t> skip);

}  // namespace h5neural

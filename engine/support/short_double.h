// short_double.h: positive doubles in three bytes: the eleven bits of the exponent and the upper thirteen of
// the mantissa, for bounds and units, where 1 part in 8192 costs nothing.
#pragma once
#include <bit>
#include <cstdint>

#include "support/bytes.h"

namespace h5neural {

constexpr int kShortDoubleCut = 63 - 24;  // bits of a double that are left out

// The largest short double that is not above x >= 0.
inline double short_double_below(double x) {
  return std::bit_cast<double>(std::bit_cast<uint64_t>(x) >> kShortDoubleCut << kShortDoubleCut);
}

// The smallest that is not below x >= 0; x itself where it is infinite.
inline double short_double_above(double x) {
  const double below = short_double_below(x);
  if (below == x) return x;
  return std::bit_cast<double>(std::bit_cast<uint64_t>(below) + (uint64_t{1} << kShortDoubleCut));
}

// x: a short double.
inline void write_short_double(ByteWriter& w, double x) {
  const uint64_t bits = std::bit_cast<uint64_t>(x) >> kShortDoubleCut;
  for (int shift = 0; shift < 24; shift += 8) w.put(static_cast<uint8_t>(bits >> shift));
}

inline double read_short_double(ByteReader& r) {
  uint64_t bits = 0;
  for (int shift = 0; shift < 24; shift += 8) bits |= uint64_t{r.get<uint8_t>()} << shift;
  return std::bit_cast<double>(bits << kShortDoubleCut);
}

}  // namespace h5neural

// lattice.h: the integer lattice on which a chunk is coded, and the one inexact step of the reader: from a
// lattice point to a stored value.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "support/bytes.h"

namespace h5neural {

// The bits of a float, as a number that grows with the value: a piecewise-linear logarithm on each side of
// zero.
template <class T>
int64_t ordered_bits(T x) {
  using U = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  const U bits = std::bit_cast<U>(x);
  constexpr U kSign = U{1} << (8 * sizeof(T) - 1);
  const auto magnitude = static_cast<int64_t>(bits & ~kSign);
  return bits & kSign ? -magnitude : magnitude;
}

template <class T>
T from_ordered_bits(int64_t i) {
  using U = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  constexpr U kSign = U{1} << (8 * sizeof(T) - 1);
  constexpr auto kMost = static_cast<uint64_t>(kSign - 1);
  uint64_t magnitude = i < 0 ? 0 - static_cast<uint64_t>(i) : static_cast<uint64_t>(i);
  if (magnitude > kMost) magnitude = kMost;
  return std::bit_cast<T>(static_cast<U>(static_cast<U>(magnitude) | (i < 0 ? kSign : U{0})));
}

struct Lattice {
  enum Domain : uint8_t { kLinear = 0, kBits = 1 };
  Domain domain = kLinear;
  int step_bits = 0;     // a quantisation bin is 2^step_bits lattice units
  double unit = 1;       // linear: a lattice unit in the unit of the data, a short double
  int64_t bit_unit = 1;  // bits: a lattice unit in units of the last place
  int64_t origin = 0;    // lattice point 0 of the coder, in lattice units

  // The stored value of lattice point n: one IEEE multiplication (linear), or integer arithmetic alone
  // (bits).
  template <class T>
  T value(int32_t n) const {
    if (domain == kBits) {
      return from_ordered_bits<T>(static_cast<int64_t>(
          (static_cast<uint64_t>(n) + static_cast<uint64_t>(origin)) * static_cast<uint64_t>(bit_unit)));
    }
    return static_cast<T>(static_cast<double>(n + origin) * unit);
  }

  void write(ByteWriter& w) const;
  static Lattice read(ByteReader& r);
};

// Lattice for values between low and high that must come back within `bound` (absolute). `half_ulp`: the
// largest rounding error of a stored value in that range. Returns false where no lattice is fine enough.
bool linear_lattice(double low, double high, double bound, double half_ulp, Lattice& lattice);

// Lattice on the ordered bits between low and high, for values that must come back within `reach` units in
// the last place (0: exactly).
bool bits_lattice(int64_t low, int64_t high, uint64_t reach, Lattice& lattice);

}  // namespace h5neural

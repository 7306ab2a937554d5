// lattice.cc: see lattice.h.
#include "bounds/lattice.h"

#include <cmath>

#include "support/short_double.h"

namespace h5neural {
namespace {

// Bins are divided by up to 2^4, so that predictions are finer than a bin; fewer where the range asks for it.
constexpr int kStepBits = 4;
constexpr double kMostPoints = double(1 << 28);  // room for predictions beyond the range
constexpr int64_t kMostOrigin = int64_t{1} << 51;

uint64_t zigzag(int64_t v) { return static_cast<uint64_t>(v) << 1 ^ static_cast<uint64_t>(v >> 63); }
int64_t unzigzag(uint64_t v) { return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1); }

}  // namespace

bool linear_lattice(double low, double high, double bound, double half_ulp, Lattice& l) {
  // Rounding to the stored type takes its share of the bound; where it takes too much the chunk is kept
  // exactly.
  const double room = bound - half_ulp;
  if (!(room > bound / 4)) return false;
  l.domain = Lattice::kLinear;
  for (l.step_bits = kStepBits; l.step_bits >= 0; --l.step_bits) {
    // The rest covers the rounding of this arithmetic.
    l.unit = short_double_below(std::ldexp(2 * room, -l.step_bits) * (1 - 0x1p-40));
    if (!std::isnormal(l.unit)) continue;
    const double points = (high - low) / l.unit;
    const double middle = std::nearbyint((low / 2 + high / 2) / l.unit);
    if (points <= kMostPoints && std::abs(middle) <= double(kMostOrigin)) {
      l.origin = static_cast<int64_t>(middle);
      return true;
    }
  }
  return false;
}

bool bits_lattice(int64_t low, int64_t high, uint64_t reach, Lattice& l) {
  l.domain = Lattice::kBits;
  const uint64_t bin = 2 * reach + 1;
  for (l.step_bits = reach == 0 ? 0 : kStepBits; l.step_bits >= 0; --l.step_bits) {
    l.bit_unit = static_cast<int64_t>(bin >> l.step_bits);
    if (l.bit_unit == 0) continue;
    // A bin of 2^step_bits units must not lose much of the width that the bound allows.
    if (l.step_bits > 0 && (static_cast<uint64_t>(l.bit_unit) << l.step_bits) < bin - bin / 8) continue;
    const uint64_t points =
        (static_cast<uint64_t>(high) - static_cast<uint64_t>(low)) / static_cast<uint64_t>(l.bit_unit);
    if (points > static_cast<uint64_t>(kMostPoints)) continue;
    l.origin = (low / 2 + high / 2) / l.bit_unit;
    return true;
  }
  return false;
}

void Lattice::write(ByteWriter& w) const {
  w.put(static_cast<uint8_t>(domain << 4 | step_bits));
  if (domain == kLinear) {
    write_short_double(w, unit);
  } else {
    w.varint(static_cast<uint64_t>(bit_unit));
  }
  w.varint(zigzag(origin));
}

Lattice Lattice::read(ByteReader& r) {
  Lattice l;
  const auto b = r.get<uint8_t>();
  if (b >> 4 > kBits || (b & 15) > kStepBits) fail_corrupt("its lattice is unknown");
  l.domain = static_cast<Domain>(b >> 4);
  l.step_bits = b & 15;
  if (l.domain == kLinear) {
    l.unit = read_short_double(r);
    if (!std::isnormal(l.unit)) fail_corrupt("its lattice has no unit");
  } else {
    l.bit_unit = static_cast<int64_t>(r.varint());
    if (l.bit_unit <= 0) fail_corrupt("its lattice has no unit");
  }
  l.origin = unzigzag(r.varint());
  if (l.domain == kLinear && (l.origin > kMostOrigin || l.origin < -kMostOrigin))
    fail_corrupt("its lattice lies too far off");
  return l;
}

}  // namespace h5neural

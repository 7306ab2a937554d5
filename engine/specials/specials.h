// specials.h: values that the lattice does not carry and that come back bit for bit: NaN, infinities, minus
// zero, fill values and sentinels (a class for every point, known before the walk, which leaves these points
// out), and outliers that the walk could not bring inside the bound (a list, applied last).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "support/bytes.h"
#include "support/extents.h"

namespace h5neural {

struct Specials {
  // Class of every point: 0 regular, 1 .. patterns.size() a pattern, above: a literal. Empty: all regular.
  std::vector<uint8_t> classes;
  std::vector<uint64_t> patterns;  // IEEE bits
  std::vector<uint64_t> literals;  // IEEE bits of the points of class patterns.size() + 1, in order
  struct Outlier {
    uint64_t index, bits;
  };
  std::vector<Outlier> outliers;  // ascending

  uint64_t count() const;  // of values that are stored literally
};
constexpr size_t kMaxPatterns = 200;

// Empty when there is nothing special.
Bytes write_specials(const Specials& s, const Extents& extents, int element_bytes);
Specials read_specials(ByteSpan section, const Extents& extents, int element_bytes);

}  // namespace h5neural

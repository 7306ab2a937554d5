// repeats.h: the other way to code lattice points, for fields made of equal or repeating values (layers,
// labels, packed integers): points on the plain lattice, differenced along one axis, by zstd, which finds the
// repeats.
#pragma once
#include <span>

#include "support/bytes.h"
#include "support/extents.h"

namespace h5neural {

// Writer: share of the points equal to a neighbour along the last or the last but one axis; what makes it
// worth trying.
double repeated_share(std::span<const int32_t> points, const Extents& extents);

// Section: u8 form | zstd frame of little-endian int16 or int32. The smallest of the forms, found at a low
// effort; coded at full effort only where that may come below `bar` bytes, else empty.
Bytes encode_repeats(std::span<const int32_t> points, const Extents& extents, int effort, size_t bar);
void decode_repeats(ByteSpan section, const Extents& extents, std::span<int32_t> points);

}  // namespace h5neural

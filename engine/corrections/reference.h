// reference.h: the pattern that persists along one axis of a chunk (the climatology of a stack of maps): its
// mean over that axis, itself coded by the walk, finer than the bound, and then the base of the walk over the
// whole chunk.
#pragma once
#include <optional>

#include "corrections/walk.h"

namespace h5neural {

constexpr uint8_t kPlacesLearn = 8;  // beside the axis, in the byte before a reference

// Writer: the axis (of the folded extents) along which the field repeats a pattern best, where it does so
// enough to be worth trying.
std::optional<int> reference_axis(const WalkInput& in, std::span<const double> target);

// Writer. Section: the walk over the mean. `base` receives what the reader will get, spread over the chunk.
Bytes encode_reference(const WalkInput& in, int axis, std::span<const double> target,
                       const WalkEffort& effort, std::vector<int32_t>& base);

// Reader.
std::vector<int32_t> decode_reference(const WalkInput& in, int axis, ByteSpan section);

}  // namespace h5neural

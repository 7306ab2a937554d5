// exact_bytes.h: chunks kept bit for bit as bytes: shuffled (and differenced) for zstd; and the byte order of
// elements.
#pragma once
#include <span>

#include "support/bytes.h"

namespace h5neural {

// The smallest of a few lossless forms, found at a low effort; `bar`: coded at full effort only where that
// may come below this size (otherwise the quick result is returned). Section: u8 form (0 plain, 1 shuffled,
// 2 differenced and shuffled) | zstd frame.
Bytes pack_exact(ByteSpan raw, size_t element_bytes, int effort, size_t bar);
void unpack_exact(ByteSpan section, size_t element_bytes, std::span<uint8_t> out);

void swap_bytes(std::span<uint8_t> elements, size_t element_bytes);

}  // namespace h5neural

// decode.h: from a payload to a chunk.
#pragma once
#include <span>

#include "payload/header.h"

namespace h5neural {

// `out`: exactly payload.raw_bytes(). Checks the hash of the decoded values. Throws Failure.
void decode_payload(const Payload& payload, std::span<uint8_t> out);

// For a look, fast: the base field of a model, else the coarse levels of the walk; what has neither comes as
// it decodes. Specials stand where they belong. Returns H5N_SHOWN_*. Throws Failure.
uint32_t preview_payload(const Payload& payload, std::span<uint8_t> out);

// Number of values stored literally, from the specials section alone.
uint64_t count_specials(const Payload& payload);

}  // namespace h5neural

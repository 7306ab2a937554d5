// decode.h: from a payload to a chunk.
#pragma once
#include <span>

#include "payload/header.h"

namespace h5neural {

// `out`: exactly payload.raw_bytes(). Checks the hash of the decoded values. Throws Failure.
void decode_payload(const Payload& payload, std::span<uint8_t> out);

// Number of values stored literally, from the specials section alone.
uint64_t count_specials(const Payload& payload);

}  // namespace h5neural

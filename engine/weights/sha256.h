// sha256.h: SHA-256 of a sequence of bytes (FIPS 180-4, 2015). It names weights files; nothing here is
// secret. Knows nothing of weights.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "support/bytes.h"

namespace h5neural {

using Sha256 = std::array<uint8_t, 32>;

Sha256 sha256(ByteSpan data);
// 64 lower-case hexadecimal digits.
std::string hex(const Sha256& digest);
// From 64 hexadecimal digits. Throws Failure(H5N_ERR_ARGUMENT).
Sha256 parse_sha256(const std::string& digits);
// The first 64 bits, big endian: how parameters and payloads name a weights file.
uint64_t short_hash(const Sha256& digest);
// 16 hexadecimal digits: how messages print that name.
std::string hex(uint64_t hash);

}  // namespace h5neural

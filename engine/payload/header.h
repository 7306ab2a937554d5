// header.h: the header and the sections of a payload, version 1. docs/format.md describes every byte. Knows
// nothing of what the sections hold.
#pragma once
#include "support/bytes.h"
#include "support/extents.h"

namespace h5neural {

constexpr unsigned kPayloadVersion = 1;  // 15 is kept for a longer field
constexpr size_t kMaxHeader = 64;

struct Payload {
  uint32_t kind = H5N_KIND_RAW, mode = H5N_LOSSLESS, type = H5N_FLOAT32;
  bool big_endian = false;
  double bound = 0;      // as asked for
  double abs_bound = 0;  // stored for rel and the L2 modes, as a short double (support/short_double.h)
  uint64_t model = 0;
  Extents extents;
  uint32_t values_hash = 0;  // of the decoded bytes
  ByteSpan latents, corrections, specials;
  size_t header_bytes = 0;  // when parsed

  uint64_t element_bytes() const { return type == H5N_FLOAT32 ? 4 : 8; }
  uint64_t raw_bytes() const { return extents.count() * element_bytes(); }
};

// Header, sections and checksum in one piece.
Bytes write_payload(const Payload& p);

// Checks the checksum over every byte, then the header. The sections point into `bytes`.
Payload parse_payload(ByteSpan bytes);

// Low 32 bits of XXH3: of decoded values.
uint32_t hash_values(ByteSpan bytes);

}  // namespace h5neural

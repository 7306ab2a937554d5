// header.cc: see header.h.
#include "payload/header.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cmath>

namespace h5neural {
namespace {

constexpr uint8_t kMagic[2] = {'h', 'N'};
constexpr size_t kChecksumAt = 4, kChecksumEnd = 8;
constexpr uint8_t kBigEndian = 0x10, kHasModel = 0x20, kHasAbsBound = 0x40;

// Over every byte but its own four.
uint32_t checksum(ByteSpan b) {
  XXH3_state_t s;
  XXH3_64bits_reset(&s);
  XXH3_64bits_update(&s, b.data(), kChecksumAt);
  XXH3_64bits_update(&s, b.data() + kChecksumEnd, b.size() - kChecksumEnd);
  return static_cast<uint32_t>(XXH3_64bits_digest(&s));
}

bool stores_abs_bound(uint32_t mode) { return mode == H5N_REL || mode == H5N_PSNR || mode == H5N_NRMSE; }

}  // namespace

uint32_t hash_values(ByteSpan b) { return static_cast<uint32_t>(XXH3_64bits(b.data(), b.size())); }

Bytes write_payload(const Payload& p) {
  ByteWriter w;
  w.put(kMagic[0]);
  w.put(kMagic[1]);
  w.put(kPayloadVersion);
  w.put(static_cast<uint8_t>(p.kind));
  w.put<uint32_t>(0);  // checksum
  w.put<uint32_t>(p.values_hash);
  w.put(static_cast<uint8_t>(p.mode));
  w.put(static_cast<uint8_t>(p.type | (p.big_endian ? kBigEndian : 0) | (p.model ? kHasModel : 0) |
                             (stores_abs_bound(p.mode) ? kHasAbsBound : 0)));
  w.put(static_cast<uint8_t>(p.extents.rank));
  for (int a = 0; a < p.extents.rank; ++a) w.varint(p.extents.n[a]);
  if (p.mode != H5N_LOSSLESS) w.put(p.bound);
  if (stores_abs_bound(p.mode)) w.put(p.abs_bound);
  if (p.model) w.put(p.model);
  w.varint(p.latents.size());
  w.varint(p.specials.size());
  w.bytes(p.latents);
  w.bytes(p.specials);
  w.bytes(p.corrections);
  Bytes out = w.take();
  const uint32_t c = checksum(out);
  std::memcpy(out.data() + kChecksumAt, &c, sizeof c);
  return out;
}

Payload parse_payload(ByteSpan bytes) {
  if (bytes.size() < kChecksumEnd)
    fail_corrupt("it is shorter than the checksum; or it was not written by h5neural");
  uint32_t stored;
  std::memcpy(&stored, bytes.data() + kChecksumAt, sizeof stored);
  if (stored != checksum(bytes))
    fail_corrupt("its checksum does not match; or it was not written by h5neural");
  ByteReader r(bytes);
  if (r.get<uint8_t>() != kMagic[0] || r.get<uint8_t>() != kMagic[1])
    fail_corrupt("it does not begin as a payload");
  const auto version = r.get<uint8_t>();
  if (version != kPayloadVersion) {
    throw Failure(H5N_ERR_VERSION, "h5neural: the chunk has payload version " + std::to_string(version) +
                                       ", this library reads version " + std::to_string(kPayloadVersion) +
                                       "; install a newer h5neural");
  }
  Payload p;
  p.kind = r.get<uint8_t>();
  r.take(4);
  p.values_hash = r.get<uint32_t>();
  p.mode = r.get<uint8_t>();
  const auto flags = r.get<uint8_t>();
  p.type = flags & 15u;
  p.big_endian = flags & kBigEndian;
  p.extents.rank = r.get<uint8_t>();
  if (p.kind > H5N_KIND_TRANSFORM || p.mode > H5N_NRMSE || (p.type != H5N_FLOAT32 && p.type != H5N_FLOAT64) ||
      p.extents.rank < 1 || p.extents.rank > H5N_MAX_RANK || (flags & 0x80) ||
      bool(flags & kHasAbsBound) != stores_abs_bound(p.mode)) {
    fail_corrupt("a field of its header is out of range");
  }
  uint64_t count = 1;
  for (int a = 0; a < p.extents.rank; ++a) {
    p.extents.n[a] = r.varint();
    if (p.extents.n[a] == 0 || p.extents.n[a] > UINT32_MAX || (count *= p.extents.n[a]) > UINT32_MAX) {
      fail_corrupt("its extents are out of range");
    }
  }
  if (p.mode != H5N_LOSSLESS) p.bound = r.get<double>();
  p.abs_bound = p.mode == H5N_ABS ? p.bound : p.mode == H5N_RATIO ? std::nan("") : 0;
  if (flags & kHasAbsBound) p.abs_bound = r.get<double>();
  if (flags & kHasModel) p.model = r.get<uint64_t>();
  const uint64_t latents = r.varint(), specials = r.varint();
  p.header_bytes = bytes.size() - r.left();
  p.latents = r.take(latents);
  p.specials = r.take(specials);
  p.corrections = r.take(r.left());
  return p;
}

}  // namespace h5neural

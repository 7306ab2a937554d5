// header.cc: see header.h.
#include "payload/header.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cmath>
#include <iterator>

#include "support/short_double.h"

namespace h5neural {
namespace {

constexpr uint8_t kMagic[2] = {'h', 'N'};
constexpr size_t kChecksumAt = 3, kChecksumEnd = 7;
// The byte of mode, rank and type.
constexpr unsigned kModeBits = 7, kRankShift = 3, kFloat64 = 0x40, kBigEndian = 0x80;
// The byte of what follows; its upper six bits say how the bound is written.
constexpr unsigned kHasModel = 1, kHasSpecials = 2, kBoundShift = 2;

// Over every byte but its own four.
uint32_t checksum(ByteSpan b) {
  XXH3_state_t s;
  XXH3_64bits_reset(&s);
  XXH3_64bits_update(&s, b.data(), kChecksumAt);
  XXH3_64bits_update(&s, b.data() + kChecksumEnd, b.size() - kChecksumEnd);
  return static_cast<uint32_t>(XXH3_64bits_digest(&s));
}

bool stores_abs_bound(uint32_t mode) { return mode == H5N_REL || mode >= H5N_PSNR; }

// A bound as people give it, 0.001 or 75, as a whole number over a power of ten: both are doubles without
// error, so the quotient is the double nearest to the decimal number. Other bounds as a double.
struct WrittenBound {
  static constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  static constexpr unsigned kDouble = 63;
  static constexpr uint64_t kMostNumber = uint64_t{1} << 28;  // four bytes; beyond, a double is as short

  unsigned form = kDouble;  // the power of ten, or kDouble
  uint64_t number = 0;

  explicit WrittenBound(double bound) {
    for (unsigned k = 0; k < std::size(kPowers); ++k) {
      const double n = std::nearbyint(bound * kPowers[k]);
      if (!(n >= 0 && n < double(kMostNumber)) || n / kPowers[k] != bound) continue;
      form = k;
      number = static_cast<uint64_t>(n);
      return;
    }
  }

  static double read(ByteReader& r, unsigned form) {
    if (form == kDouble) return r.get<double>();
    const uint64_t n = r.varint();
    if (form >= std::size(kPowers) || n >= kMostNumber) fail_corrupt("its bound is out of range");
    return double(n) / kPowers[form];
  }
};

}  // namespace

uint32_t hash_values(ByteSpan b) { return static_cast<uint32_t>(XXH3_64bits(b.data(), b.size())); }

Bytes write_payload(const Payload& p) {
  const WrittenBound bound(p.bound);
  const bool bounded = p.mode != H5N_LOSSLESS;
  ByteWriter w;
  w.put(kMagic[0]);
  w.put(kMagic[1]);
  w.put(static_cast<uint8_t>(kPayloadVersion << 4 | p.kind));
  w.put<uint32_t>(0);  // checksum
  w.put<uint32_t>(p.values_hash);
  w.put(static_cast<uint8_t>(p.mode | static_cast<unsigned>(p.extents.rank - 1) << kRankShift |
                             (p.type == H5N_FLOAT64 ? kFloat64 : 0) | (p.big_endian ? kBigEndian : 0)));
  w.put(static_cast<uint8_t>((p.model ? kHasModel : 0) | (p.specials.empty() ? 0 : kHasSpecials) |
                             (bounded ? bound.form << kBoundShift : 0)));
  for (int a = 0; a < p.extents.rank; ++a) w.varint(p.extents.n[a]);
  if (bounded && bound.form == WrittenBound::kDouble) w.put(p.bound);
  if (bounded && bound.form != WrittenBound::kDouble) w.varint(bound.number);
  if (stores_abs_bound(p.mode)) write_short_double(w, p.abs_bound);
  if (p.model) {
    w.put(p.model);
    w.varint(p.latents.size());
  }
  if (!p.specials.empty()) w.varint(p.specials.size());
  w.bytes(p.latents);
  w.bytes(p.specials);
  w.bytes(p.corrections);
  Bytes out = w.take();
  const uint32_t c = checksum(out);
  std::memcpy(out.data() + kChecksumAt, &c, sizeof c);
  return out;
}

namespace {

void read_extents(ByteReader& r, Extents& e) {
  uint64_t count = 1;
  for (int a = 0; a < e.rank; ++a) {
    e.n[a] = r.varint();
    if (e.n[a] == 0 || e.n[a] > UINT32_MAX || (count *= e.n[a]) > UINT32_MAX)
      fail_corrupt("its extents are out of range");
  }
}

}  // namespace

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
  const unsigned version_and_kind = r.get<uint8_t>();
  if (version_and_kind >> 4 != kPayloadVersion) {
    throw Failure(H5N_ERR_VERSION, "h5neural: the chunk has payload version " +
                                       std::to_string(version_and_kind >> 4) +
                                       ", this library reads version " + std::to_string(kPayloadVersion) +
                                       "; install a newer h5neural");
  }
  Payload p;
  p.kind = version_and_kind & 15;
  r.take(4);
  p.values_hash = r.get<uint32_t>();
  const unsigned what = r.get<uint8_t>(), follows = r.get<uint8_t>();
  p.mode = what & kModeBits;
  p.extents.rank = static_cast<int>((what >> kRankShift & 7) + 1);
  p.type = what & kFloat64 ? H5N_FLOAT64 : H5N_FLOAT32;
  p.big_endian = what & kBigEndian;
  const unsigned form = follows >> kBoundShift;
  if (p.kind > H5N_KIND_FRAMES || p.mode > H5N_BLOCK_NRMSE || (p.mode == H5N_LOSSLESS && form != 0))
    fail_corrupt("a field of its header is out of range");
  read_extents(r, p.extents);
  if (p.mode != H5N_LOSSLESS) p.bound = WrittenBound::read(r, form);
  p.abs_bound = p.mode == H5N_ABS ? p.bound : p.mode == H5N_RATIO ? std::nan("") : 0;
  if (stores_abs_bound(p.mode)) p.abs_bound = read_short_double(r);
  if (follows & kHasModel) p.model = r.get<uint64_t>();
  const uint64_t latents = follows & kHasModel ? r.varint() : 0;
  const uint64_t specials = follows & kHasSpecials ? r.varint() : 0;
  p.header_bytes = bytes.size() - r.left();
  p.latents = r.take(latents);
  p.specials = r.take(specials);
  p.corrections = r.take(r.left());
  return p;
}

}  // namespace h5neural

// exact_bytes.cc: see exact_bytes.h.
#include "codec/exact_bytes.h"

#include <zstd.h>

#include <algorithm>

namespace h5neural {
namespace {

constexpr uint8_t kDifferenced = 1;

// Element i minus element i - 1, as unsigned integers.
template <class U>
void difference(std::span<uint8_t> b) {
  U before = 0;
  for (size_t k = 0; k + sizeof(U) <= b.size(); k += sizeof(U)) {
    U v;
    std::memcpy(&v, b.data() + k, sizeof v);
    const U d = static_cast<U>(v - before);
    std::memcpy(b.data() + k, &d, sizeof d);
    before = v;
  }
}

template <class U>
void integrate(std::span<uint8_t> b) {
  U sum = 0;
  for (size_t k = 0; k + sizeof(U) <= b.size(); k += sizeof(U)) {
    U d;
    std::memcpy(&d, b.data() + k, sizeof d);
    sum = static_cast<U>(sum + d);
    std::memcpy(b.data() + k, &sum, sizeof sum);
  }
}

// Byte j of every element together.
Bytes shuffle(ByteSpan b, size_t size) {
  const size_t n = b.size() / size;
  Bytes out(b.size());
  for (size_t j = 0; j < size; ++j) {
    for (size_t k = 0; k < n; ++k) out[j * n + k] = b[k * size + j];
  }
  return out;
}

Bytes compress(const Bytes& shuffled, uint8_t form, int level) {
  Bytes out(1 + ZSTD_compressBound(shuffled.size()));
  out[0] = form;
  const size_t n = ZSTD_compress(out.data() + 1, out.size() - 1, shuffled.data(), shuffled.size(), level);
  if (ZSTD_isError(n)) throw Failure(H5N_ERR_MEMORY, "h5neural: zstd could not compress the chunk; use smaller chunks");
  out.resize(1 + n);
  return out;
}

}  // namespace

Bytes pack_exact(ByteSpan raw, size_t size, int effort) {
  const int level = 1 + 2 * std::clamp(effort, 0, 9);
  const Bytes plain = compress(shuffle(raw, size), 0, level);
  Bytes d(raw.begin(), raw.end());
  if (size == 4) {
    difference<uint32_t>(d);
  } else {
    difference<uint64_t>(d);
  }
  Bytes differenced = compress(shuffle(d, size), kDifferenced, level);
  return plain.size() <= differenced.size() ? plain : differenced;
}

void unpack_exact(ByteSpan section, size_t size, std::span<uint8_t> out) {
  if (section.empty() || section[0] > kDifferenced) fail_corrupt("its lossless form is unknown");
  Bytes shuffled(out.size());
  const size_t n = ZSTD_decompress(shuffled.data(), shuffled.size(), section.data() + 1, section.size() - 1);
  if (ZSTD_isError(n) || n != out.size()) fail_corrupt("its lossless section does not decode");
  const size_t count = out.size() / size;
  for (size_t j = 0; j < size; ++j) {
    for (size_t k = 0; k < count; ++k) out[k * size + j] = shuffled[j * count + k];
  }
  if (section[0] & kDifferenced) {
    if (size == 4) {
      integrate<uint32_t>(out);
    } else {
      integrate<uint64_t>(out);
    }
  }
}

void swap_bytes(std::span<uint8_t> elements, size_t size) {
  for (size_t k = 0; k + size <= elements.size(); k += size) std::reverse(elements.data() + k, elements.data() + k + size);
}

}  // namespace h5neural

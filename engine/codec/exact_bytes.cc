// exact_bytes.cc: see exact_bytes.h.
#include "codec/exact_bytes.h"

#include <zstd.h>

#include <algorithm>

namespace h5neural {
namespace {

enum Form : uint8_t { kPlain = 0, kShuffled = 1, kDifferenced = 2 };

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

Bytes compress(ByteSpan bytes, Form form, int level) {
  Bytes out(1 + ZSTD_compressBound(bytes.size()));
  out[0] = form;
  const size_t n = ZSTD_compress(out.data() + 1, out.size() - 1, bytes.data(), bytes.size(), level);
  if (ZSTD_isError(n))
    throw Failure(H5N_ERR_MEMORY, "h5neural: zstd could not compress the chunk; use smaller chunks");
  out.resize(1 + n);
  return out;
}

// About the bytes that the quickest forms leave, from a part in the middle.
double estimate(ByteSpan raw, size_t size) {
  constexpr size_t kLeast = 16384;
  const size_t part = std::min(raw.size(), std::max(kLeast, raw.size() / 16)) / size * size;
  const ByteSpan middle = raw.subspan((raw.size() - part) / 2 / size * size, part);
  const size_t least =
      std::min(compress(middle, kPlain, 1).size(), compress(shuffle(middle, size), kShuffled, 1).size());
  return double(least) * double(raw.size()) / double(std::max<size_t>(1, part));
}

}  // namespace

Bytes pack_exact(ByteSpan raw, size_t size, int effort, size_t bar) {
  constexpr int kQuickLevel = 1;
  constexpr double kHopeless = 4;  // times the bar
  if (effort < 9 && estimate(raw, size) > kHopeless * double(bar)) return {};
  constexpr double kMostGain = 1.6;  // of full effort over the quick one
  Bytes source(raw.begin(), raw.end());
  Bytes best = compress(source, kPlain, kQuickLevel);
  const auto offer = [&](Bytes bytes, Form form) {
    Bytes candidate = compress(bytes, form, kQuickLevel);
    if (candidate.size() >= best.size()) return;
    best = std::move(candidate);
    source = std::move(bytes);
  };
  offer(shuffle(raw, size), kShuffled);
  Bytes d(raw.begin(), raw.end());
  if (size == 4) {
    difference<uint32_t>(d);
  } else {
    difference<uint64_t>(d);
  }
  offer(shuffle(d, size), kDifferenced);
  if (effort == 0 || double(best.size()) > kMostGain * double(bar)) return best;
  Bytes thorough = compress(source, static_cast<Form>(best[0]), 1 + 2 * std::clamp(effort, 0, 9));
  return thorough.size() < best.size() ? thorough : best;
}

void unpack_exact(ByteSpan section, size_t size, std::span<uint8_t> out) {
  if (section.empty() || section[0] > kDifferenced) fail_corrupt("its lossless form is unknown");
  Bytes shuffled(out.size());
  uint8_t* const to = section[0] == kPlain ? out.data() : shuffled.data();
  const size_t n = ZSTD_decompress(to, out.size(), section.data() + 1, section.size() - 1);
  if (ZSTD_isError(n) || n != out.size()) fail_corrupt("its lossless section does not decode");
  if (section[0] == kPlain) return;
  const size_t count = out.size() / size;
  for (size_t j = 0; j < size; ++j) {
    for (size_t k = 0; k < count; ++k) out[k * size + j] = shuffled[j * count + k];
  }
  if (section[0] == kDifferenced) {
    if (size == 4) {
      integrate<uint32_t>(out);
    } else {
      integrate<uint64_t>(out);
    }
  }
}

void swap_bytes(std::span<uint8_t> elements, size_t size) {
  for (size_t k = 0; k + size <= elements.size(); k += size)
    std::reverse(elements.data() + k, elements.data() + k + size);
}

}  // namespace h5neural

// repeats.cc: see repeats.h.
#include "corrections/repeats.h"

#include <zstd.h>

#include <algorithm>

namespace h5neural {
namespace {

// Form byte: bits 0-1 what a point is differenced from, bit 2: 32-bit numbers (else 16).
enum From : uint8_t { kNothing = 0, kPointBefore = 1, kRowBefore = 2, kForms = 3 };
constexpr uint8_t kWide = 4;

size_t jump(From from, const Extents& e) { return from == kRowBefore ? e.n[e.rank - 1] : 1; }

template <class Int>
Bytes difference(std::span<const int32_t> points, From from, size_t back) {
  Bytes out(points.size() * sizeof(Int));
  for (size_t k = 0; k < points.size(); ++k) {
    const uint32_t before = from != kNothing && k >= back ? static_cast<uint32_t>(points[k - back]) : 0;
    const auto d = static_cast<Int>(static_cast<uint32_t>(points[k]) - before);
    std::memcpy(out.data() + k * sizeof d, &d, sizeof d);
  }
  return out;
}

// Whether every number that would be written fits 16 bits.
bool narrow(std::span<const int32_t> points, From from, size_t back) {
  for (size_t k = 0; k < points.size(); ++k) {
    const int64_t d = int64_t{points[k]} - (from != kNothing && k >= back ? points[k - back] : 0);
    if (d < INT16_MIN || d > INT16_MAX) return false;
  }
  return true;
}

template <class Int>
void integrate(const Bytes& in, From from, size_t back, std::span<int32_t> points) {
  for (size_t k = 0; k < points.size(); ++k) {
    Int d;
    std::memcpy(&d, in.data() + k * sizeof d, sizeof d);
    const uint32_t before = from != kNothing && k >= back ? static_cast<uint32_t>(points[k - back]) : 0;
    points[k] = static_cast<int32_t>(before + static_cast<uint32_t>(int32_t{d}));
  }
}

}  // namespace

double repeated_share(std::span<const int32_t> points, const Extents& e) {
  double best = 0;
  for (const From from : {kPointBefore, kRowBefore}) {
    const size_t back = jump(from, e);
    size_t same = 0;
    for (size_t k = back; k < points.size(); ++k) same += points[k] == points[k - back];
    best = std::max(best, double(same) / double(points.size()));
  }
  return best;
}

namespace {

Bytes compress(const Bytes& plain, uint8_t form, int level) {
  Bytes out(1 + ZSTD_compressBound(plain.size()));
  const size_t n = ZSTD_compress(out.data() + 1, out.size() - 1, plain.data(), plain.size(), level);
  if (ZSTD_isError(n))
    throw Failure(H5N_ERR_MEMORY, "h5neural: zstd could not compress the chunk; use smaller chunks");
  out.resize(1 + n);
  out[0] = form;
  return out;
}

}  // namespace

namespace {

// About the bytes of the points differenced along a row, from parts spread over the chunk.
double estimate(std::span<const int32_t> points) {
  constexpr size_t kPiece = 4096;
  const size_t pieces = std::min(std::max<size_t>(12, points.size() / (16 * kPiece)), points.size() / kPiece);
  if (pieces == 0) return 0;  // small: no estimate is needed
  std::vector<int32_t> sample;
  for (size_t k = 0; k < pieces; ++k) {
    const auto piece = points.subspan(k * (points.size() / pieces), kPiece);
    sample.insert(sample.end(), piece.begin(), piece.end());
  }
  const Bytes plain = difference<int32_t>(sample, kPointBefore, 1);
  return double(compress(plain, kPointBefore, 3).size()) * double(points.size()) / double(sample.size());
}

}  // namespace

Bytes encode_repeats(std::span<const int32_t> points, const Extents& e, int effort, size_t bar) {
  constexpr int kQuickLevel = 3;
  constexpr double kMostGain = 1.6, kHopeless = 2.5;  // of full effort over the quick one, of a part
  const int level = effort >= 5 ? 19 : kQuickLevel + 2 * effort;
  if (effort < 9 && estimate(points) > kHopeless * double(bar)) return {};
  Bytes best, source;
  for (int f = 0; f < kForms; ++f) {
    const auto from = static_cast<From>(f);
    const size_t back = jump(from, e);
    const bool wide = !narrow(points, from, back);
    Bytes plain = wide ? difference<int32_t>(points, from, back) : difference<int16_t>(points, from, back);
    Bytes out = compress(plain, static_cast<uint8_t>(f | (wide ? kWide : 0)), kQuickLevel);
    if (!best.empty() && out.size() >= best.size()) continue;
    best = std::move(out);
    source = std::move(plain);
  }
  if (double(best.size()) > kMostGain * double(bar)) return {};
  return compress(source, best[0], level);
}

void decode_repeats(ByteSpan section, const Extents& e, std::span<int32_t> points) {
  if (section.empty() || (section[0] & 3) >= kForms || section[0] > (kWide | 3))
    fail_corrupt("its form is unknown");
  const auto from = static_cast<From>(section[0] & 3);
  const bool wide = section[0] & kWide;
  Bytes plain(points.size() * (wide ? 4 : 2));
  const size_t n = ZSTD_decompress(plain.data(), plain.size(), section.data() + 1, section.size() - 1);
  if (ZSTD_isError(n) || n != plain.size()) fail_corrupt("its lattice points do not decode");
  if (wide) {
    integrate<int32_t>(plain, from, jump(from, e), points);
  } else {
    integrate<int16_t>(plain, from, jump(from, e), points);
  }
}

}  // namespace h5neural

// sha256.cc: see sha256.h. The letters are those of FIPS 180-4, section 6.2.
#include "weights/sha256.h"

#include <bit>

namespace h5neural {
namespace {

constexpr std::array<uint32_t, 64> kRound = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

using State = std::array<uint32_t, 8>;

void compress(State& h, const uint8_t* block) {
  std::array<uint32_t, 64> w;
  for (int t = 0; t < 16; ++t) {
    w[t] = uint32_t{block[4 * t]} << 24 | uint32_t{block[4 * t + 1]} << 16 | uint32_t{block[4 * t + 2]} << 8 |
           block[4 * t + 3];
  }
  for (int t = 16; t < 64; ++t) {
    const uint32_t s0 = std::rotr(w[t - 15], 7) ^ std::rotr(w[t - 15], 18) ^ (w[t - 15] >> 3);
    const uint32_t s1 = std::rotr(w[t - 2], 17) ^ std::rotr(w[t - 2], 19) ^ (w[t - 2] >> 10);
    w[t] = w[t - 16] + s0 + w[t - 7] + s1;
  }
  auto [a, b, c, d, e, f, g, i] = h;
  for (int t = 0; t < 64; ++t) {
    const uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
    const uint32_t t1 = i + s1 + ((e & f) ^ (~e & g)) + kRound[t] + w[t];
    const uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
    const uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    i = g, g = f, f = e, e = d + t1;
    d = c, c = b, b = a, a = t1 + t2;
  }
  const State add = {a, b, c, d, e, f, g, i};
  for (int k = 0; k < 8; ++k) h[k] += add[k];
}

}  // namespace

Sha256 sha256(ByteSpan data) {
  State h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  size_t at = 0;
  for (; at + 64 <= data.size(); at += 64) compress(h, data.data() + at);
  // The rest, a single 1 bit, zeros, and the length in bits (big endian) fill one or two more blocks.
  std::array<uint8_t, 128> tail{};
  const size_t rest = data.size() - at;
  for (size_t k = 0; k < rest; ++k) tail[k] = data[at + k];
  tail[rest] = 0x80;
  const size_t end = rest < 56 ? 64 : 128;
  const uint64_t bits = uint64_t{data.size()} * 8;
  for (int k = 0; k < 8; ++k) tail[end - 1 - k] = static_cast<uint8_t>(bits >> (8 * k));
  for (size_t k = 0; k < end; k += 64) compress(h, tail.data() + k);
  Sha256 out;
  for (int k = 0; k < 32; ++k) out[k] = static_cast<uint8_t>(h[k / 4] >> (24 - 8 * (k % 4)));
  return out;
}

std::string hex(const Sha256& digest) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string s;
  for (const uint8_t b : digest) {
    s += kDigits[b >> 4];
    s += kDigits[b & 15];
  }
  return s;
}

Sha256 parse_sha256(const std::string& digits) {
  Sha256 digest{};
  const bool hexadecimal = digits.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
  if (digits.size() != 2 * digest.size() || !hexadecimal) {
    throw Failure(H5N_ERR_ARGUMENT,
                  "h5neural: a SHA-256 is not 64 hexadecimal digits; pass what h5n_sha256 gives");
  }
  for (size_t k = 0; k < digest.size(); ++k) {
    digest[k] = static_cast<uint8_t>(std::stoul(digits.substr(2 * k, 2), nullptr, 16));
  }
  return digest;
}

uint64_t short_hash(const Sha256& digest) {
  uint64_t v = 0;
  for (int k = 0; k < 8; ++k) v = v << 8 | digest[k];
  return v;
}

std::string hex(uint64_t hash) {
  std::string s(16, '0');
  for (int k = 15; k >= 0; --k, hash >>= 4) s[k] = "0123456789abcdef"[hash & 15];
  return s;
}

}  // namespace h5neural

// philox.h: the counter-based generator Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", 2011): the same numbers on every machine, in any order.
#pragma once
#include <array>
#include <cstdint>

namespace h5neural {

inline std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// About a normal number, in units of 2^-8, at most 1768 in size: the sum of sixteen uniform bytes (Irwin and
// Hall, 1927).
inline int32_t philox_normal(std::array<uint32_t, 4> counter, uint32_t seed) {
  int32_t sum = -2040;
  for (uint32_t word : philox(counter, {seed, 0})) {
    for (; word != 0; word >>= 8) sum += static_cast<int32_t>(word & 255);
  }
  return (sum * 887) >> 10;
}

}  // namespace h5neural

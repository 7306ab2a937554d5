// tables.h: the compiled-in probability tables of the corrections coder: discretised generalised Gaussians,
// by scale and shape (make_tables.py says how they were made). Scales beyond the last table code low bits
// apart.
#pragma once
#include <array>
#include <cstdint>

namespace h5neural {

constexpr int kTableScales = 31;  // mean magnitude 2^((scale - 18) / 4) bins
constexpr int kTableShapes = 3;   // exponents 0.6, 1, 1.6
constexpr int kTableUnitScale = 18;
// A scale index may go beyond kTableScales - 1: each 4 more double the residual and code one more low bit.
constexpr int kMaxScale = kTableScales - 1 + 4 * 22;
constexpr int kMaxSymbols = 82;
constexpr int kProbabilityBits = 16;

struct Table {
  int limit = 0;    // largest magnitude with a symbol of its own
  int symbols = 0;  // 2 * limit + 2: 0, -1, 1, ..., -limit, limit, escape
  std::array<uint16_t, kMaxSymbols> start{};
  std::array<uint32_t, kMaxSymbols> frequency{};
  std::array<uint16_t, kMaxSymbols> cost{};  // bits, in units of 1/256 (writer only)
  std::array<uint8_t, 256> first{};          // first symbol to look at, by the high 8 bits of a slot
};

const Table& table(int shape, int scale);  // scale < kTableScales

// The symbol whose interval holds `slot` (16 bits).
inline int find_symbol(const Table& t, uint32_t slot) {
  int s = t.first[slot >> 8];
  while (slot >= uint32_t{t.start[s]} + t.frequency[s]) ++s;
  return s;
}

}  // namespace h5neural

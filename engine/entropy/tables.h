// tables.h: the compiled-in probability tables of the corrections coder: discretised generalised Gaussians,
// by scale and shape (make_tables.py says how they were made). Scales beyond the last table code low bits
// apart.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace h5neural {

constexpr int kTableScales = 31;  // mean magnitude 2^((scale - 18) / 4) bins
constexpr int kTableShapes = 3;   // exponents 0.6, 1, 1.6
constexpr int kTables = kTableScales * kTableShapes;
constexpr int kTableUnitScale = 18;
// A scale index may go beyond kTableScales - 1: each 4 more double the residual and code one more low bit.
constexpr int kMaxScale = kTableScales - 1 + 4 * 22;
constexpr int kMaxSymbols = 82;
constexpr int kProbabilityBits = 12;
constexpr uint32_t kSlots = 1u << kProbabilityBits;
constexpr uint8_t kEscape = 255;  // the last symbol of every table, as the decoder names it

struct Table {
  int index = 0;    // 0 .. kTables - 1
  int limit = 0;    // largest magnitude with a symbol of its own
  int symbols = 0;  // 2 * limit + 2: 0, -1, 1, ..., -limit, limit, escape
  std::array<uint16_t, kMaxSymbols> start{}, frequency{};
  std::array<uint16_t, kMaxSymbols> cost{};  // bits, in units of 1/256 (writer only)
};

const Table& table(int shape, int scale);  // scale < kTableScales

// A table of other frequencies (for learned ones): 1 to kSlots each, kSlots together, an even number of
// symbols; and its slots, as of all_slots(), after those in `slots`.
Table make_table(std::span<const uint16_t> frequencies);
void append_slots(const Table& table, std::vector<uint32_t>& slots);

// What each slot of a table stands for: symbol << 24 | frequency << 12 | start. All tables stand in one
// array, kSlots entries each; those of a table are there once slots(table) has been asked for.
const uint32_t* all_slots();
const uint32_t* slots(const Table& table);

// The same for readers that wait for each symbol before they know the next table: small enough to stay in the
// nearest cache. What a symbol's slots are is looked up apart, for that is not waited for.
struct NearSlots {
  std::array<uint8_t, kSlots> symbol;
  std::array<uint32_t, kEscape + 1> range;  // of each symbol: frequency << 16 | start
};
const NearSlots* all_near_slots();
const NearSlots* near_slots(const Table& table);  // as for slots()

}  // namespace h5neural

// tables.cc: see tables.h.
#include "entropy/tables.h"

#include <cmath>
#include <memory>

namespace h5neural {
namespace {

constexpr uint16_t kFrequencies[kTableShapes * kTableScales][kMaxSymbols] = {
#include "entropy/tables.inc"
};

struct Bank {
  std::array<Table, kTableShapes * kTableScales> tables;
  Bank() {
    for (int i = 0; i < kTableShapes * kTableScales; ++i) build(tables[i], kFrequencies[i]);
  }
  static void build(Table& t, const uint16_t (&f)[kMaxSymbols]) {
    uint32_t start = 0;
    while (t.symbols < kMaxSymbols && f[t.symbols] != 0) {
      const int s = t.symbols++;
      t.start[s] = static_cast<uint16_t>(start);
      t.frequency[s] = f[s];
      // Writer's estimate only; the reader never looks at it.
      t.cost[s] = static_cast<uint16_t>(std::lround(256 * (16 - std::log2(double(f[s])))));
      start += f[s];
    }
    t.limit = (t.symbols - 2) / 2;
    for (uint32_t high = 0, s = 0; high < 256; ++high) {
      while (high << 8 >= t.start[s] + t.frequency[s]) ++s;
      t.first[high] = static_cast<uint8_t>(s);
    }
  }
};

}  // namespace

const Table& table(int shape, int scale) {
  static const Bank* bank = new Bank;  // never destroyed: readers may still run while the process exits
  return bank->tables[shape * kTableScales + scale];
}

}  // namespace h5neural

// tables.cc: see tables.h.
#include "entropy/tables.h"

#include <cmath>
#include <cstdlib>
#include <mutex>
#include <new>

namespace h5neural {
namespace {

constexpr uint16_t kFrequencies[kTables][kMaxSymbols] = {
#include "entropy/tables.inc"
};

void build(Table& t, int index) {
  const auto& f = kFrequencies[index];
  t.index = index;
  uint32_t start = 0;
  while (t.symbols < kMaxSymbols && f[t.symbols] != 0) {
    const int s = t.symbols++;
    t.start[s] = static_cast<uint16_t>(start);
    t.frequency[s] = f[s];
    // Writer's estimate only; the reader never looks at it.
    t.cost[s] = static_cast<uint16_t>(std::lround(256 * (kProbabilityBits - std::log2(double(f[s])))));
    start += f[s];
  }
  t.limit = (t.symbols - 2) / 2;
}

// Memory that is touched table by table, as they are used (16 kB each of 1.5 MB).
struct Slots {
  uint32_t* entries = static_cast<uint32_t*>(std::calloc(size_t{kTables} * kSlots, sizeof(uint32_t)));
  std::array<std::once_flag, kTables> built;
  Slots() {
    if (entries == nullptr) throw std::bad_alloc();
  }
};

// Never destroyed, like the tables: readers may still run while the process exits.
Slots& all() {
  static Slots* s = new Slots;
  return *s;
}

}  // namespace

const Table& table(int shape, int scale) {
  static const std::array<Table, kTables>* const tables = [] {
    auto* t = new std::array<Table, kTables>;
    for (int i = 0; i < kTables; ++i) build((*t)[i], i);
    return t;
  }();
  return (*tables)[shape * kTableScales + scale];
}

const uint32_t* all_slots() { return all().entries; }

const uint32_t* slots(const Table& t) {
  uint32_t* const entries = all().entries + size_t{kSlots} * t.index;
  std::call_once(all().built[t.index], [&] {
    for (int s = 0; s < t.symbols; ++s) {
      const uint32_t symbol = s == t.symbols - 1 ? kEscape : static_cast<uint32_t>(s);
      const uint32_t entry = symbol << 24 | uint32_t{t.frequency[s]} << kProbabilityBits | t.start[s];
      for (uint32_t k = 0; k < t.frequency[s]; ++k) entries[t.start[s] + k] = entry;
    }
  });
  return entries;
}

}  // namespace h5neural

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

void build(Table& t, std::span<const uint16_t> f) {
  uint32_t start = 0;
  while (t.symbols < static_cast<int>(f.size()) && f[static_cast<size_t>(t.symbols)] != 0) {
    const auto s = static_cast<size_t>(t.symbols++);
    t.start[s] = static_cast<uint16_t>(start);
    t.frequency[s] = f[s];
    // Writer's estimate only; the reader never looks at it.
    t.cost[s] = static_cast<uint16_t>(std::lround(256 * (kProbabilityBits - std::log2(double(f[s])))));
    start += f[s];
  }
  t.limit = (t.symbols - 2) / 2;
}

uint32_t slot_entry(const Table& t, int s) {
  const uint32_t symbol = s == t.symbols - 1 ? kEscape : static_cast<uint32_t>(s);
  return symbol << 24 | uint32_t{t.frequency[s]} << kProbabilityBits | t.start[s];
}

// Memory that is touched table by table, as they are used (16 kB each of 1.5 MB, or 5 kB of 0.5 MB).
template <class T, size_t kEach>
struct Slots {
  T* entries = static_cast<T*>(std::calloc(kTables * kEach, sizeof(T)));
  std::array<std::once_flag, kTables> built;
  Slots() {
    if (entries == nullptr) throw std::bad_alloc();
  }
};

// Never destroyed, like the tables: readers may still run while the process exits.
template <class T, size_t kEach>
Slots<T, kEach>& all() {
  static Slots<T, kEach>* s = new Slots<T, kEach>;
  return *s;
}

Slots<uint32_t, kSlots>& far() { return all<uint32_t, kSlots>(); }
Slots<NearSlots, 1>& near() { return all<NearSlots, 1>(); }

}  // namespace

const Table& table(int shape, int scale) {
  static const std::array<Table, kTables>* const tables = [] {
    auto* t = new std::array<Table, kTables>;
    for (int i = 0; i < kTables; ++i) {
      (*t)[i].index = i;
      build((*t)[i], kFrequencies[i]);
    }
    return t;
  }();
  return (*tables)[shape * kTableScales + scale];
}

Table make_table(std::span<const uint16_t> frequencies) {
  Table t;
  build(t, frequencies);
  return t;
}

void append_slots(const Table& t, std::vector<uint32_t>& slots) {
  for (int s = 0; s < t.symbols; ++s) slots.insert(slots.end(), t.frequency[s], slot_entry(t, s));
}

const uint32_t* all_slots() { return far().entries; }

const uint32_t* slots(const Table& t) {
  uint32_t* const entries = far().entries + size_t{kSlots} * t.index;
  std::call_once(far().built[t.index], [&] {
    for (int s = 0; s < t.symbols; ++s) {
      const uint32_t entry = slot_entry(t, s);
      for (uint32_t k = 0; k < t.frequency[s]; ++k) entries[t.start[s] + k] = entry;
    }
  });
  return entries;
}

const NearSlots* all_near_slots() { return near().entries; }

const NearSlots* near_slots(const Table& t) {
  NearSlots& entry = near().entries[t.index];
  std::call_once(near().built[t.index], [&] {
    for (int s = 0; s < t.symbols; ++s) {
      const auto symbol = static_cast<uint8_t>(s == t.symbols - 1 ? kEscape : s);
      entry.range[symbol] = uint32_t{t.frequency[s]} << 16 | t.start[s];
      for (uint32_t k = 0; k < t.frequency[s]; ++k) entry.symbol[t.start[s] + k] = symbol;
    }
  });
  return &entry;
}

}  // namespace h5neural

// residual.h: quantised residuals as symbols of a table: magnitudes with a symbol of their own, an escape
// with an Exp-Golomb tail beyond, and for scales past the last table some low bits apart. Tails and low bits
// are raw bits beside the symbols, so that a residual is always one symbol.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "corrections/side.h"
#include "entropy/rans.h"
#include "entropy/tables.h"

namespace h5neural {

constexpr int32_t kResidualMax = 1 << 30;

struct ResidualTable {
  const Table* table = nullptr;
  int low_bits = 0;  // coded apart
};
using ContextTables = std::array<ResidualTable, kContexts>;

inline ResidualTable residual_table(const TableChoice& t) {
  const int over = t.scale - (kTableScales - 1);
  const int low_bits = over > 0 ? (over + 3) / 4 : 0;
  return {&table(t.shape, t.scale - 4 * low_bits), low_bits};
}

// Reader: the table of each context where the side information says which of them have one of their own.
inline ContextTables told_tables(SideModels& models, BitDecoder& side) {
  ContextTables tables{};
  for (int x = 0; x < kContexts; ++x) {
    const int suggested = suggested_scale(x);
    tables[static_cast<size_t>(x)] =
        residual_table(models.told(side) ? models.table(side, suggested) : models.implied(suggested));
  }
  return tables;
}

// 0, -1, 1, -2, ... in order.
inline int symbol_of(int32_t v) { return (v * 2) ^ (v >> 31); }
inline int32_t value_of(uint8_t symbol) { return (symbol >> 1) ^ -(symbol & 1); }

// Bits of the tail of an escape: magnitudes limit + 1, limit + 2, ... as Exp-Golomb codes of order 0, then a
// sign.
inline int tail_bits(uint32_t beyond) { return 2 * (std::bit_width(beyond + 1) - 1) + 2; }

class ResidualEncoder {
 public:
  // The residuals of a coset in order; context[k] < kContexts names the table of q[k], |q[k]| <=
  // kResidualMax.
  void batch(std::span<const int32_t> q, std::span<const uint8_t> context, const ContextTables& tables);
  // `spare`: see RansEncoder.
  Bytes finish(double spare = 0.005) { return rans_.finish(spare); }

 private:
  void escape(int32_t v, int limit);
  RansEncoder rans_;
};

class ResidualDecoder {
 public:
  explicit ResidualDecoder(ByteSpan in) : rans_(in) {}
  // Throws fail_corrupt where the section ends early or a residual is out of range.
  void batch(std::span<const uint8_t> context, const ContextTables& tables, std::span<int32_t> q);
  // The same one by one, where contexts depend on the residuals before: what was coded as one batch.
  void begin_series() { rans_.begin_series(); }
  int32_t next(const ResidualTable& t, const uint32_t* slots) {  // `slots`: of its table
    const uint8_t symbol = rans_.next(slots);
    return symbol == kEscape || t.low_bits > 0 ? complete(symbol, t) : value_of(symbol);
  }
  // The same by symbols, see RansDecoder; what one stands for where it is an escape or the table has low
  // bits.
  bool has_words_for(int count) const { return rans_.has_words_for(count); }
  RansDecoder::Series open() { return rans_.open(); }
  void close(const RansDecoder::Series& s) { rans_.close(s); }
  int32_t complete(uint8_t symbol, const ResidualTable& t);
  void finish() const { rans_.finish(); }

 private:
  RansDecoder rans_;
  std::vector<uint8_t> symbols_;
};

}  // namespace h5neural

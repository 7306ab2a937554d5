// residual.h: a quantised residual as symbols of a table: magnitudes with a symbol of their own, an escape
// with an Exp-Golomb tail beyond, and for scales past the last table some low bits apart.
#pragma once
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
  const Table* table;
  int low_bits;  // coded apart
};

inline ResidualTable residual_table(const TableChoice& t) {
  const int over = t.scale - (kTableScales - 1);
  const int low_bits = over > 0 ? (over + 3) / 4 : 0;
  return {&table(t.shape, t.scale - 4 * low_bits), low_bits};
}

inline int symbol_of(int32_t v) { return v <= 0 ? -2 * v - (v < 0 ? 1 : 0) : 2 * v; }
inline int32_t value_of(int symbol) { return symbol & 1 ? -(symbol + 1) / 2 : symbol / 2; }

// Bits of the tail of an escape: magnitudes limit + 1, limit + 2, ... as Exp-Golomb codes of order 0, then a
// sign.
inline int tail_bits(uint32_t beyond) { return 2 * (std::bit_width(beyond + 1) - 1) + 2; }

inline void encode_residual(RansEncoder& out, const ResidualTable& t, int32_t q) {
  const int32_t half = t.low_bits > 0 ? 1 << (t.low_bits - 1) : 0;
  const int32_t v = (q + half) >> t.low_bits;
  const uint32_t low = static_cast<uint32_t>(q + half) & ((1u << t.low_bits) - 1);
  const bool escape = std::abs(v) > t.table->limit;
  const int s = escape ? t.table->symbols - 1 : symbol_of(v);
  out.symbol(t.table->start[s], t.table->frequency[s]);
  if (escape) {
    const uint32_t code = static_cast<uint32_t>(std::abs(v) - t.table->limit);  // >= 1
    const int bits = std::bit_width(code) - 1;
    for (int i = 0; i < bits; ++i) out.raw(1, 1);
    out.raw(0, 1);
    if (bits > 16) out.raw(code >> 16 & ((1u << (bits - 16)) - 1), bits - 16);
    out.raw(code & ((1u << std::min(bits, 16)) - 1), std::min(bits, 16));
    out.raw(v < 0, 1);
  }
  if (t.low_bits > 16) out.raw(low >> 16, t.low_bits - 16);
  out.raw(low & 0xffffu, std::min(t.low_bits, 16));
}

inline int32_t decode_residual(RansDecoder& in, const ResidualTable& t) {
  const int s = find_symbol(*t.table, in.slot());
  in.advance(t.table->start[s], t.table->frequency[s]);
  int64_t v;
  if (s < t.table->symbols - 1) {
    v = value_of(s);
  } else {
    int bits = 0;
    while (in.raw(1)) {
      if (++bits > 30) fail_corrupt("a residual is out of range");
    }
    uint32_t code = 1;
    if (bits > 16) code = code << (bits - 16) | in.raw(bits - 16);
    code = code << std::min(bits, 16) | in.raw(std::min(bits, 16));
    v = int64_t{code} + t.table->limit;
    if (in.raw(1)) v = -v;
  }
  uint32_t low = 0;
  if (t.low_bits > 16) low = in.raw(t.low_bits - 16);
  low = low << std::min(t.low_bits, 16) | in.raw(std::min(t.low_bits, 16));
  const int64_t half = t.low_bits > 0 ? int64_t{1} << (t.low_bits - 1) : 0;
  const int64_t q = v * (int64_t{1} << t.low_bits) + low - half;
  if (q > kResidualMax || q < -kResidualMax) fail_corrupt("a residual is out of range");
  return static_cast<int32_t>(q);
}

using ContextTables = std::array<ResidualTable, kContexts>;

class ResidualEncoder {
 public:
  void batch(std::span<const int32_t> q, std::span<const uint8_t> context, const ContextTables& tables) {
    for (size_t k = 0; k < q.size(); ++k) encode_residual(rans_, tables[context[k]], q[k]);
  }
  Bytes finish() { return rans_.finish(); }

 private:
  RansEncoder rans_;
};

class ResidualDecoder {
 public:
  explicit ResidualDecoder(ByteSpan in) : rans_(in) {}
  void batch(std::span<const uint8_t> context, const ContextTables& tables, std::span<int32_t> q) {
    for (size_t k = 0; k < q.size(); ++k) q[k] = decode_residual(rans_, tables[context[k]]);
  }
  void finish() const { rans_.finish(); }

 private:
  RansDecoder rans_;
};

}  // namespace h5neural

// residual.cc: see residual.h.
#include "corrections/residual.h"

namespace h5neural {

void ResidualEncoder::escape(int32_t v, int limit) {
  const auto code = static_cast<uint32_t>(std::abs(v) - limit);  // >= 1
  const int bits = std::bit_width(code) - 1;
  RawBits& raw = rans_.raw();
  raw.put((uint64_t{1} << bits) - 1, bits + 1);  // ones, then a zero
  raw.put(code & ((1u << bits) - 1), bits);
  raw.put(v < 0, 1);
}

void ResidualEncoder::batch(std::span<const int32_t> q, std::span<const uint8_t> context,
                            const ContextTables& tables) {
  uint32_t* const ranges = rans_.begin_batch(q.size());
  uint64_t cost = 0;
  for (size_t k = 0; k < q.size(); ++k) {
    const ResidualTable& t = tables[context[k]];
    const Table& table = *t.table;
    const int32_t half = t.low_bits > 0 ? 1 << (t.low_bits - 1) : 0;
    const int32_t v = (q[k] + half) >> t.low_bits;
    const bool escaped = v > table.limit || v < -table.limit;
    const int symbol = escaped ? table.symbols - 1 : symbol_of(v);
    ranges[k] = uint32_t{table.start[symbol]} << 16 | table.frequency[symbol];
    cost += table.cost[symbol];
    if (escaped) escape(v, table.limit);
    if (t.low_bits > 0) {
      rans_.raw().put(static_cast<uint32_t>(q[k] + half) & ((1u << t.low_bits) - 1), t.low_bits);
    }
  }
  rans_.add_cost(cost);
}

// A residual that has raw bits.
int32_t ResidualDecoder::complete(uint8_t symbol, const ResidualTable& t) {
  RawBitReader& raw = rans_.raw();
  int64_t v = value_of(symbol);
  if (symbol == kEscape) {
    int bits = 0;
    while (raw.take(1) != 0) {
      if (++bits > 30) fail_corrupt("a residual is out of range");
    }
    v = (int64_t{1} << bits | raw.take(bits)) + t.table->limit;
    if (raw.take(1) != 0) v = -v;
  }
  const int64_t half = t.low_bits > 0 ? int64_t{1} << (t.low_bits - 1) : 0;
  const int64_t q = v * (int64_t{1} << t.low_bits) + raw.take(t.low_bits) - half;
  if (q > kResidualMax || q < -kResidualMax) fail_corrupt("a residual is out of range");
  return static_cast<int32_t>(q);
}

void ResidualDecoder::batch(std::span<const uint8_t> context, const ContextTables& tables,
                            std::span<int32_t> q) {
  std::array<uint32_t, kContextRoom> first{};
  bool raw = false;
  for (int x = 0; x < kContexts; ++x) {
    if (tables[x].table == nullptr) continue;
    first[x] = static_cast<uint32_t>(slots(*tables[x].table) - all_slots());
    raw |= tables[x].low_bits > 0;
  }
  symbols_.resize(context.size());
  rans_.batch(context, first.data(), symbols_);
  // By blocks, so that those without raw bits, nearly all of them, are passed over.
  constexpr size_t kBlock = 256;
  for (size_t from = 0; from < q.size(); from += kBlock) {
    const size_t to = std::min(from + kBlock, q.size());
    const bool escaped =
        kernels().unfold(symbols_.data() + from, static_cast<int64_t>(to - from), q.data() + from);
    for (size_t k = from; k < to && (raw || escaped); ++k) {
      const ResidualTable& t = tables[context[k]];
      if (symbols_[k] == kEscape || t.low_bits > 0) q[k] = complete(symbols_[k], t);
    }
  }
}

}  // namespace h5neural

// context_counts.cc: see context_counts.h. Costs are whole numbers of 1/256 bit.
#include "corrections/context_counts.h"

#include <algorithm>
#include <cmath>

#include "corrections/places.h"
#include "corrections/residual.h"

namespace h5neural {
namespace {

constexpr int64_t kBit = 256;

// What a symbol without one of its own costs beside its low bits.
int64_t escape_cost(const Table& t, int32_t magnitude) {
  return t.cost[t.symbols - 1] + kBit * tail_bits(static_cast<uint32_t>(magnitude - t.limit - 1));
}

// What the symbols 0, -1, 1, -2, ... cost under each table, escapes written out.
constexpr size_t kSymbols = 512;
using Costs = std::array<uint32_t, kSymbols>;

const Costs& costs(const Table& t) {
  static const std::array<Costs, kTables>* const all = [] {
    auto* made = new std::array<Costs, kTables>;
    for (int index = 0; index < kTables; ++index) {
      const Table& of = table(index / kTableScales, index % kTableScales);
      for (size_t s = 0; s < kSymbols; ++s) {
        const auto magnitude = static_cast<int32_t>((s + 1) / 2);
        (*made)[static_cast<size_t>(index)][s] =
            magnitude <= of.limit ? of.cost[s] : static_cast<uint32_t>(escape_cost(of, magnitude));
      }
    }
    return made;
  }();
  return (*all)[static_cast<size_t>(t.index)];
}

int64_t product(const uint32_t* counts, const Costs& c, int symbols) {
  uint64_t sum = 0;
  for (int s = 0; s < symbols; ++s) sum += uint64_t{counts[s]} * c[static_cast<size_t>(s)];
  return static_cast<int64_t>(sum);
}

int64_t cost_of(const ResidualTable& t, int32_t q) {
  const int32_t half = t.low_bits > 0 ? 1 << (t.low_bits - 1) : 0;
  const int32_t v = (q + half) >> t.low_bits, magnitude = std::abs(v);
  return kBit * t.low_bits + (magnitude <= t.table->limit ? int64_t{t.table->cost[symbol_of(v)]}
                                                          : escape_cost(*t.table, magnitude));
}

}  // namespace

void ContextCounts::count(std::span<const uint8_t> context, std::span<const int32_t> residual) {
  for (Context& c : contexts_) {
    std::fill_n(c.small.begin(), c.top, 0);
    c.count = c.sum = c.top = 0;
    c.large.clear();
  }
  uint64_t used = 0;
  for (size_t k = 0; k < residual.size(); ++k) {
    const int32_t q = residual[k];
    Context& c = contexts_[context[k]];
    used |= uint64_t{1} << context[k];
    if (q < kSmall && q > -kSmall) {
      ++c.small[static_cast<size_t>(symbol_of(q))];
    } else {
      c.large.push_back(q);
    }
  }
  for (size_t x = 0; x < kContexts; ++x) {
    if (!(used >> x & 1)) continue;
    Context& c = contexts_[x];
    c.top = static_cast<int>(c.small.size());
    while (c.top > 0 && c.small[static_cast<size_t>(c.top) - 1] == 0) --c.top;
    c.count = static_cast<int64_t>(c.large.size());
    for (int s = 0; s < c.top; ++s) {
      c.count += c.small[static_cast<size_t>(s)];
      c.sum += int64_t{c.small[static_cast<size_t>(s)]} * ((s + 1) / 2);
    }
    for (const int32_t q : c.large) c.sum += std::abs(q);
  }
}

TableChoice ContextCounts::cheapest(int context, const TableChoice& implied) const {
  const Context& c = contexts_[static_cast<size_t>(context)];
  const double mean = double(c.sum) / double(c.count);
  const int centre = mean > 0 ? static_cast<int>(std::lround(kTableUnitScale + 4 * std::log2(mean))) : 0;
  // The same counts without the low bits that tables of large scales leave to themselves.
  Counts folded{};
  int folds = 0, folded_top = 0;
  const auto fold = [&](int low_bits) {
    folds = low_bits;
    folded.fill(0);
    folded_top = 0;
    const int32_t half = 1 << (low_bits - 1);
    for (int s = 0; s < c.top; ++s) {
      const int v = symbol_of((((s >> 1) ^ -(s & 1)) + half) >> low_bits);
      folded[static_cast<size_t>(v)] += c.small[static_cast<size_t>(s)];
      folded_top = std::max(folded_top, v + 1);
    }
  };
  TableChoice best = implied;
  int64_t least = INT64_MAX;
  const auto consider = [&](const TableChoice& t) {
    const ResidualTable r = residual_table(t);
    if (r.low_bits != 0 && r.low_bits != folds) fold(r.low_bits);
    const int64_t of_small = r.low_bits == 0 ? product(c.small.data(), costs(*r.table), c.top)
                                             : product(folded.data(), costs(*r.table), folded_top);
    int64_t cost = 3 * kBit / 2 * std::min(6, std::abs(t.scale - implied.scale)) +
                   (t.shape != implied.shape ? 3 * kBit : 0) + of_small +
                   kBit * r.low_bits * (c.count - static_cast<int64_t>(c.large.size()));
    for (const int32_t q : c.large) cost += cost_of(r, q);
    if (cost >= least) return;
    least = cost;
    best = t;
  };
  consider(implied);
  const int first = std::max(0, centre - 4), last = std::min(kMaxScale, std::max(12, centre + 6));
  for (int shape = 0; shape < kTableShapes; ++shape) {
    for (int scale = first; scale <= last; ++scale) consider({shape, scale});
  }
  return best;
}

double entropy(std::span<const int64_t> counts) {
  double all = 0, bits = 0;
  for (const int64_t n : counts) all += double(n);
  for (const int64_t n : counts) bits += n == 0 ? 0 : double(n) * std::log2(all / double(n));
  return bits;
}

int cheapest_blend(std::span<const uint8_t> context, std::span<const uint8_t> suggested,
                   std::span<const int32_t> residual, std::span<const uint8_t> skip) {
  constexpr int kMost = 15;
  int best = 0;
  double least = 0;
  for (int blend = 0; blend <= kMostBlend; ++blend) {
    std::array<std::array<int64_t, 2 * kMost + 1>, kContexts> seen{};
    for (size_t k = 0; k < context.size(); ++k) {
      if (!skip.empty() && skip[k]) continue;
      ++seen[blended(context[k], suggested[k], blend)][std::clamp(residual[k], -kMost, kMost) + kMost];
    }
    double bits = 0;
    for (const auto& counts : seen) bits += entropy(counts);
    if (blend == 0 || bits < least) {
      least = bits;
      best = blend;
    }
  }
  return best;
}

}  // namespace h5neural

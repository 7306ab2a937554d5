// outliers.cc: see outliers.h.
#include "transform/outliers.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "corrections/context_counts.h"
#include "kernels/kernels.h"

namespace h5neural {
namespace {

// Contexts: octaves of the sum over the axes of |x(i - 1) - 2 x(i) + x(i + 1)|, mirrored at the ends.
std::vector<uint8_t> roughness(const Index4& n, std::span<const int32_t> x) {
  std::vector<uint8_t> context(x.size());
  std::array<int64_t, kAxes> stride{};
  int64_t size = 1;
  for (int a = kAxes - 1; a >= 0; --a) {
    stride[a] = size;
    size *= n[a];
  }
  const int width = n[3];
  const int32_t* row = x.data();
  uint8_t* out = context.data();
  for_rows(n, [&](const Index4& i) {
    RowsBeside beside;
    const auto add = [&beside](const int32_t* before, const int32_t* after) {
      beside.before[static_cast<size_t>(beside.axes)] = before;
      beside.after[static_cast<size_t>(beside.axes++)] = after;
    };
    // Points [from, to) of the row, whose neighbours along it are these.
    const auto points_of = [&](int from, int to, const int32_t* before, const int32_t* after) {
      beside.axes = 0;
      for (int a = 0; a < 3; ++a) {
        if (n[a] < 2) continue;
        add(row + from + (i[a] > 0 ? -stride[a] : stride[a]),
            row + from + (i[a] + 1 < n[a] ? stride[a] : -stride[a]));
      }
      if (width > 1) add(before, after);
      kernels().roughness(row + from, beside, to - from, out + from);
    };
    points_of(0, 1, row + 1, row + 1);
    if (width > 2) points_of(1, width - 1, row, row + 2);
    if (width > 1) points_of(width - 1, width, row + width - 2, row + width - 2);
    row += width;
    out += width;
  });
  return context;
}

// The scale that tables begin with: hardly any point needs a correction.
constexpr int kFirstScale = 6;

}  // namespace

void encode_outliers(BitEncoder& side, ResidualEncoder& residuals, const WalkInput& in,
                     std::span<const double> target, std::span<const uint8_t> chosen,
                     std::vector<int32_t>& decoded) {
  std::vector<uint8_t> contexts = roughness(in.n, decoded);
  const double bin = std::ldexp(1.0, in.step_bits);
  Array<int32_t> quantised(decoded.size());
  size_t kept = 0;
  for (size_t k = 0; k < decoded.size(); ++k) {
    if (!in.skip.empty() && in.skip[k]) continue;
    const double away = target[k] - decoded[k];
    contexts[kept] = contexts[k];
    quantised[kept++] = 0;
    if (std::abs(away) <= bin / 2 || (!chosen.empty() && chosen[k] == 0)) continue;
    const auto q = static_cast<int32_t>(std::clamp(std::nearbyint(away / bin), -1e8, 1e8));
    quantised[kept - 1] = q;
    decoded[k] = clamp_lattice(decoded[k] + int64_t{q} * (1 << in.step_bits));
  }
  contexts.resize(kept);
  quantised.resize(kept);
  ContextCounts counts;
  counts.count(contexts, quantised);
  SideModels models;
  ContextTables tables{};
  for (int x = 0; x < kContexts; ++x) {
    if (counts.of(x) == 0) continue;
    const TableChoice t = counts.cheapest(x, models.implied(kFirstScale));
    models.table(side, kFirstScale, t);
    tables[x] = residual_table(t);
  }
  residuals.batch(quantised, contexts, tables);
}

void decode_outliers(BitDecoder& side, ResidualDecoder& residuals, const WalkInput& in,
                     std::span<int32_t> decoded) {
  std::vector<uint8_t> contexts = roughness(in.n, decoded);
  if (!in.skip.empty()) {
    size_t kept = 0;
    for (size_t k = 0; k < decoded.size(); ++k) {
      if (!in.skip[k]) contexts[kept++] = contexts[k];
    }
    contexts.resize(kept);
  }
  std::array<bool, kContexts> used{};
  for (const uint8_t x : contexts) used[x] = true;
  SideModels models;
  ContextTables tables{};
  for (int x = 0; x < kContexts; ++x) {
    if (used[x]) tables[x] = residual_table(models.table(side, kFirstScale));
  }
  std::vector<int32_t> quantised(contexts.size());
  residuals.batch(contexts, tables, quantised);
  size_t next = 0;
  for (size_t k = 0; k < decoded.size(); ++k) {
    if (!in.skip.empty() && in.skip[k]) continue;
    const int32_t q = quantised[next++];
    if (q != 0) decoded[k] = clamp_lattice(decoded[k] + int64_t{q} * (1 << in.step_bits));
  }
}

}  // namespace h5neural

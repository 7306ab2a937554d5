// contexts.cc: see contexts.h.
#include "transform/contexts.h"

namespace h5neural {

uint32_t weight_of(int index) {
  if (index == 0) return 0;
  constexpr uint32_t kRoot[2] = {256, 362};
  return kRoot[(index + 1) & 1] >> ((18 - index) / 2);
}

void Magnitudes::shape(const Index4& count) {
  count_ = count;
  stride_ = static_cast<size_t>(count[3]) + 2 * kMargin;
  rows_.assign(
      stride_ * static_cast<size_t>(count[0]) * static_cast<size_t>(count[1]) * static_cast<size_t>(count[2]),
      0);
  zeros_.assign(stride_, 0);
}

namespace {

void add_row(const uint16_t* row, int count, int shift, std::vector<uint32_t>& to) {
  uint32_t* const out = to.data();
  for (int k = 0; k < count; ++k) out[k] += row[k + shift];
}

// The rows next to row j along the other axes.
void add_rows_beside(const Magnitudes& m, const Index4& j, int count, std::vector<uint32_t>& to) {
  for (int a = 0; a < 3; ++a) {
    if (m.count()[a] < 2) continue;
    for (const int step : {-1, 1}) {
      Index4 d = j;
      d[a] += step;
      add_row(m.row(d[0], d[1], d[2]), count, 0, to);
    }
  }
}

// In its own band: rows one step back along an axis at k; beside them at k - 1 and k + 1; rows that differ
// along two axes.
void own_features(const Magnitudes& m, const Index4& i, RowFeatures& f) {
  const int width = m.count()[3];
  std::vector<uint32_t>&near = f.sum[0], &around = f.sum[1];
  for (int a = 0; a < 3; ++a) {
    if (i[a] == 0) continue;
    Index4 j = i;
    --j[a];
    const uint16_t* const row = m.row(j[0], j[1], j[2]);
    add_row(row, width, 0, near);
    add_row(row, width, -1, around);
    add_row(row, width, 1, around);
    for (int b = a + 1; b < 3; ++b) {
      if (m.count()[b] < 2) continue;
      for (const int step : {-1, 1}) {
        Index4 d = j;
        d[b] += step;
        add_row(m.row(d[0], d[1], d[2]), width, 0, around);
      }
    }
  }
}

// The point of a coarser band at i, and those next to it: summed along the coarser row, then spread.
void above_features(const Relative& relative, const Index4& i, int width, RowFeatures& f, int feature) {
  if (relative.band == nullptr) return;
  const Magnitudes& m = *relative.band;
  Index4 j = i;
  for (int a = 0; a < 3; ++a) {
    if (relative.halved >> a & 1) j[a] = i[a] / 2;
    j[a] = std::min(j[a], m.count()[a] - 1);
  }
  const int coarse = m.count()[3];
  const uint16_t* const row = m.row(j[0], j[1], j[2]);
  std::vector<uint32_t>& around = f.scratch;
  around.assign(static_cast<size_t>(coarse), 0);
  add_row(row, coarse, -1, around);
  add_row(row, coarse, 1, around);
  add_rows_beside(m, j, coarse, around);
  uint32_t *const to = f.sum[feature].data(), *const to_around = f.sum[feature + 1].data();
  if (!(relative.halved >> 3 & 1)) {
    for (int k = 0; k < width; ++k) {
      const int from = std::min(k, coarse - 1);
      to[k] += row[from];
      to_around[k] += around[from];
    }
    return;
  }
  const int pairs = std::min(width / 2, coarse);
  for (int k = 0; k < pairs; ++k) {
    to[2 * k] = to[2 * k + 1] = row[k];
    to_around[2 * k] = to_around[2 * k + 1] = around[k];
  }
  for (int k = 2 * pairs; k < width; ++k) {
    const int from = std::min(k / 2, coarse - 1);
    to[k] = row[from];
    to_around[k] = around[from];
  }
}

void sister_features(const Magnitudes& m, const Index4& i, int width, RowFeatures& f) {
  Index4 j = i;
  for (int a = 0; a < 3; ++a) j[a] = std::min(j[a], m.count()[a] - 1);
  const int both = std::min(width, m.count()[3]);
  const uint16_t* const row = m.row(j[0], j[1], j[2]);
  add_row(row, both, 0, f.sum[4]);
  add_row(row, both, -1, f.sum[5]);
  add_row(row, both, 1, f.sum[5]);
  add_rows_beside(m, j, both, f.sum[5]);
}

}  // namespace

void row_features(const Family& family, const Index4& i, RowFeatures& f) {
  const int width = family.own->count()[3];
  for (auto& s : f.sum) s.assign(static_cast<size_t>(width), 0);
  own_features(*family.own, i, f);
  above_features(family.parent, i, width, f, 2);
  for (const Magnitudes* s : family.sisters) sister_features(*s, i, width, f);
  above_features(family.uncle, i, width, f, 6);
}

void expect(const RowFeatures& f, const CoefficientWeights& weights, std::vector<uint32_t>& expected) {
  expected.assign(f.sum[0].size(), 0);
  for (int i = 0; i < kCoefficientFeatures; ++i) {
    const uint32_t w = weight_of(weights[i]);
    if (w == 0) continue;
    for (size_t k = 0; k < expected.size(); ++k) expected[k] += w * f.sum[i][k];
  }
}

Relative uncle_of(const std::vector<WaveletPart>& parts, const std::vector<PartMagnitudes>& all, size_t part,
                  size_t level, uint8_t axes) {
  if (parts[part].above < 0) return {};
  const auto above = static_cast<size_t>(parts[part].above);
  // Levels are counted from the root, for thin parts have fewer.
  const size_t from_root = all[part].size() - 1 - level;
  if (from_root >= all[above].size()) return {};
  const Magnitudes& m = all[above][all[above].size() - 1 - from_root][axes];
  return m.empty() ? Relative{} : Relative{&m, parts[part].above_mask};
}

}  // namespace h5neural

// contexts.cc: see contexts.h.
#include "transform/contexts.h"

namespace h5neural {

uint32_t weight_of(int index) {
  if (index == 0) return 0;
  constexpr uint32_t kRoot[2] = {256, 362};
  return kRoot[(index + 1) & 1] >> ((18 - index) / 2);
}

RowFeatures::Weights weights_of(const CoefficientWeights& indices) {
  RowFeatures::Weights weights;
  for (int i = 0; i < kCoefficientFeatures; ++i) weights[i] = weight_of(indices[i]);
  return weights;
}

void Magnitudes::shape(const Index4& count) {
  count_ = count;
  stride_ = static_cast<size_t>(count[3]) + 2 * kMargin;
  const size_t rows =
      static_cast<size_t>(count[0]) * static_cast<size_t>(count[1]) * static_cast<size_t>(count[2]);
  rows_.resize(rows * stride_ + kOverhang);
  loud_.assign(rows, 0);
  any_ = false;
}

namespace {

// Whether sums over a relative's row have to be spread over the points of a row.
bool needs_spreading(const Relative& r, int width) {
  return r.band != nullptr && (r.halved >> (kAxes - 1) & 1 || r.band->count()[3] < width);
}

}  // namespace

RowFeatures::RowFeatures(const Family& family)
    : family_(family),
      width_(family.own->count()[3]),
      parent_coarse_(needs_spreading(family.parent, width_)),
      uncle_coarse_(needs_spreading(family.uncle, width_)),
      sum_(static_cast<size_t>(width_) + 2 * kOverhang) {}

bool RowFeatures::look(const Index4& i) {
  for (Rows& r : rows_) r.count = 0;
  short_.count = 0;
  own(i);
  above(family_.parent, i, 2);
  for (const Magnitudes* s : family_.sisters) sister(*s, i);
  above(family_.uncle, i, 6);
  int all = 0;
  for (const Rows& r : rows_) all += r.count;
  return all > 0;
}

// In its own band: rows one step back along an axis at k; beside them at k - 1 and k + 1; rows that differ
// along two axes.
void RowFeatures::own(const Index4& i) {
  const Magnitudes& m = *family_.own;
  if (m.silent()) return;
  for (int a = 0; a < 3; ++a) {
    if (i[a] == 0) continue;
    Index4 j = i;
    --j[a];
    const uint16_t* const row = m.row(j[0], j[1], j[2]);
    rows_[0].add(row);
    rows_[1].add_both(row);
    m.beside(j, a + 1, [this](const uint16_t* r) { rows_[1].add(r); });
  }
}

// The point of a coarser band at i, and those next to it.
void RowFeatures::above(const Relative& relative, const Index4& i, size_t feature) {
  if (relative.band == nullptr || relative.band->silent()) return;
  const Magnitudes& m = *relative.band;
  Index4 j = i;
  for (int a = 0; a < 3; ++a) {
    if (relative.halved >> a & 1) j[a] = i[a] / 2;
    j[a] = std::min(j[a], m.count()[a] - 1);
  }
  const uint16_t* const row = m.row(j[0], j[1], j[2]);
  rows_[feature].add(row);
  rows_[feature + 1].add_both(row);
  m.beside(j, 0, [&](const uint16_t* r) { rows_[feature + 1].add(r); });
}

void RowFeatures::sister(const Magnitudes& m, const Index4& i) {
  if (m.silent()) return;
  Index4 j = i;
  for (int a = 0; a < 3; ++a) j[a] = std::min(j[a], m.count()[a] - 1);
  const uint16_t* const row = m.row(j[0], j[1], j[2]);
  rows_[4].add(row);
  rows_[5].add_both(row);
  m.beside(j, 0, [this](const uint16_t* r) { rows_[5].add(r); });
  if (m.count()[3] < width_) short_.add(row);
}

// Sums along a coarser row, each for two points where the last axis is halved; what lies beyond is as its
// last point. Null: nothing.
const uint32_t* RowFeatures::spread(const Relative& relative, size_t feature, const Weights& weights,
                                    std::vector<uint32_t>& to) {
  const int coarse = relative.band->count()[3];
  const Rows &point = rows_[feature], &around = rows_[feature + 1];
  if (coarse == 0 || point.count + around.count == 0) return nullptr;
  coarse_.assign(static_cast<size_t>(coarse) + kOverhang, 0);
  const WeighedRows sums[] = {{weights[feature], point.count, point.row.data()},
                              {weights[feature + 1], around.count, around.row.data()}};
  kernels().weigh({sums, std::size(sums)}, coarse, coarse_.data());
  const int each = relative.halved >> (kAxes - 1) & 1 ? 2 : 1;
  to.resize(static_cast<size_t>(width_) + 2 * kOverhang);
  int k = 0;
  if (each == 2) {
    const auto* const from = reinterpret_cast<const int32_t*>(coarse_.data());
    const int pairs = std::min(width_ / 2, coarse);
    kernels().interleave(from, from, pairs, reinterpret_cast<int32_t*>(to.data()));
    k = 2 * pairs;
  }
  for (; k < width_; ++k) to[k] = coarse_[std::min(k / each, coarse - 1)];
  return to.data();
}

const uint32_t* RowFeatures::weigh(const Weights& weights) {
  std::array<WeighedRows, kCoefficientFeatures> sums;
  size_t count = 0;
  for (size_t j = 0; j < rows_.size(); ++j) {
    if (is_coarse(j) || weights[j] == 0 || rows_[j].count == 0) continue;
    sums[count++] = {weights[j], rows_[j].count, rows_[j].row.data()};
  }
  if (!parent_coarse_ || spread(family_.parent, 2, weights, sum_) == nullptr) {
    std::fill_n(sum_.begin(), width_, 0);
  }
  if (const uint32_t* s = uncle_coarse_ ? spread(family_.uncle, 6, weights, spread_) : nullptr) {
    for (int k = 0; k < width_; ++k) sum_[k] += s[k];
  }
  kernels().weigh({sums.data(), count}, width_, sum_.data());
  for (int r = 0; r < short_.count; ++r) {
    sum_[width_ - 1] -= weights[5] * short_.row[static_cast<size_t>(r)][width_ - 2];
  }
  return sum_.data();
}

std::array<uint32_t, kCoefficientFeatures> RowFeatures::at(int k) const {
  std::array<uint32_t, kCoefficientFeatures> sum{};
  for (size_t j = 0; j < rows_.size(); ++j) {
    int from = k;
    if (is_coarse(j)) {
      const Relative& r = j < 4 ? family_.parent : family_.uncle;
      from = std::min(r.halved >> (kAxes - 1) & 1 ? k / 2 : k, r.band->count()[3] - 1);
    }
    for (int r = 0; r < rows_[j].count; ++r) sum[j] += rows_[j].row[static_cast<size_t>(r)][from];
  }
  for (int r = 0; r < short_.count && k == width_ - 1; ++r) {
    sum[5] -= short_.row[static_cast<size_t>(r)][k - 1];
  }
  return sum;
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

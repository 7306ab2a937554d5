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
}

namespace {

// Whether sums over a relative's row have to be spread over the points of a row.
bool is_coarse(const Relative& r, int width) {
  return r.band != nullptr && (r.halved >> (kAxes - 1) & 1 || r.band->count()[3] < width);
}

}  // namespace

RowFeatures::RowFeatures(const Family& family)
    : family_(family),
      width_(family.own->count()[3]),
      parent_coarse_(is_coarse(family.parent, width_)),
      uncle_coarse_(is_coarse(family.uncle, width_)),
      sum_(static_cast<size_t>(width_) + kOverhang) {}

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

// The rows next to row j along the other axes.
void RowFeatures::add_beside(const Magnitudes& m, const Index4& j, Rows& to) {
  for (int a = 0; a < 3; ++a) {
    if (m.count()[a] < 2) continue;
    for (const int step : {-1, 1}) {
      Index4 d = j;
      d[a] += step;
      to.add(m.row(d[0], d[1], d[2]));
    }
  }
}

// In its own band: rows one step back along an axis at k; beside them at k - 1 and k + 1; rows that differ
// along two axes.
void RowFeatures::own(const Index4& i) {
  const Magnitudes& m = *family_.own;
  for (int a = 0; a < 3; ++a) {
    if (i[a] == 0) continue;
    Index4 j = i;
    --j[a];
    const uint16_t* const row = m.row(j[0], j[1], j[2]);
    rows_[0].add(row);
    rows_[1].add_both(row);
    for (int b = a + 1; b < 3; ++b) {
      if (m.count()[b] < 2) continue;
      for (const int step : {-1, 1}) {
        Index4 d = j;
        d[b] += step;
        rows_[1].add(m.row(d[0], d[1], d[2]));
      }
    }
  }
}

// The point of a coarser band at i, and those next to it.
void RowFeatures::above(const Relative& relative, const Index4& i, size_t feature) {
  if (relative.band == nullptr) return;
  const Magnitudes& m = *relative.band;
  Index4 j = i;
  for (int a = 0; a < 3; ++a) {
    if (relative.halved >> a & 1) j[a] = i[a] / 2;
    j[a] = std::min(j[a], m.count()[a] - 1);
  }
  const uint16_t* const row = m.row(j[0], j[1], j[2]);
  rows_[feature].add(row);
  rows_[feature + 1].add_both(row);
  add_beside(m, j, rows_[feature + 1]);
}

void RowFeatures::sister(const Magnitudes& m, const Index4& i) {
  Index4 j = i;
  for (int a = 0; a < 3; ++a) j[a] = std::min(j[a], m.count()[a] - 1);
  const uint16_t* const row = m.row(j[0], j[1], j[2]);
  rows_[4].add(row);
  rows_[5].add_both(row);
  add_beside(m, j, rows_[5]);
  if (m.count()[3] < width_) short_.add(row);
}

// Sums along a coarser row, each for two points where the last axis is halved; what lies beyond is as its
// last point.
void RowFeatures::spread(const Relative& relative, const Rows& point, const Rows& around, uint32_t w,
                         uint32_t w_around) {
  const int coarse = relative.band->count()[3];
  if (coarse == 0 || point.count + around.count == 0) return;
  coarse_.assign(static_cast<size_t>(coarse) + kOverhang, 0);
  const WeighedRows sums[] = {{w, point.count, point.row.data()},
                              {w_around, around.count, around.row.data()}};
  kernels().weigh({sums, std::size(sums)}, coarse, coarse_.data());
  const int each = relative.halved >> (kAxes - 1) & 1 ? 2 : 1;
  int k = 0;
  if (each == 2) {
    for (const int pairs = std::min(width_ / 2, coarse); k < 2 * pairs; k += 2) {
      sum_[k] += coarse_[k / 2];
      sum_[k + 1] += coarse_[k / 2];
    }
  }
  for (; k < width_; ++k) sum_[k] += coarse_[std::min(k / each, coarse - 1)];
}

const uint32_t* RowFeatures::weigh(const Weights& weights) {
  std::array<WeighedRows, kCoefficientFeatures> sums;
  size_t count = 0;
  for (size_t j = 0; j < rows_.size(); ++j) {
    const bool coarse = (parent_coarse_ && (j == 2 || j == 3)) || (uncle_coarse_ && j >= 6);
    if (coarse || weights[j] == 0 || rows_[j].count == 0) continue;
    sums[count++] = {weights[j], rows_[j].count, rows_[j].row.data()};
  }
  std::fill_n(sum_.begin(), width_, 0);
  kernels().weigh({sums.data(), count}, width_, sum_.data());
  for (int r = 0; r < short_.count; ++r) {
    sum_[width_ - 1] -= weights[5] * short_.row[static_cast<size_t>(r)][width_ - 2];
  }
  if (parent_coarse_) spread(family_.parent, rows_[2], rows_[3], weights[2], weights[3]);
  if (uncle_coarse_) spread(family_.uncle, rows_[6], rows_[7], weights[6], weights[7]);
  return sum_.data();
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

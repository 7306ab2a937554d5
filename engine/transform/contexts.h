// contexts.h: what reader and writer of quantised coefficients share: the order of the bands, and from the
// magnitudes around a coefficient the context that says which table codes it. Integers throughout.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "corrections/side.h"
#include "kernels/kernels.h"
#include "transform/coefficients.h"

namespace h5neural {

constexpr int kMagnitudeLimit = 16383;  // of the magnitudes that contexts are computed from
constexpr uint8_t kQuiet = 255;         // the context of a coefficient around which everything is zero

inline uint16_t magnitude_of(int32_t q) {
  return static_cast<uint16_t>(std::min<uint32_t>(kMagnitudeLimit, static_cast<uint32_t>(std::abs(q))));
}

// Weights of the features, by index: 0 is 0, k is 2^((k - 17) / 2) in units of 2^-8. The sum of all features
// stays below 2^32: each is a sum of at most 20 magnitudes, but weights beyond 1 are for one or two.
constexpr int kWeightIndices = 18;
constexpr CoefficientWeights kFirstWeights = {13, 10, 11, 8, 9, 6, 9, 6};
uint32_t weight_of(int index);

// Half octaves of an expected magnitude in units of 2^-8.
inline uint8_t context_of(uint32_t expected) {
  if (expected == 0) return kQuiet;
  const int octave = std::bit_width(expected) - 1;
  const bool upper = static_cast<uint64_t>(expected) * expected >= uint64_t{2} << (2 * octave);
  return static_cast<uint8_t>(std::clamp(2 * octave + (upper ? 1 : 0) - 2, 0, kContexts - 1));
}
// The scale that a context suggests: in context 14 one bin is expected.
inline int coefficient_scale(int context) { return kTableUnitScale + 2 * (context - 14) + 1; }

// Magnitudes of a band as rows with zeros on both sides. Rows without any, nearly all of them in a smooth
// field, are told apart, so that nobody needs to look at them.
class Magnitudes {
 public:
  void shape(const Index4& count);
  bool empty() const { return loud_.empty(); }
  bool silent() const { return !any_; }  // no row of it is loud
  const Index4& count() const { return count_; }
  // Null where the row does not exist or is zero all along.
  const uint16_t* row(int i0, int i1, int i2) const {
    if (i0 < 0 || i1 < 0 || i2 < 0 || i0 >= count_[0] || i1 >= count_[1] || i2 >= count_[2]) return nullptr;
    return at(index(i0, i1, i2));
  }
  // Calls add(row) for the rows next to row j, which exists, along the axes from `from` on; null as in row().
  template <class Add>
  void beside(const Index4& j, int from, Add&& add) const {
    const size_t r = index(j[0], j[1], j[2]);
    const std::array<size_t, 3> step = {static_cast<size_t>(count_[1]) * static_cast<size_t>(count_[2]),
                                        static_cast<size_t>(count_[2]), 1};
    for (auto a = static_cast<size_t>(from); a < 3; ++a) {
      if (j[a] > 0) add(at(r - step[a]));
      if (j[a] + 1 < count_[a]) add(at(r + step[a]));
    }
  }
  // A row to be written; `finish` says whether there is anything in it.
  uint16_t* begin(const Index4& i) {
    uint16_t* const row = rows_.data() + index(i[0], i[1], i[2]) * stride_ + kMargin;
    row[-2] = row[-1] = row[count_[3]] = row[count_[3] + 1] = 0;
    return row;
  }
  void finish(const Index4& i, bool loud) {
    loud_[index(i[0], i[1], i[2])] = loud;
    any_ |= loud;
  }

 private:
  static constexpr int kMargin = 2;
  const uint16_t* at(size_t r) const { return loud_[r] ? rows_.data() + r * stride_ + kMargin : nullptr; }
  size_t index(int i0, int i1, int i2) const {
    return (static_cast<size_t>(i0) * static_cast<size_t>(count_[1]) + static_cast<size_t>(i1)) *
               static_cast<size_t>(count_[2]) +
           static_cast<size_t>(i2);
  }
  Index4 count_{};
  size_t stride_ = 0;
  Array<uint16_t> rows_;
  std::vector<uint8_t> loud_;
  bool any_ = false;
};

// A band that speaks for the coefficients of another, and the axes along which it has half the points.
struct Relative {
  const Magnitudes* band = nullptr;  // null: none
  uint8_t halved = 0;
};

struct Family {
  const Magnitudes* own = nullptr;
  Relative parent, uncle;
  std::vector<const Magnitudes*> sisters;
};

// What is known about a row before it is coded: the rows of magnitudes that each feature sums up. What comes
// from the row itself is added point by point: magnitude k - 1 to feature 0, k - 2 to feature 1.
class RowFeatures {
 public:
  explicit RowFeatures(const Family& family);
  // Looks around row i; false: everything known is zero.
  bool look(const Index4& i);
  // sum[k] = the features of point k, weighed, modulo 2^32.
  using Weights = std::array<uint32_t, kCoefficientFeatures>;
  const uint32_t* weigh(const Weights& weights);
  // The features of one point of the row, not weighed.
  std::array<uint32_t, kCoefficientFeatures> at(int k) const;

 private:
  // One of 14 sisters may have 8 rows beside its own.
  static constexpr int kMostRows = 14 * 8;
  struct Rows {
    int count = 0;
    std::array<const uint16_t*, kMostRows> row;
    void add(const uint16_t* r) {
      if (r != nullptr) row[static_cast<size_t>(count++)] = r;
    }
    // The rows at k - 1 and at k + 1.
    void add_both(const uint16_t* r) {
      if (r == nullptr) return;
      add(r - 1);
      add(r + 1);
    }
  };
  void own(const Index4& i);
  void above(const Relative& relative, const Index4& i, size_t feature);
  void sister(const Magnitudes& m, const Index4& i);
  bool is_coarse(size_t feature) const {
    return (parent_coarse_ && (feature == 2 || feature == 3)) || (uncle_coarse_ && feature >= 6);
  }
  const uint32_t* spread(const Relative& relative, size_t feature, const Weights& weights,
                         std::vector<uint32_t>& to);

  const Family& family_;
  int width_;
  std::array<Rows, kCoefficientFeatures> rows_;
  bool parent_coarse_, uncle_coarse_;  // those that are not as wide as the row itself
  Rows short_;                         // of sisters that end one point earlier, and say nothing beyond
  std::vector<uint32_t> sum_, coarse_, spread_;
};
// Weights, units of 2^-8.
RowFeatures::Weights weights_of(const CoefficientWeights& indices);

// Magnitudes of all bands of a part, as the bands of PartBands.
using PartMagnitudes = std::vector<std::array<Magnitudes, kClasses>>;
// The same band in the part above.
Relative uncle_of(const std::vector<WaveletPart>& parts, const std::vector<PartMagnitudes>& all, size_t part,
                  size_t level, uint8_t axes);

// Goes over all bands from coarse to fine, part by part: visit(part, level, axes, family, own), which fills
// `own`. The root of the first part is not among them.
template <class Visit>
void for_bands(const std::vector<WaveletPart>& parts, Visit&& visit) {
  std::vector<PartMagnitudes> all(parts.size());
  for (size_t part = 0; part < parts.size(); ++part) {
    const WaveletPart& p = parts[part];
    const size_t levels = p.masks.size();
    all[part].resize(levels + 1);
    for (size_t l = part == 0 ? levels : levels + 1; l-- > 0;) {
      const Index4 grid = p.grid(l);
      std::vector<const Magnitudes*> coded;
      for (const uint8_t axes : l == levels ? std::vector<uint8_t>{0} : band_order(p.masks[l])) {
        Magnitudes& own = all[part][l][axes];
        own.shape(l == levels ? grid : band_count(grid, p.masks[l], axes));
        Family family;
        family.own = &own;
        const uint8_t above = l + 1 < levels ? axes & p.masks[l + 1] : 0;
        if (above != 0) family.parent = {&all[part][l + 1][above], p.masks[l + 1]};
        family.uncle = uncle_of(parts, all, part, l, axes);
        family.sisters = coded;
        visit(part, l, axes, family, own);
        coded.push_back(&own);
      }
    }
  }
}

// What is said before the coefficients, and of those that no table codes.
struct CoefficientModels {
  IntModel weight, root, run, first;
  SideModels tables;
};
constexpr int kTopBits = 6;  // of the number of contexts that have a table

}  // namespace h5neural

// wavelet.cc: see wavelet.h.
#include "transform/wavelet.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "kernels/kernels.h"

namespace h5neural {
namespace {

// Lifting constants in units of 2^-28, in the writer's order: odd, even, odd, even points.
constexpr std::array<int32_t, 4> kLift = {-425774695, -14221742, 237004637, 119052964};
// By how much the even points exceed a low band whose gain at frequency zero is 1, per axis, units of 2^-28.
constexpr int32_t kLowGain = 330222347;

// 2^16 over the norms of the one-dimensional basis functions, by how often an axis was split: of low bands
// after `depth` splits, of high bands of the last of them. Measured on the inverse itself
// (h5tests/unit/transform_test.cc); beyond the table each split divides by the square root of 2.
constexpr int kDepths = 8;
constexpr std::array<int32_t, kDepths + 1> kLowNorm = {65536, 46740, 32276, 22588, 15923,
                                                       11250, 7953,  5623,  3976};
constexpr std::array<int32_t, kDepths + 1> kHighNorm = {65536, 73863, 54169, 36945, 25688,
                                                        18074, 12763, 9022,  6378};

int64_t norm_of_axis(int depth, bool high) {
  const auto& table = high ? kHighNorm : kLowNorm;
  int64_t v = table[std::min(depth, kDepths)];
  for (int d = kDepths; d < depth; ++d) v = v * 46341 >> 16;
  return std::max<int64_t>(v, 1);
}

// The grid as outer x length x inner along one axis.
struct Along {
  int64_t outer = 1, length, inner = 1;
  Along(const Index4& n, int axis) : length(n[axis]) {
    for (int a = 0; a < axis; ++a) outer *= n[a];
    for (int a = axis + 1; a < kAxes; ++a) inner *= n[a];
  }
};

// Columns are lifted in strips that stay in the cache while all four steps pass over them.
constexpr int64_t kStrip = 512;

// One lifting step: x[i] += c (x[i - 1] + x[i + 1]) for the points i of one parity, mirrored at the ends.
// step(target, left, right) handles `width` columns.
template <class Step>
void lift_parity(int64_t length, int parity, Step&& step) {
  for (int64_t i = parity; i < length; i += 2) {
    const int64_t left = i > 0 ? i - 1 : i + 1, right = i + 1 < length ? i + 1 : i - 1;
    step(i, left, right);
  }
}

template <class T, class Lift>
void lift_axis(const Along& l, T* x, bool inverse, Lift&& lift) {
  if (l.length < 2) return;
  for (int64_t o = 0; o < l.outer; ++o) {
    for (int64_t from = 0; from < l.inner; from += kStrip) {
      const int64_t width = std::min(kStrip, l.inner - from);
      T* const base = x + o * l.length * l.inner + from;
      for (int s = 0; s < 4; ++s) {
        const int step = inverse ? 3 - s : s;
        lift_parity(l.length, step % 2 == 0 ? 1 : 0, [&](int64_t i, int64_t left, int64_t right) {
          lift(base + i * l.inner, base + left * l.inner, base + right * l.inner, width, kLift[step]);
        });
      }
    }
  }
}

void lift_forward(double* out, const double* left, const double* right, int64_t count, int32_t c) {
  const double f = std::ldexp(c, -kLiftBits);
  for (int64_t k = 0; k < count; ++k) out[k] += f * (left[k] + right[k]);
}

// Rows along the last axis: the two parities apart, so that steps run over contiguous points.
void split_rows(int64_t rows, int64_t length, double* x) {
  if (length < 2) return;
  const int64_t evens = (length + 1) / 2, odds = length / 2;
  // One point of margin on each side for the mirror images.
  std::vector<double> even(static_cast<size_t>(evens + 2)), odd(static_cast<size_t>(odds + 2));
  double *const e = even.data() + 1, *const o = odd.data() + 1;
  for (int64_t r = 0; r < rows; ++r) {
    double* const row = x + r * length;
    for (int64_t k = 0; k < odds; ++k) {
      e[k] = row[2 * k];
      o[k] = row[2 * k + 1];
    }
    if (evens > odds) e[odds] = row[2 * odds];
    for (int s = 0; s < 4; ++s) {
      if (s % 2 == 0) {
        e[evens] = e[evens - 1];  // right of the last odd point, where the length is even
        lift_forward(o, e, e + 1, odds, kLift[s]);
      } else {
        o[-1] = o[0];
        o[odds] = o[odds - 1];
        lift_forward(e, o - 1, o, evens, kLift[s]);
      }
    }
    for (int64_t k = 0; k < odds; ++k) {
      row[2 * k] = e[k];
      row[2 * k + 1] = o[k];
    }
    if (evens > odds) row[2 * odds] = e[odds];
  }
}

}  // namespace

Index4 band_count(const Index4& grid, uint8_t mask, uint8_t axes) {
  Index4 c = grid;
  for (int a = 0; a < kAxes; ++a) {
    if (mask >> a & 1) c[a] = axes >> a & 1 ? grid[a] / 2 : (grid[a] + 1) / 2;
  }
  return c;
}

std::vector<uint8_t> band_order(uint8_t mask) {
  std::vector<uint8_t> order;
  for (int ones = 1; ones <= kAxes; ++ones) {
    for (uint8_t axes = 1; axes < kClasses; ++axes) {
      if ((axes & ~mask) == 0 && std::popcount(axes) == ones) order.push_back(axes);
    }
  }
  return order;
}

std::vector<uint8_t> levels_of(const std::vector<uint8_t>& stage, const Index4& n) {
  std::vector<uint8_t> masks;
  Index4 grid = n;
  for (uint8_t mask : stage) {
    for (int a = 0; a < kAxes; ++a) {
      if (grid[a] < 2) mask &= static_cast<uint8_t>(~(1 << a));
    }
    if (mask != 0) masks.push_back(mask);
    grid = band_count(grid, mask, 0);
  }
  return masks;
}

Index4 grid_of(const std::vector<uint8_t>& masks, const Index4& n, size_t level) {
  Index4 g = n;
  for (size_t l = 0; l < level; ++l) g = band_count(g, masks[l], 0);
  return g;
}

namespace {

int64_t norm_of_band(const std::vector<uint8_t>& masks, size_t level, uint8_t axes) {
  int64_t v = int64_t{1} << 16;
  for (int a = 0; a < kAxes; ++a) {
    int depth = 0;
    for (size_t l = 0; l < masks.size() && l <= level; ++l) depth += masks[l] >> a & 1;
    v = v * norm_of_axis(depth, axes >> a & 1) >> 16;
    // Only what is low along all axes is scaled.
    const bool low = axes != 0 && masks[level] >> a & 1 && !(axes >> a & 1);
    if (low) v = v * int64_t{kLowGain} >> kLiftBits;
  }
  return std::max<int64_t>(v, 1);
}

// Boxes of one stage after the other, depth first.
class PartList {
 public:
  explicit PartList(const WaveletPlan& plan) : plan_(plan) { add(0, plan.n, int64_t{1} << 16, {}); }
  std::vector<WaveletPart> take() { return std::move(parts_); }

 private:
  // Parts come from the same stages in the same order, so the part above one stands as far from the first
  // part of its box as that one from the first of its own.
  struct Above {
    int first = -1;  // part of the box above
    uint8_t mask = 0;
  };

  void add(size_t stage, const Index4& n, int64_t norm, Above above) {
    if (stage + 1 == plan_.stages.size()) {
      WaveletPart p{n, levels_of(plan_.stages[stage], n), norm, -1, 0};
      if (above.first >= 0 && same_box(p, above)) {
        p.above = above.first;
        p.above_mask = above.mask;
      }
      parts_.push_back(std::move(p));
      return;
    }
    const std::vector<uint8_t> masks = levels_of(plan_.stages[stage], n);
    std::array<int, kClasses> coarser;  // first part of each band one level up
    coarser.fill(-1);
    add(stage + 1, grid_of(masks, n, masks.size()), norm * norm_of_band(masks, masks.size(), 0) >> 16, above);
    for (size_t l = masks.size(); l-- > 0;) {
      std::array<int, kClasses> here;
      here.fill(-1);
      for (const uint8_t axes : band_order(masks[l])) {
        const Index4 box = band_count(grid_of(masks, n, l), masks[l], axes);
        if (points(box) == 0) continue;
        here[axes] = static_cast<int>(parts_.size());
        const Above next{coarser[axes], l + 1 < masks.size() ? masks[l + 1] : uint8_t{0}};
        add(stage + 1, box, norm * norm_of_band(masks, l, axes) >> 16, next);
      }
      coarser = here;
    }
  }

  // Whether the part above has, with the axes halved, the extents of p.
  bool same_box(const WaveletPart& p, const Above& above) const {
    const Index4& n = parts_[static_cast<size_t>(above.first)].n;
    for (int a = 0; a < kAxes; ++a) {
      const int expected = above.mask >> a & 1 ? p.n[a] / 2 : p.n[a];
      if (n[a] < expected || n[a] > expected + 1) return false;
    }
    return true;
  }

  const WaveletPlan& plan_;
  std::vector<WaveletPart> parts_;
};

}  // namespace

std::vector<WaveletPart> wavelet_parts(const WaveletPlan& plan) { return PartList(plan).take(); }

int64_t inverse_norm(const WaveletPart& part, size_t level, uint8_t axes) {
  return std::max<int64_t>(1, part.inverse_norm * norm_of_band(part.masks, level, axes) >> 16);
}

void split(const Index4& grid, uint8_t mask, std::span<double> x) {
  for (int a = kAxes - 1; a >= 0; --a) {
    if (!(mask >> a & 1)) continue;
    if (a == kAxes - 1) {
      split_rows(points(grid) / grid[a], grid[a], x.data());
    } else {
      lift_axis(Along(grid, a), x.data(), false, lift_forward);
    }
  }
}

LevelMerge::LevelMerge(const Index4& grid, uint8_t mask)
    : grid_(grid),
      mask_(mask),
      split_rows_((mask >> (kAxes - 1) & 1) != 0),
      evens_(split_rows_ ? (grid[3] + 1) / 2 : grid[3]),
      rows_(int64_t{grid[0]} * grid[1] * grid[2]),
      stride_(split_rows_ ? grid[3] + 4 : grid[3]) {
  padded_.resize(static_cast<size_t>(rows_ * stride_) + kOverhang);
  std::fill(padded_.end() - kOverhang, padded_.end(), 0);
  for (int64_t r = 0; split_rows_ && r < rows_; ++r) {
    // Margins are lifted with their rows along the other axes, so they need to be numbers.
    int32_t* const at = padded_.data() + r * stride_;
    at[0] = at[evens_ + 1] = at[evens_ + 2] = at[stride_ - 1] = 0;
  }
}

void LevelMerge::low(const LevelValues& values) {
  if (values.empty()) return no_band(0);
  band(0, values.data(), [this](const int32_t* in, int32_t* out) {
    kernels().scale(in, evens_, kLowGain, std::popcount(mask_), out);
  });
}

void LevelMerge::no_band(uint8_t axes) {
  const Index4 count = band_count(grid_, mask_, axes);
  for_rows(count, [&](const Index4& i) { std::fill_n(row(axes, i), count[3], 0); });
}

void LevelMerge::merge_row(int32_t* even, int32_t* odd, int32_t* out) const {
  const int odds = grid_[3] / 2;
  for (int step = 3; step >= 0; --step) {
    if (step % 2 == 0) {
      even[evens_] = even[evens_ - 1];  // right of the last odd point, where the length is even
      kernels().lift(odd, even, even + 1, odds, kLift[step]);
    } else {
      odd[-1] = odd[0];
      odd[odds] = odd[odds - 1];
      kernels().lift(even, odd - 1, odd, evens_, kLift[step]);
    }
  }
  kernels().interleave(even, odd, evens_, out);
}

LevelValues LevelMerge::finish() {
  Index4 wide = grid_;
  wide[3] = static_cast<int>(stride_);
  for (int a = 0; a < kAxes - 1; ++a) {
    if (mask_ >> a & 1) lift_axis(Along(wide, a), padded_.data(), true, kernels().lift);
  }
  if (!split_rows_) return std::move(padded_);
  LevelValues whole(static_cast<size_t>(points(grid_)) + kOverhang);
  for (int64_t r = 0; r < rows_; ++r) {
    int32_t* const even = padded_.data() + r * stride_ + 1;
    merge_row(even, even + evens_ + 2, whole.data() + r * grid_[3]);
  }
  return whole;
}

double unscale_low(double x, int axes) {
  for (; axes > 0; --axes) x /= std::ldexp(double(kLowGain), -kLiftBits);
  return x;
}

}  // namespace h5neural

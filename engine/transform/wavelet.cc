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
constexpr int kLiftBits = 28;
constexpr std::array<int32_t, 4> kLift = {-425774695, -14221742, 237004637, 119052964};
// By how much the even points exceed a low band whose gain at frequency zero is 1, per axis, units of 2^-28.
constexpr int64_t kLowGain = 330222347;

// x c, rounded, modulo 2^32.
int32_t scaled(int32_t x, int64_t c) {
  return static_cast<int32_t>((int64_t{x} * c + (int64_t{1} << (kLiftBits - 1))) >> kLiftBits);
}

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
void lift_axis(const Along& l, std::span<T> x, bool inverse, Lift&& lift) {
  if (l.length < 2) return;
  for (int64_t o = 0; o < l.outer; ++o) {
    for (int64_t from = 0; from < l.inner; from += kStrip) {
      const int64_t width = std::min(kStrip, l.inner - from);
      T* const base = x.data() + o * l.length * l.inner + from;
      for (int s = 0; s < 4; ++s) {
        const int step = inverse ? 3 - s : s;
        lift_parity(l.length, step % 2 == 0 ? 1 : 0, [&](int64_t i, int64_t left, int64_t right) {
          lift(base + i * l.inner, base + left * l.inner, base + right * l.inner, width, kLift[step]);
        });
      }
    }
  }
}

// Rows along the last axis: the two parities apart, so that steps run over contiguous points.
template <class T, class Lift>
void lift_rows(int64_t rows, int64_t length, std::span<T> x, bool inverse, Lift&& lift) {
  if (length < 2) return;
  const int64_t evens = (length + 1) / 2, odds = length / 2;
  // One point of margin on each side for the mirror images.
  Array<T> even(static_cast<size_t>(evens + 2) + kOverhang), odd(static_cast<size_t>(odds + 2) + kOverhang);
  T *const e = even.data() + 1, *const o = odd.data() + 1;
  for (int64_t r = 0; r < rows; ++r) {
    T* const row = x.data() + r * length;
    for (int64_t k = 0; k < odds; ++k) {
      e[k] = row[2 * k];
      o[k] = row[2 * k + 1];
    }
    if (evens > odds) e[odds] = row[2 * odds];
    for (int s = 0; s < 4; ++s) {
      const int step = inverse ? 3 - s : s;
      if (step % 2 == 0) {
        e[evens] = e[evens - 1];  // right of the last odd point, where the length is even
        lift(o, e, e + 1, odds, kLift[step]);
      } else {
        o[-1] = o[0];
        o[odds] = o[odds - 1];
        lift(e, o - 1, o, evens, kLift[step]);
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
    if (low) v = v * kLowGain >> kLiftBits;
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
  const auto lift = [](double* out, const double* left, const double* right, int64_t count, int32_t c) {
    const double f = std::ldexp(c, -kLiftBits);
    for (int64_t k = 0; k < count; ++k) out[k] += f * (left[k] + right[k]);
  };
  for (int a = kAxes - 1; a >= 0; --a) {
    if (!(mask >> a & 1)) continue;
    if (a == kAxes - 1) {
      lift_rows(points(grid) / grid[a], grid[a], x, false, lift);
    } else {
      lift_axis(Along(grid, a), x, false, lift);
    }
  }
}

void merge(const Index4& grid, uint8_t mask, std::span<int32_t> x) {
  const auto lift = [](int32_t* out, const int32_t* left, const int32_t* right, int64_t count, int32_t c) {
    for (int64_t k = 0; k < count; ++k) {
      const auto sum = static_cast<int32_t>(static_cast<uint32_t>(left[k]) + static_cast<uint32_t>(right[k]));
      out[k] = static_cast<int32_t>(static_cast<uint32_t>(out[k]) - static_cast<uint32_t>(scaled(sum, c)));
    }
  };
  for (int a = 0; a < kAxes; ++a) {
    if (!(mask >> a & 1)) continue;
    if (a == kAxes - 1) {
      lift_rows(points(grid) / grid[a], grid[a], x, true, lift);
    } else {
      lift_axis(Along(grid, a), x, true, lift);
    }
  }
}

int32_t scale_low(int32_t x, int axes) {
  for (; axes > 0; --axes) x = scaled(x, kLowGain);
  return x;
}

double unscale_low(double x, int axes) {
  for (; axes > 0; --axes) x /= std::ldexp(double(kLowGain), -kLiftBits);
  return x;
}

}  // namespace h5neural

// synthesis.cc: see synthesis.h.
#include "transform/synthesis.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace h5neural {
namespace {

// Reconstruction points of one band.
class Dequantiser {
 public:
  Dequantiser(int64_t step, const TransformScales& s)
      : step_(step), one_(s.shift_one * step / kShiftUnit), more_(s.shift_more * step / kShiftUnit) {}
  int32_t operator()(int32_t q) const {
    if (q == 0) return 0;
    const int64_t magnitude = std::abs(int64_t{q});
    const int64_t v =
        std::min<int64_t>(magnitude * step_ - (magnitude == 1 ? one_ : more_), kCoefficientMost);
    return static_cast<int32_t>(q < 0 ? -v : v);
  }

 private:
  int64_t step_, one_, more_;
};

// Band 0 into the grid that it came from.
void place_low(const Index4& grid, uint8_t mask, const std::vector<int32_t>& low,
               std::vector<int32_t>& field) {
  const int axes = std::popcount(mask);
  for_band_points(grid, mask, 0, [&](int64_t p, int64_t k) { field[p] = scale_low(low[k], axes); });
}

std::vector<int32_t> synthesise_part(const Coefficients& c, const TransformScales& s, size_t part) {
  const WaveletPart& p = c.parts[part];
  const auto& bands = c.of[part];
  const size_t levels = p.masks.size();
  // The root of the first part is not rounded towards zero.
  TransformScales root = s;
  if (part == 0) root.shift_one = root.shift_more = 0;
  const Dequantiser of_root(band_step(s, p, levels, 0), root);
  std::vector<int32_t> low(bands[levels][0].size());
  for (size_t k = 0; k < low.size(); ++k) low[k] = of_root(bands[levels][0][k]);
  for (size_t l = levels; l-- > 0;) {
    const Index4 grid = p.grid(l);
    std::vector<int32_t> field(static_cast<size_t>(points(grid)));
    place_low(grid, p.masks[l], low, field);
    for (const uint8_t axes : band_order(p.masks[l])) {
      const std::vector<int32_t>& q = bands[l][axes];
      const Dequantiser value(band_step(s, p, l, axes), s);
      for_band_points(grid, p.masks[l], axes, [&](int64_t at, int64_t k) { field[at] = value(q[k]); });
    }
    merge(grid, p.masks[l], field);
    low = std::move(field);
  }
  return low;
}

// Boxes of one stage after the other, in the order of the parts.
class Synthesis {
 public:
  Synthesis(const WaveletPlan& plan, const Coefficients& c, const TransformScales& s)
      : plan_(plan), c_(c), s_(s) {}

  std::vector<int32_t> box(size_t stage, const Index4& n) {
    if (stage + 1 == plan_.stages.size()) return synthesise_part(c_, s_, next_++);
    const std::vector<uint8_t> masks = levels_of(plan_.stages[stage], n);
    std::vector<int32_t> low = box(stage + 1, grid_of(masks, n, masks.size()));
    for (size_t l = masks.size(); l-- > 0;) {
      const Index4 grid = grid_of(masks, n, l);
      std::vector<int32_t> field(static_cast<size_t>(points(grid)));
      place_low(grid, masks[l], low, field);
      for (const uint8_t axes : band_order(masks[l])) {
        const Index4 count = band_count(grid, masks[l], axes);
        if (points(count) == 0) continue;
        const std::vector<int32_t> band = box(stage + 1, count);
        for_band_points(grid, masks[l], axes, [&](int64_t p, int64_t k) { field[p] = band[k]; });
      }
      merge(grid, masks[l], field);
      low = std::move(field);
    }
    return low;
  }

 private:
  const WaveletPlan& plan_;
  const Coefficients& c_;
  const TransformScales& s_;
  size_t next_ = 0;
};

}  // namespace

int64_t band_step(const TransformScales& s, const WaveletPart& part, size_t level, uint8_t axes) {
  const int64_t wide = (int64_t{s.step} << s.fraction) * inverse_norm(part, level, axes);
  return std::clamp<int64_t>(wide >> (16 + kStepFraction), 1, kCoefficientMost);
}

void synthesise(const WaveletPlan& plan, const Coefficients& c, const TransformScales& s,
                std::span<int32_t> field) {
  const std::vector<int32_t> fine = Synthesis(plan, c, s).box(0, plan.n);
  const int64_t half = s.fraction > 0 ? int64_t{1} << (s.fraction - 1) : 0;
  for (size_t k = 0; k < fine.size(); ++k) field[k] = clamp_lattice((fine[k] + half) >> s.fraction);
}

}  // namespace h5neural

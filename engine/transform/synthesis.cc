// synthesis.cc: see synthesis.h.
#include "transform/synthesis.h"

#include <algorithm>

#include "kernels/kernels.h"

namespace h5neural {
namespace {

bool all_zero(std::span<const int32_t> q) {
  return std::all_of(q.begin(), q.end(), [](int32_t v) { return v == 0; });
}

ReconstructionPoints reconstruction(int64_t step, const TransformScales& s) {
  return {static_cast<int32_t>(step), static_cast<int32_t>(s.shift_one * step / kShiftUnit),
          static_cast<int32_t>(s.shift_more * step / kShiftUnit), kCoefficientMost};
}

LevelValues synthesise_part(const Coefficients& c, const TransformScales& s, size_t part) {
  const WaveletPart& p = c.parts[part];
  const auto& bands = c.of[part];
  const size_t levels = p.masks.size();
  // The root of the first part is not rounded towards zero.
  TransformScales root = s;
  if (part == 0) root.shift_one = root.shift_more = 0;
  const std::span<const int32_t> of_root = bands[levels][0];
  LevelValues low;
  if (!all_zero(of_root)) {
    low.resize(of_root.size() + kOverhang);
    kernels().reconstruct(of_root.data(), static_cast<int64_t>(of_root.size()),
                          reconstruction(band_step(s, p, levels, 0), root), low.data());
  }
  for (size_t l = levels; l-- > 0;) {
    const Index4 grid = p.grid(l);
    const auto zero = [&](uint8_t axes) { return all_zero(bands[l][axes]); };
    const std::vector<uint8_t> order = band_order(p.masks[l]);
    if (low.empty() && std::all_of(order.begin(), order.end(), zero)) continue;
    LevelMerge level(grid, p.masks[l]);
    level.low(low);
    for (const uint8_t axes : order) {
      const int64_t width = band_count(grid, p.masks[l], axes)[3];
      const ReconstructionPoints r = reconstruction(band_step(s, p, l, axes), s);
      level.band(axes, bands[l][axes].data(),
                 [&](const int32_t* in, int32_t* out) { kernels().reconstruct(in, width, r, out); });
    }
    low = level.finish();
  }
  return low;
}

// Boxes of one stage after the other, in the order of the parts.
class Synthesis {
 public:
  Synthesis(const WaveletPlan& plan, const Coefficients& c, const TransformScales& s)
      : plan_(plan), c_(c), s_(s) {}

  LevelValues box(size_t stage, const Index4& n) {
    if (stage + 1 == plan_.stages.size()) return synthesise_part(c_, s_, next_++);
    const std::vector<uint8_t> masks = levels_of(plan_.stages[stage], n);
    LevelValues low = box(stage + 1, grid_of(masks, n, masks.size()));
    for (size_t l = masks.size(); l-- > 0;) {
      const Index4 grid = grid_of(masks, n, l);
      LevelMerge level(grid, masks[l]);
      bool zero = low.empty();
      level.low(low);
      for (const uint8_t axes : band_order(masks[l])) {
        const Index4 count = band_count(grid, masks[l], axes);
        if (points(count) == 0) continue;
        const LevelValues band = box(stage + 1, count);
        zero &= band.empty();
        if (band.empty()) {
          level.no_band(axes);
        } else {
          level.band(axes, band.data(),
                     [&](const int32_t* in, int32_t* out) { std::copy_n(in, count[3], out); });
        }
      }
      low = zero ? LevelValues() : level.finish();
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
  const LevelValues fine = Synthesis(plan, c, s).box(0, plan.n);
  if (fine.empty()) return std::fill(field.begin(), field.end(), 0);
  if (s.fraction == 0) {
    for (size_t k = 0; k < field.size(); ++k) field[k] = std::clamp(fine[k], -kLatticeMax, kLatticeMax);
    return;
  }
  // (v + half) >> fraction without its carry.
  const int before = s.fraction - 1;
  for (size_t k = 0; k < field.size(); ++k) {
    const int32_t v = std::min(fine[k], INT32_MAX - 1) >> before;
    field[k] = std::clamp((v + 1) >> 1, -kLatticeMax, kLatticeMax);
  }
}

}  // namespace h5neural

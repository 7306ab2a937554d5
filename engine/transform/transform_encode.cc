// transform_encode.cc: the writer of a transform section; see transform.h. Floats are free here.
#include <algorithm>
#include <bit>
#include <cmath>

#include "support/about_log2.h"
#include "transform/outliers.h"
#include "transform/section.h"
#include "transform/transform.h"

namespace h5neural {
namespace {

// One level along the axes of `mask`, in place: each point the average of itself and its two neighbours.
void blur(const Index4& grid, uint8_t mask, std::span<double> x) {
  int64_t stride = 1;
  std::vector<double> line;
  for (int a = kAxes; a-- > 0; stride *= grid[a]) {
    if ((mask >> a & 1) == 0 || grid[a] < 2) continue;
    const auto n = static_cast<size_t>(grid[a]), apart = static_cast<size_t>(stride);
    line.resize(n);
    for (size_t block = 0; block < x.size(); block += n * apart) {
      for (size_t first = block; first < block + apart; ++first) {
        for (size_t i = 0; i < n; ++i) line[i] = x[first + i * apart];
        for (size_t i = 0; i < n; ++i) {
          const double before = line[i > 0 ? i - 1 : 1], after = line[i + 1 < n ? i + 1 : n - 2];
          x[first + i * apart] = (before + 2 * line[i] + after) / 4;
        }
      }
    }
  }
}

// What a level makes of a field before its points are sorted into bands.
using OneLevel = void (*)(const Index4& grid, uint8_t mask, std::span<double> x);

void wavelet_level(const Index4& grid, uint8_t mask, std::span<double> x) {
  split(grid, mask, x);
  const int axes_split = std::popcount(mask);
  for_band_points(grid, mask, 0, [&](int64_t p, int64_t) { x[p] = unscale_low(x[p], axes_split); });
}

class Analyser {
 public:
  Analyser(const WaveletPlan& plan, std::span<const double> target, OneLevel one_level)
      : one_level_(one_level) {
    a_.plan = plan;
    a_.parts = wavelet_parts(plan);
    a_.bands = Bands<float>(a_.parts);
    for (const double t : target) a_.most = std::max(a_.most, std::abs(t));
    box(0, plan.n, {target.begin(), target.end()});
  }

  Analysis take() { return std::move(a_); }

 private:
  // The bands of one level of a box, by axes; 0: the low one.
  using Split = std::array<std::vector<double>, kClasses>;

  Split take_apart(const Index4& grid, uint8_t mask, std::vector<double> field) const {
    one_level_(grid, mask, field);
    Split bands;
    std::vector<uint8_t> order = band_order(mask);
    order.push_back(0);
    for (const uint8_t axes : order) {
      bands[axes].resize(static_cast<size_t>(points(band_count(grid, mask, axes))));
      for_band_points(grid, mask, axes, [&](int64_t p, int64_t k) { bands[axes][k] = field[p]; });
    }
    return bands;
  }

  // In the order of the parts.
  void box(size_t stage, const Index4& n, std::vector<double> field) {
    if (stage + 1 == a_.plan.stages.size()) {
      part(next_++, std::move(field));
      return;
    }
    const std::vector<uint8_t> masks = levels_of(a_.plan.stages[stage], n);
    std::vector<Split> levels;
    for (size_t l = 0; l < masks.size(); ++l) {
      levels.push_back(take_apart(grid_of(masks, n, l), masks[l], std::move(field)));
      field = std::move(levels.back()[0]);
    }
    box(stage + 1, grid_of(masks, n, masks.size()), std::move(field));
    for (size_t l = masks.size(); l-- > 0;) {
      for (const uint8_t axes : band_order(masks[l])) {
        if (levels[l][axes].empty()) continue;
        box(stage + 1, band_count(grid_of(masks, n, l), masks[l], axes), std::move(levels[l][axes]));
      }
    }
  }

  void part(size_t p, std::vector<double> field) {
    const WaveletPart& part = a_.parts[p];
    auto& bands = a_.bands.of[p];
    for (size_t l = 0; l < part.masks.size(); ++l) {
      Split s = take_apart(part.grid(l), part.masks[l], std::move(field));
      for (const uint8_t axes : band_order(part.masks[l]))
        std::copy(s[axes].begin(), s[axes].end(), bands[l][axes].begin());
      field = std::move(s[0]);
    }
    std::copy(field.begin(), field.end(), bands.back()[0].begin());
  }

  OneLevel one_level_;
  Analysis a_;
  size_t next_ = 0;
};

class TransformEncoder {
 public:
  TransformEncoder(const WalkInput& in, const Analysis& a, const TransformChoice& choice)
      : in_(in),
        choice_(choice),
        a_(a),
        real_(a.parts),
        c_(a.parts),
        scales_(scales_for(a.most, choice.step)) {}

  Bytes run(std::span<const double> target, CoefficientMemory& memory, std::vector<int32_t>& decoded) {
    to_steps(a_, scales_, real_);
    BitEncoder side;
    ResidualEncoder residuals;
    write_plan(side, a_.plan, scales_);
    encode_coefficients(side, residuals, real_, {choice_.lambda, choice_.weights}, memory, c_);
    Centres centres;
    centres.add(real_, c_);
    centres.set_shifts(scales_);
    write_shifts(side, scales_);
    decoded.resize(target.size());
    synthesise(a_.plan, c_, scales_, decoded);
    const std::vector<uint8_t> chosen = choice_.chosen ? choice_.chosen(decoded) : std::vector<uint8_t>();
    const bool corrected = choice_.pointwise || !chosen.empty();
    side.raw(corrected ? 1 : 0, 1);
    if (corrected) encode_outliers(side, residuals, in_, target, chosen, decoded);
    return finish_section(side, residuals, choice_.spare);
  }

 private:
  const WalkInput& in_;
  const TransformChoice& choice_;
  const Analysis& a_;
  Bands<float> real_;
  Coefficients c_;
  TransformScales scales_;
};

}  // namespace

Analysis analyse(const WaveletPlan& plan, std::span<const double> target) {
  return Analyser(plan, target, wavelet_level).take();
}

Bands<float> coefficient_weights(const WaveletPlan& plan, std::span<const double> weight) {
  return std::move(Analyser(plan, weight, blur).take().bands);
}

namespace {

// Sum of log2(1 + 9 x^2) over x = per c. Lanes are added up in a fixed order, however they are computed.
double log_energy(std::span<const float> c, float per) {
  constexpr size_t kLanes = 16, kBlock = 1024;
  double sum = 0;
  for (size_t from = 0; from < c.size(); from += kBlock) {
    const size_t to = std::min(from + kBlock, c.size());
    std::array<float, kLanes> lane{};
    size_t k = from;
    for (; k + kLanes <= to; k += kLanes) {
      for (size_t i = 0; i < kLanes; ++i) {
        const float x = c[k + i] * per;
        lane[i] += about_log2(1 + 9 * x * x);
      }
    }
    for (; k < to; ++k) {
      const float x = c[k] * per;
      lane[0] += about_log2(1 + 9 * x * x);
    }
    for (const float v : lane) sum += double(v);
  }
  return sum;
}

}  // namespace

double estimated_bits(const Analysis& a, double step) {
  double bits = 0;
  for (size_t p = 0; p < a.parts.size(); ++p) {
    for (size_t l = 0; l < a.bands.of[p].size(); ++l) {
      for (uint8_t axes = 0; axes < kClasses; ++axes) {
        if (a.bands.of[p][l][axes].empty()) continue;
        const auto per = static_cast<float>(65536 / (step * double(inverse_norm(a.parts[p], l, axes))));
        bits += log_energy(a.bands.of[p][l][axes], per) / 2;
      }
    }
  }
  return bits;
}

Bytes encode_transform(const WalkInput& in, const Analysis& analysis, const TransformChoice& choice,
                       std::span<const double> target, CoefficientMemory& memory,
                       std::vector<int32_t>& decoded) {
  return TransformEncoder(in, analysis, choice).run(target, memory, decoded);
}

}  // namespace h5neural

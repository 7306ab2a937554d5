// walk.cc: the steps that reader and writer share; see walk.h. Integer arithmetic throughout.
#include "corrections/walk.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace h5neural {

template <class T>
std::vector<T> sample(std::span<const T> full, const Index4& n, const Index4& stride, const Index4& grid) {
  std::vector<T> out;
  if (full.empty()) return out;
  out.reserve(size_t(grid[0]) * grid[1] * grid[2] * grid[3]);
  for (int64_t i = 0; i < grid[0]; ++i) {
    for (int64_t j = 0; j < grid[1]; ++j) {
      for (int64_t k = 0; k < grid[2]; ++k) {
        const int64_t row = ((i * stride[0] * n[1] + j * stride[1]) * n[2] + k * stride[2]) * n[3];
        for (int64_t m = 0; m < grid[3]; ++m) out.push_back(full[row + m * stride[3]]);
      }
    }
  }
  return out;
}
template std::vector<int32_t> sample(std::span<const int32_t>, const Index4&, const Index4&, const Index4&);
template std::vector<uint8_t> sample(std::span<const uint8_t>, const Index4&, const Index4&, const Index4&);
template std::vector<double> sample(std::span<const double>, const Index4&, const Index4&, const Index4&);

LevelState refine(const LevelState& coarse, const Layout& layout, const Level& level, Border border) {
  LevelState fine;
  fine.layout = layout;
  fine.level = level;
  fine.value.assign(layout.size, 0);
  fine.magnitude.assign(layout.size, 0);
  const Coset even = make_coset(level.mask, 0);
  for_rows(layout, even, [&](int64_t p, const Index4& i, int count) {
    Index4 c = i;
    for (int a = 0; a < kAxes; ++a) c[a] /= even.step[a];
    const int64_t q = coarse.layout.at(c);
    for (int k = 0; k < count; ++k) {
      fine.value[p + k * even.step[3]] = coarse.value[q + k];
      fine.magnitude[p + k * even.step[3]] = coarse.magnitude[q + k];
    }
  });
  fill_ghosts(layout, even, border, fine.value);
  fill_ghosts(layout, even, Border::nearest, fine.magnitude);
  return fine;
}

Predictor make_predictor(const Layout& layout, const Stencil& stencil, const PredictorChoice& choice,
                         const std::vector<int32_t>& kriged) {
  const size_t fitted = choice.fitted ? choice.difference.size() + 1 : 0;
  const size_t pairs = std::max(kriged.size() + 1, fitted);
  Predictor p;
  p.coefficient.assign(pairs, 0);
  for (size_t j = 0; j < pairs; ++j) {
    int64_t at = 0;
    for (int a = 0; a < kAxes; ++a) at += stencil.offset[j][a] * layout.stride[a];
    p.offset.push_back(at);
    if (j == 0) continue;
    if (j - 1 < kriged.size()) p.coefficient[j] = kriged[j - 1];
    if (j < fitted)
      p.coefficient[j] += choice.difference[j - 1] * (1 << (kCoefficientBits - kFitBits[choice.precision]));
  }
  return p;
}

CosetState make_coset_state(const LevelState& level, uint8_t axes, int order, uint32_t known) {
  CosetState c;
  c.coset = make_coset(level.level.mask, axes);
  c.order = order;
  const Layout& l = level.layout;
  for_rows(l, c.coset, [&](int64_t p, const Index4& i, int count) {
    int64_t at = ((int64_t{i[0]} * l.n[1] + i[1]) * l.n[2] + i[2]) * l.n[3] + i[3];
    for (int k = 0; k < count; ++k) {
      c.place.push_back(p + k * c.coset.step[3]);
      if (!level.skip.empty()) c.skip.push_back(level.skip[at + k * c.coset.step[3]]);
    }
  });
  c.points = static_cast<int64_t>(c.place.size());
  if (c.points > 0) c.stencil = make_stencil(l, level.level, axes, known);
  return c;
}

void predict(const LevelState& level, const Predictor& predictor, CosetState& coset) {
  constexpr int64_t kHalf = int64_t{1} << (kCoefficientBits - 1);
  coset.prediction.resize(coset.points);
  const size_t pairs = predictor.offset.size();
  for (int64_t k = 0; k < coset.points; ++k) {
    const int32_t* v = level.value.data() + coset.place[k];
    const int64_t nearest = int64_t{v[predictor.offset[0]]} + v[-predictor.offset[0]];
    int64_t sum = nearest * kHalf + kHalf;
    for (size_t j = 1; j < pairs; ++j) {
      const int64_t o = predictor.offset[j];
      sum += predictor.coefficient[j] * (int64_t{v[o]} + v[-o] - nearest);
    }
    coset.prediction[k] = clamp_lattice(sum >> kCoefficientBits);
  }
}

void features(const LevelState& level, const CosetState& coset, int64_t from, int64_t count,
              std::span<int32_t> out) {
  constexpr size_t kNear = 4, kFar = 12, kSpread = 6, kGradient = 3;
  std::array<int64_t, kFar> offset{};
  const size_t pairs = std::min(coset.stencil.offset.size(), kFar);
  for (size_t j = 0; j < pairs; ++j) {
    for (int a = 0; a < kAxes; ++a) offset[j] += coset.stencil.offset[j][a] * level.layout.stride[a];
  }
  constexpr int64_t kMost = 1 << 30;
  for (int64_t k = from; k < from + count; ++k) {
    const int32_t* v = level.value.data() + coset.place[k];
    const int32_t* e = level.magnitude.data() + coset.place[k];
    const int64_t nearest = int64_t{v[offset[0]]} + v[-offset[0]];
    std::array<int64_t, kFeatures> f{};
    for (size_t j = 0; j < pairs; ++j) {
      const int64_t o = offset[j];
      f[j < kNear ? 0 : 1] += int64_t{e[o]} + e[-o];
      if (j < kSpread) f[2] += std::abs(int64_t{v[o]} + v[-o] - nearest);
      if (j < kGradient) f[4] += std::abs(int64_t{v[o]} - v[-o]);
    }
    f[3] = std::abs(2 * int64_t{coset.prediction[k]} - nearest);
    for (int i = 0; i < kFeatures; ++i) {
      out[(k - from) * kFeatures + i] = static_cast<int32_t>(std::min(f[i], kMost));
    }
  }
}

int64_t context_weight(int index) {
  if (index == 0) return 0;
  const int64_t even = int64_t{1} << 32 >> ((kWeightSteps - 1 - index) / 2);  // 2^16 at index 7 below the top
  return ((kWeightSteps - 1 - index) % 2 ? even * 46341 >> 16 : even) >> 12;
}

namespace {

// Twice the binary logarithm, rounded down to a half octave; 0 for 0.
int half_octaves(uint64_t v) {
  if (v == 0) return 0;
  const int top = std::bit_width(v) - 1;
  const bool upper = (v - (uint64_t{1} << top)) * 64 >= (uint64_t{27} << top);  // sqrt(2) - 1 = 26.5 / 64
  return 2 * top + (upper ? 1 : 0) + 1;
}

}  // namespace

void choose_contexts(const LevelState& level, const ContextWeights& weights, int step_bits,
                     CosetState& coset) {
  std::array<int64_t, kFeatures> w{};
  for (int i = 0; i < kFeatures; ++i) w[i] = context_weight(weights[i]);
  coset.context.resize(coset.points);
  constexpr int64_t kBlock = 1024;
  std::vector<int32_t> f(kBlock * kFeatures);
  const int origin = 2 * (step_bits + 4) + 1 - 10;  // context 10: one bin
  for (int64_t from = 0; from < coset.points; from += kBlock) {
    const int64_t count = std::min(kBlock, coset.points - from);
    features(level, coset, from, count, f);
    for (int64_t k = 0; k < count; ++k) {
      int64_t s = 0;
      for (int i = 0; i < kFeatures; ++i) s += w[i] * f[k * kFeatures + i];
      // Expected magnitude in sixteenths of a lattice unit.
      const int h = half_octaves(static_cast<uint64_t>(s >> 12));
      coset.context[from + k] = static_cast<uint8_t>(std::clamp(h - origin, 0, kContexts - 1));
    }
  }
}

void accept(LevelState& level, const CosetState& coset, std::span<const int32_t> quantised, int step_bits,
            Border border) {
  for (int64_t k = 0; k < coset.points; ++k) {
    const int32_t v = clamp_lattice(coset.prediction[k] + int64_t{quantised[k]} * (int64_t{1} << step_bits));
    level.value[coset.place[k]] = v;
    level.magnitude[coset.place[k]] = clamp_lattice(std::abs(int64_t{v} - coset.prediction[k]));
  }
  fill_ghosts(level.layout, coset.coset, border, level.value);
  fill_ghosts(level.layout, coset.coset, Border::nearest, level.magnitude);
}

}  // namespace h5neural

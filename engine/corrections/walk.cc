// walk.cc: the steps that reader and writer share; see walk.h. Integer arithmetic throughout.
#include "corrections/walk.h"

#include "support/parallel.h"

namespace h5neural {

LevelState root_level(const WalkInput& in, const Schedule& schedule, const Rung& rung) {
  LevelState s;
  s.bin = bin_width(in.step_bits, schedule.levels.empty() ? 0 : schedule.levels.back().finer);
  s.layout = Layout::make(rung.grid, 0);
  s.spacing = rung.stride;
  s.value[0].assign(s.layout.size, 0);
  s.magnitude[0].assign(s.layout.size, 0);
  return s;
}

namespace {

// The axes along which a grid wraps: where its spacing, and that of the classes, divides the chunk's extent.
uint8_t wraps_of(const Schedule& schedule, const Rung& rung, uint8_t mask) {
  uint8_t wraps = 0;
  for (int a = 0; a < kAxes; ++a) {
    const int64_t spacing = int64_t{rung.stride[a]} << (mask >> a & 1);
    if (schedule.n[a] % spacing == 0) wraps |= static_cast<uint8_t>(schedule.wraps & 1 << a);
  }
  return wraps;
}

}  // namespace

namespace {

// The even points of a level: what a coarser one that takes `before` off of the base left of them becomes
// what is left by one that takes `now`.
void change_share(const WalkInput& in, LevelState& fine, int before, int now) {
  CosetState even;
  even.count = fine.layout.count(0);
  for_chunk_rows(in, fine, even, [&](const Index4& i, int64_t at, int64_t step) {
    int32_t* value = fine.value[0].data() + fine.layout.at(i);
    for (int k = 0; k < even.count[kAxes - 1]; ++k, at += step)
      value[k] =
          clamp_lattice(int64_t{value[k]} + share_of(in.base[at], before) - share_of(in.base[at], now));
  });
}

}  // namespace

LevelState refine(const WalkInput& in, const LevelState& coarse, const Schedule& schedule, const Rung& rung,
                  size_t l) {
  const Level& level = schedule.levels[l];
  LevelState fine;
  fine.bin = bin_width(in.step_bits, level.finer);
  fine.layout = Layout::make(rung.grid, level.mask, wraps_of(schedule, rung, level.mask), in.apart);
  fine.layout.onward = level.onward;
  fine.level = level;
  fine.spacing = rung.stride;
  fine.value[0].resize(fine.layout.size);
  fine.magnitude[0].resize(fine.layout.size);
  for_rows(fine.layout.count(0), [&](const Index4& i) {
    const int64_t p = fine.layout.at(i);
    grid_row(coarse.layout, coarse.value, i, fine.value[0].data() + p);
    grid_row(coarse.layout, coarse.magnitude, i, fine.magnitude[0].data() + p);
  });
  const int before = share_at(in, std::min(l + 1, schedule.levels.size() - 1)), now = share_at(in, l);
  if (before != now) change_share(in, fine, before, now);
  extend_values(fine.layout, 0, fine.value[0]);
  extend_magnitudes(fine.layout, 0, fine.magnitude[0]);
  return fine;
}

void begin_coset(const WalkInput& in, const LevelState& level, uint8_t axes, int order, uint32_t known,
                 CosetState& c) {
  c.axes = axes;
  c.order = order;
  c.count = level.layout.count(axes);
  c.points = points(c.count);
  if (c.points == 0) return;
  c.geometry = coset_geometry(level.layout, level.level, axes, known);
  const size_t room = static_cast<size_t>(c.points) + kOverhang;
  c.prediction.resize(room);
  c.quantised.resize(room);
  c.context.resize(room);
  c.skip.clear();
  if (in.skip.empty()) return;
  c.skip.resize(room);
  uint8_t* out = c.skip.data();
  for_chunk_rows(in, level, c, [&](const Index4&, int64_t at, int64_t step) {
    const uint8_t* from = in.skip.data() + at;
    for (int k = 0; k < c.count[kAxes - 1]; ++k) out[k] = from[k * step];
    out += c.count[kAxes - 1];
  });
}

std::vector<int32_t> coefficients(const WalkInput& in, const CosetGeometry& geometry,
                                  const PredictorChoice& choice) {
  std::vector<int32_t> c = geometry.kriging(choice.exponent, choice.nugget);
  int32_t nearest = 1 << (kCoefficientBits - 1);
  if (choice.fitted) {
    const size_t first = in.base.empty() ? 0 : 1, pairs = choice.difference.size() - first;
    const int32_t unit = 1 << (kCoefficientBits - kFitBits[choice.precision]);
    if (c.size() < pairs) c.resize(pairs);
    for (size_t j = 0; j < pairs; ++j) c[j] += choice.difference[first + j] * unit;
    if (first == 1) nearest += choice.difference[0] * unit;
  }
  // A point is S0 / 2 + sum of c[j] (S[j] - S0): what the others take is missing from the nearest pair.
  for (const int32_t v : c) nearest -= v;
  c.insert(c.begin(), nearest);
  return c;
}

namespace {

// Where a class keeps the neighbours d and -d of the points of a coset.
template <class T>
void aim(const LevelState& level, uint8_t axes, const Classes<T>& classes, Index4 d, const T*& plus,
         const T*& minus) {
  const Neighbour ahead = neighbour(level.layout, axes, d);
  for (int& x : d) x = -x;
  const Neighbour behind = neighbour(level.layout, axes, d);
  plus = classes[ahead.axes].data() + ahead.offset;
  minus = classes[behind.axes].data() + behind.offset;
}

}  // namespace

PredictorTaps predictor_taps(const LevelState& level, const CosetState& coset,
                             const std::vector<int32_t>& coefficients) {
  PredictorTaps t;
  t.pairs = static_cast<int>(coefficients.size());
  for (int j = 0; j < t.pairs; ++j) {
    aim(level, coset.axes, level.value, coset.geometry->stencil.offset[j], t.plus[j], t.minus[j]);
    t.coefficient[j] = coefficients[j];
  }
  return t;
}

namespace {

// Calls row(i, first, out) for rows [from_row, to_row) of a coset: row i, whose first point is number
// `first`, and `out` where its results stand in `results`: by blocks of rows on several threads where there
// are enough points to pay for them. Kernels write beyond their row, so the last row of a block goes by way
// of a buffer, lest it spoil the first of the next.
template <class T, class Row>
void each_row(const Index4& count, int64_t from_row, int64_t to_row, Array<T>& results, Row&& row) {
  constexpr int64_t kPointsOfThread = 16384;
  const int width = count[kAxes - 1];
  const int64_t rows = to_row - from_row;
  const auto blocks =
      std::clamp<int64_t>(rows * width / kPointsOfThread, 1, std::min<int64_t>(threads(), rows));
  parallel(static_cast<int>(blocks), [&](int block) {
    const int64_t from = from_row + rows * block / blocks, to = from_row + rows * (block + 1) / blocks;
    for (int64_t r = from; r < to; ++r) {
      const Index4 i{static_cast<int>(r / (int64_t{count[1]} * count[2])),
                     static_cast<int>(r / count[2] % count[1]), static_cast<int>(r % count[2]), 0};
      T* out = results.data() + r * width;
      if (r + 1 < to || to == to_row) {
        row(i, r * width, out);
      } else {
        Array<T> apart(static_cast<size_t>(width) + kOverhang);
        row(i, r * width, apart.data());
        std::copy_n(apart.data(), width, out);
      }
    }
  });
}

}  // namespace

void predict(const LevelState& level, const PredictorTaps& taps, CosetState& coset) {
  const Kernels& k = kernels();
  each_row(coset.count, 0, rows_of(coset), coset.prediction, [&](const Index4& i, int64_t, int32_t* out) {
    k.predict(taps, level.layout.at(i), coset.count[kAxes - 1], out);
  });
}

int32_t context_weight(int index) {
  if (index == 0) return 0;
  const int64_t even = int64_t{1} << 32 >> ((kWeightSteps - 1 - index) / 2);  // 2^16 at index 7 below the top
  return static_cast<int32_t>(((kWeightSteps - 1 - index) % 2 ? even * 46341 >> 16 : even) >> 12);
}

ContextTaps context_taps(const WalkInput& in, const LevelState& level, const CosetState& coset,
                         const ContextWeights& weights) {
  ContextTaps t;
  t.pairs = std::min(static_cast<int>(coset.geometry->stencil.offset.size()), kContextPairs);
  for (int j = 0; j < t.pairs; ++j) {
    const Index4& d = coset.geometry->stencil.offset[j];
    aim(level, coset.axes, level.value, d, t.plus[j], t.minus[j]);
    aim(level, coset.axes, level.magnitude, d, t.plus_magnitude[j], t.minus_magnitude[j]);
  }
  for (int i = 0; i < kFeatures; ++i) t.weight[i] = context_weight(weights[i]);
  t.origin = context_origin(in, level);
  return t;
}

void choose_contexts(const LevelState& level, const ContextTaps& taps, CosetState& coset, int64_t from_row,
                     int64_t to_row) {
  const Kernels& k = kernels();
  each_row(coset.count, from_row, to_row, coset.context, [&](const Index4& i, int64_t first, uint8_t* out) {
    k.contexts(taps, coset.prediction.data() + first, level.layout.at(i), coset.count[kAxes - 1], out);
  });
}

void accept(LevelState& level, const CosetState& coset) {
  Array<int32_t>& value = level.value[coset.axes];
  Array<uint16_t>& magnitude = level.magnitude[coset.axes];
  value.resize(level.layout.size);
  magnitude.resize(level.layout.size);
  const Kernels& k = kernels();
  int64_t done = 0;
  for_rows(coset.count, [&](const Index4& i) {
    const int64_t p = level.layout.at(i);
    k.accept(coset.prediction.data() + done, coset.quantised.data() + done, coset.count[kAxes - 1], level.bin,
             value.data() + p, magnitude.data() + p);
    done += coset.count[kAxes - 1];
  });
  extend_values(level.layout, coset.axes, value);
  extend_magnitudes(level.layout, coset.axes, magnitude);
}

void finish_field(const WalkInput& in, const LevelState& finest, std::span<int32_t> decoded) {
  int32_t* out = decoded.data();
  for_rows(in.n, [&](const Index4& i) {
    grid_row(finest.layout, finest.value, i, out);
    out += in.n[kAxes - 1];
  });
  if (in.base.empty()) return;
  for (size_t k = 0; k < decoded.size(); ++k) {
    decoded[k] = clamp_lattice(int64_t{decoded[k]} + share_of(in.base[k], share_at(in, 0)));
  }
}

}  // namespace h5neural

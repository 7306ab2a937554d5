// walk.h: the coarse-to-fine walk that turns a field on the integer lattice into a corrections section and
// back. Level by level, coset by coset, every point is predicted from all neighbours decoded so far; the
// quantised difference goes to the entropy coder under the table that its context chose. Knows nothing of
// bounds in physical units, of specials, or of models: it is given a base and a set of points to leave out.
//
// walk_encode.cc and walk_decode.cc drive the steps that walk.cc shares, so that both compute the same
// numbers; the inner loops are those of kernels/.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "corrections/effort.h"
#include "corrections/geometry.h"
#include "corrections/ladder.h"
#include "corrections/schedule.h"
#include "corrections/side.h"
#include "kernels/kernels.h"
#include "support/bytes.h"

namespace h5neural {

struct WalkNetwork;

// What reader and writer both know before the corrections are read.
struct WalkInput {
  Index4 n{1, 1, 1, 1};
  int step_bits = 0;              // the bin of the bound is 2^step_bits lattice units
  std::span<const int32_t> base;  // empty, or one value a point: the walk codes the difference from it
  // How much of the base a level takes off, in eighths, finest first; levels beyond take all of it.
  std::span<const uint8_t> shares;
  std::span<const uint8_t> skip;  // empty, or 1 where a point is not coded
  bool learns = false;            // whether places learn from plane to plane (places.h)
  int apart = -1;  // an axis whose planes know nothing of each other, refined by no level; -1: none
  const WalkNetwork* network = nullptr;  // refines predictions and contexts, where there is one (network.h)
};

constexpr int kWholeShare = 8;
inline int share_at(const WalkInput& in, size_t l) {
  return l < in.shares.size() ? in.shares[l] : kWholeShare;
}

// What such a share takes off where the base is b. A base that knows what there is but not quite where helps
// coarse levels and spoils fine ones.
inline int32_t share_of(int32_t b, int share) {
  return share == kWholeShare ? b : static_cast<int32_t>((int64_t{b} * share + kWholeShare / 2) >> 3);
}

// About the standard deviation of what points are off by, in lattice units.
inline double usual_error(const WalkInput& in) { return 0.23 * double(int64_t{1} << in.step_bits); }

// What a writer chose for each coset, in order.
struct CosetChoice {
  PredictorChoice predictor;
  ContextWeights weights{};
};
using WalkChoices = std::vector<CosetChoice>;

// Writer. `target`: the field in lattice units, not rounded; every coded point comes back within half a bin
// of it, up to rounding (the caller verifies). Returns the section; `decoded` receives what the reader will
// get, `choices`, unless null, what was chosen.
Bytes encode_walk(const WalkInput& in, const Schedule& schedule, std::span<const double> target,
                  const WalkEffort& effort, std::vector<int32_t>& decoded, WalkChoices* choices = nullptr);

// Reader. Throws fail_corrupt on a damaged section.
void decode_walk(const WalkInput& in, ByteSpan section, std::span<int32_t> decoded);

// For a look: only the coarse levels, up to grids of `most` points, interpolated. Throws as decode_walk does.
void decode_walk_coarse(const WalkInput& in, ByteSpan section, int64_t most, std::span<int32_t> decoded);

// ---- steps shared by both sides
// -------------------------------------------------------------------------------

// One level in flight: the decoded differences from the base, and the magnitudes of their differences from
// the prediction, of the classes coded so far.
struct LevelState {
  Layout layout;
  Level level;
  Index4 spacing{1, 1, 1, 1};  // of the level's grid in the chunk
  int32_t bin = 1;             // width of its bins in lattice units
  Classes<int32_t> value;
  Classes<uint16_t> magnitude;
};

// The coarsest grid, all zero, as a level of one class.
LevelState root_level(const WalkInput& in, const Schedule& schedule, const Rung& rung);
// Level l of the schedule from the finished one below it, which fills class 0.
LevelState refine(const WalkInput& in, const LevelState& coarse, const Schedule& schedule, const Rung& rung,
                  size_t l);

// Everything about the points of one coset, in row order. Arrays have kOverhang to spare.
struct CosetState {
  uint8_t axes = 0;
  int order = 0;  // place in the coset order
  Index4 count{};
  int64_t points = 0;
  std::shared_ptr<const CosetGeometry> geometry;
  std::vector<uint8_t> skip;  // empty, or 1 where the point is not coded, with room for kernels
  Array<int32_t> prediction, quantised;
  Array<uint8_t> context;
};
void begin_coset(const WalkInput& in, const LevelState& level, uint8_t axes, int order, uint32_t known,
                 CosetState& coset);

// Calls row(i, at, step) for each row i of a coset, in order: its points stand in an array over the whole
// chunk at at, at + step, ...
template <class Row>
void for_chunk_rows(const WalkInput& in, const LevelState& level, const CosetState& coset, Row&& row) {
  for_rows(coset.count, [&](const Index4& i) {
    int64_t at = 0;
    for (int a = 0; a < kAxes; ++a) {
      const int64_t grid = level.layout.mask >> a & 1 ? 2 * int64_t{i[a]} + (coset.axes >> a & 1) : i[a];
      at = at * in.n[a] + grid * level.spacing[a];
    }
    row(i, at, int64_t{level.spacing[kAxes - 1]} << (level.layout.mask >> (kAxes - 1) & 1));
  });
}

// Sets each point of the root to value(at), at its place in an array over the whole chunk, in order.
template <class Value>
void for_root_points(const WalkInput& in, LevelState& root, Value&& value) {
  CosetState all;
  all.count = root.layout.n;
  for_chunk_rows(in, root, all, [&](const Index4& i, int64_t at, int64_t step) {
    for (int k = 0; k < all.count[kAxes - 1]; ++k) {
      root.value[0][root.layout.at(i) + k] = value(at + k * step);
    }
  });
}

// The values of the root, each from the one before and number(at, before), its difference from it in bins.
// Not asked for points that are skipped.
template <class Number>
void number_root(const WalkInput& in, LevelState& root, Number&& number) {
  int32_t last = 0;
  for_root_points(in, root, [&](int64_t at) {
    if (in.skip.empty() || !in.skip[at]) last = clamp_lattice(last + int64_t{number(at, last)} * root.bin);
    return last;
  });
}

// Calls visit() for each coset of a level that has points, in order; it is begun in `coset`, and visit()
// accepts it.
template <class Visit>
void for_cosets(const WalkInput& in, const LevelState& level, CosetState& coset, Visit&& visit) {
  uint32_t known = 1;
  int order = 0;
  for (const uint8_t axes : coset_order(level.level.mask)) {
    begin_coset(in, level, axes, order++, known, coset);
    if (coset.points > 0) visit();
    known |= 1u << axes;
  }
}

// The coefficients that a choice stands for, units of 2^-kCoefficientBits, the first one that of the nearest
// pair.
std::vector<int32_t> coefficients(const WalkInput& in, const CosetGeometry& geometry,
                                  const PredictorChoice& choice);

PredictorTaps predictor_taps(const LevelState& level, const CosetState& coset,
                             const std::vector<int32_t>& coefficients);
void predict(const LevelState& level, const PredictorTaps& taps, CosetState& coset);

ContextTaps context_taps(const WalkInput& in, const LevelState& level, const CosetState& coset,
                         const ContextWeights& weights);
// Of the rows [from_row, to_row) of the coset.
void choose_contexts(const LevelState& level, const ContextTaps& taps, CosetState& coset, int64_t from_row,
                     int64_t to_row);
inline int64_t rows_of(const CosetState& c) { return c.points / c.count[kAxes - 1]; }

// Half octaves (of sixteenths of a lattice unit) of context 0.
inline int context_origin(const WalkInput& in, const LevelState& level) {
  return 2 * (in.step_bits + 4) - level.level.finer / 2 + 1 - 10;  // context 10: one bin
}

// Weight of index k in units of 2^-16.
int32_t context_weight(int index);

// Takes over the decoded values of a coset (its predictions and quantised differences) and its ghosts.
void accept(LevelState& level, const CosetState& coset);

// The finished field: values of the finest level plus the base.
void finish_field(const WalkInput& in, const LevelState& finest, std::span<int32_t> decoded);

constexpr ContextWeights kInitialWeights = {23, 17, 19, 23, 0};
constexpr int64_t kFewPoints = 10;     // contexts with fewer points send no table
constexpr int64_t kWeightsFrom = 300;  // cosets with fewer points use the weights of the last

}  // namespace h5neural

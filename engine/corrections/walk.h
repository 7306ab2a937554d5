// walk.h: the coarse-to-fine walk that turns a field on the integer lattice into a corrections section and
// back. Level by level, coset by coset, every point is predicted from all neighbours decoded so far; the
// quantised difference goes to the entropy coder under the table that its context chose. Knows nothing of
// bounds in physical units, of specials, or of models: it is given a base and a set of points to leave out.
//
// walk_encode.cc and walk_decode.cc drive the steps that walk.cc shares, so that both compute the same
// numbers.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "corrections/schedule.h"
#include "corrections/side.h"
#include "corrections/stencil.h"
#include "support/bytes.h"

namespace h5neural {

// What reader and writer both know before the corrections are read.
struct WalkInput {
  Index4 n{1, 1, 1, 1};
  int step_bits = 0;              // a bin is 2^step_bits lattice units
  std::span<const int32_t> base;  // empty, or one value a point: the walk codes the difference from it
  std::span<const uint8_t> skip;  // empty, or 1 where a point is not coded
};

// Writer. `target`: the field in lattice units, not rounded; every coded point comes back within half a bin
// of it, up to rounding (the caller verifies). Returns the section; `decoded` receives what the reader will
// get.
Bytes encode_walk(const WalkInput& in, const Schedule& schedule, std::span<const double> target,
                  std::vector<int32_t>& decoded);

// Reader. Throws fail_corrupt on a damaged section.
void decode_walk(const WalkInput& in, ByteSpan section, std::span<int32_t> decoded);

// ---- steps shared by both sides
// -------------------------------------------------------------------------------

// One level in flight.
struct LevelState {
  Layout layout;
  Level level;
  std::vector<int32_t> value;      // decoded difference from the base, padded
  std::vector<int32_t> magnitude;  // |difference from the prediction| of the points coded so far, padded
  std::vector<uint8_t> skip;       // of the points, unpadded; empty where nothing is left out
};

// The arrays of a level from those of the next coarser one (whose layout is that of the coarse grid).
LevelState refine(const LevelState& coarse, const Layout& layout, const Level& level, Border border);

// The points of the level's grid out of an array over the whole chunk: every stride[a]-th along each axis.
template <class T>
std::vector<T> sample(std::span<const T> full, const Index4& n, const Index4& stride, const Index4& grid);

// Coefficients ready to use: padded offsets and units of 2^-kCoefficientBits, [0] unused (see kriging.h).
struct Predictor {
  std::vector<int64_t> offset;
  std::vector<int32_t> coefficient;
};
Predictor make_predictor(const Layout& layout, const Stencil& stencil, const PredictorChoice& choice,
                         const std::vector<int32_t>& kriged);

// Everything about the points of one coset, in row order.
struct CosetState {
  Coset coset;
  Stencil stencil;
  int order = 0;  // place in the coset order
  int64_t points = 0;
  std::vector<int64_t> place;  // padded index of each point
  std::vector<uint8_t> skip;   // empty, or 1 where the point is not coded
  std::vector<int32_t> prediction;
  std::vector<uint8_t> context;
};
CosetState make_coset_state(const LevelState& level, uint8_t axes, int order, uint32_t known);

void predict(const LevelState& level, const Predictor& predictor, CosetState& coset);

// The features from which the magnitude of a residual is expected, kFeatures numbers a point, for points
// from .. from + count - 1: residuals nearby, residuals further off, spread of the neighbours, distance of
// the prediction from the nearest neighbours, gradient.
void features(const LevelState& level, const CosetState& coset, int64_t from, int64_t count,
              std::span<int32_t> out);

void choose_contexts(const LevelState& level, const ContextWeights& weights, int step_bits,
                     CosetState& coset);

// The scale that a context suggests before anything is said about its table.
inline int suggested_scale(int context) { return kTableUnitScale + 2 * (context - 10) + 1; }

// Weight of index k in units of 2^-16.
int64_t context_weight(int index);

// Takes over the decoded values of a coset and fills its ghosts.
void accept(LevelState& level, const CosetState& coset, std::span<const int32_t> quantised, int step_bits,
            Border border);

constexpr ContextWeights kInitialWeights = {23, 17, 19, 23, 0};
constexpr int64_t kFewPoints = 10;     // contexts with fewer points send no table
constexpr int64_t kWeightsFrom = 300;  // cosets with fewer points use the weights of the last

}  // namespace h5neural

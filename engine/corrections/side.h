// side.h: the side information of the walk: which predictor, which context weights and which tables a coset
// uses. Written and read by the same models in the same order; everything adapts, so small chunks pay little.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "corrections/kriging.h"
#include "entropy/bit_coder.h"
#include "entropy/tables.h"
#include "kernels/kernels.h"

namespace h5neural {

constexpr int kFitSizes = 5;  // pairs of a fitted predictor
constexpr std::array<int, kFitSizes> kFitPairs = {4, 8, 16, 32, 64};
constexpr int kFitPrecisions = 5;  // bits after the point of its coefficients
constexpr std::array<int, kFitPrecisions> kFitBits = {5, 7, 9, 11, 13};

// How the points of a coset are predicted: kriging, or kriging plus fitted differences of the coefficients.
struct PredictorChoice {
  int exponent = 3, nugget = 0;
  bool fitted = false;
  int size = 0, precision = 0;  // indices into kFitPairs, kFitBits
  // Of the coefficients from the kriging ones, in units of 2^-kFitBits. Where the walk has a base, the first
  // one is by how much a prediction of the difference from it falls short of its neighbours (noise about a
  // known mean).
  std::vector<int32_t> difference;
};

constexpr int kMostBlend = 7;  // of 8 parts: the say of a place's own residuals in a context
constexpr int kWeightSteps = 40;
// Weight of each feature in the expected magnitude: index 0 is 0, index k is 2^((k - 31) / 2).
using ContextWeights = std::array<uint8_t, kFeatures>;

struct TableChoice {
  int shape = 1;
  int scale = 0;  // 0 .. kMaxScale
};

// How far a coset follows a network (network.h), in quarters of what it says; neither: it is not asked.
struct NetworkChoice {
  int move = 0, change = 0;  // of the prediction, of the context; 0 to kMostQuarters
  bool asked() const { return move != 0 || change != 0; }
};
constexpr int kMostQuarters = 7;

// The scale that a context suggests before anything is said about its table.
inline int suggested_scale(int context) { return kTableUnitScale + 2 * (context - 10) + 1; }

class SideModels {
 public:
  void predictor(BitEncoder& c, int order, const PredictorChoice& p);
  // `pairs`: of the stencil; `shrinks`: whether the walk has a base.
  PredictorChoice predictor(BitDecoder& c, int order, size_t pairs, bool shrinks);
  void weights(BitEncoder& c, ContextWeights& last, const ContextWeights& w);
  void weights(BitDecoder& c, ContextWeights& last);
  // Tables are told apart from what their context suggests; `suggested` is a scale.
  void table(BitEncoder& c, int suggested, const TableChoice& t);
  TableChoice table(BitDecoder& c, int suggested);
  // Where places learn (places.h): their say in the contexts, and whether a context's table is sent.
  void blend(BitEncoder& c, int blend) { c.raw(static_cast<uint32_t>(blend), 3); }
  int blend(BitDecoder& c) { return static_cast<int>(c.raw(3)); }
  void told(BitEncoder& c, bool told);
  bool told(BitDecoder& c);
  void network(BitEncoder& c, const NetworkChoice& n);
  NetworkChoice network(BitDecoder& c);
  // What a context with few points uses: nothing is sent.
  TableChoice implied(int suggested) const;

 private:
  std::array<BitModel, 8> same_exponent_, same_nugget_, fitted_;  // by place in the coset order
  std::array<int, 8> exponent_{3, 3, 3, 3, 3, 3, 3, 3}, nugget_{};
  IntModel size_, precision_;
  std::array<IntModel, 3> coefficient_;
  int last_size_ = 1, last_precision_ = 1;
  IntModel weight_;
  std::array<BitModel, 2> told_;  // by the context before
  bool last_told_ = false;
  std::array<BitModel, 2> asked_;  // a network; by the coset before
  std::array<IntModel, 2> quarters_;
  NetworkChoice last_network_{4, 4};
  bool last_asked_ = true;
  std::array<BitModel, 3> shape_same_;
  std::array<BitModel, 3> shape_other_;
  IntModel scale_;
  int shape_ = 1, shift_ = 0;
};

}  // namespace h5neural

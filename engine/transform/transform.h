// transform.h: the transform mode: a chunk as quantised wavelet coefficients, beside the walk. Suits L2
// bounds and smooth fields. Under a pointwise bound the points that come out beyond it are corrected
// afterwards (outliers.h). Knows nothing of bounds in physical units, of specials or of models: points that
// are not coded hold what the writer likes.
//
// transform_encode.cc and transform_decode.cc: the two sides. wavelet: the transform; coefficients, contexts:
// their coding; synthesis: the way back; plans: which axes are split when.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "corrections/walk.h"
#include "support/bytes.h"
#include "transform/coefficients.h"

namespace h5neural {

// The coefficients of a field before they are quantised: what several steps are tried on.
struct Analysis {
  WaveletPlan plan;
  std::vector<WaveletPart> parts;
  double most = 1;     // largest |target|
  Bands<float> bands;  // in lattice units, not normalised
};
// `target`: the field in lattice units, row-major, |target| <= kLatticeMax.
Analysis analyse(const WaveletPlan& plan, std::span<const double> target);
// How much the error of each coefficient counts, from how much that of each point of the field does
// (`weight`, row-major): averages over about the points that a coefficient reaches.
Bands<float> coefficient_weights(const WaveletPlan& plan, std::span<const double> weight);
// About the bits that they take at a step, to compare plans by; nothing is coded.
double estimated_bits(const Analysis& analysis, double step);

// What else the writer decides.
struct TransformChoice {
  double step = 1;         // of the coefficients, lattice units, as of an orthonormal transform
  double lambda = 0.1;     // squared steps that a bit is worth
  bool pointwise = false;  // correct what comes out more than half a bin away
  double spare = 0.005;    // see RansEncoder
  const Bands<float>* weights = nullptr;  // of the errors of coefficients; null: all count alike
  // Which points that come out more than half a bin away are corrected, from what is decoded; empty: all.
  std::function<std::vector<uint8_t>(std::span<const int32_t>)> chosen;
};

// Writer. in.n, in.step_bits and in.skip count; there is no base. `decoded` receives what the reader will
// get.
Bytes encode_transform(const WalkInput& in, const Analysis& analysis, const TransformChoice& choice,
                       std::span<const double> target, CoefficientMemory& memory,
                       std::vector<int32_t>& decoded);

// Reader. Throws fail_corrupt on a damaged section.
void decode_transform(const WalkInput& in, ByteSpan section, std::span<int32_t> decoded);

// What a transform gave, and the base that it is the difference from, empty or as large.
inline void add_base(std::span<const int32_t> base, std::span<int32_t> points) {
  for (size_t k = 0; k < base.size(); ++k) points[k] = clamp_lattice(int64_t{points[k]} + base[k]);
}

// Section: varint length of the side information | side information (adaptive binary coder: plan, scales,
// weights, tables, root, runs; then tables of the outliers) | residuals (rANS: coefficients, outliers).
constexpr int kStageBits = 2, kLevelBits = 5, kFractionBits = 3, kShiftBits = 5;

}  // namespace h5neural

// kernels.h: the inner loops of the walk and of the transform, over rows of points, for each instruction set.
// `scalar` is the truth; every other set gives the same bits and is used once it has reproduced the scalar
// answer on a test row (known answer). Knows nothing of levels, schedules or files: it is given pointers.
#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "entropy/rans.h"
#include "kernels/cpu.h"
#include "kernels/network.h"
#include "kernels/places.h"

namespace h5neural {

// Elements that kernels may read and write beyond the end of a row: arrays have that much room to spare.
constexpr int kOverhang = 64;

constexpr int kMaxPairs = 64;         // neighbours of a predictor, in pairs
constexpr int kContextPairs = 12;     // of these, the nearest ones speak for the context
constexpr int kNearPairs = 4;         // residuals of these are told from those further off
constexpr int kSpreadPairs = 6;       // spread of the neighbours
constexpr int kGradientPairs = 3;     // gradient
constexpr int kFeatures = 5;          // residuals near, residuals far, spread, distance, gradient
constexpr int kContexts = 36;         // half octaves of the expected magnitude
constexpr int kContextRoom = 48;      // entries of arrays over contexts that kernels read by whole vectors
constexpr int kCoefficientBits = 20;  // coefficients are integers, units of 2^-20
constexpr int32_t kFeatureMax = 1 << 24;
constexpr int kLiftBits = 28;            // lifting constants are units of 2^-28
constexpr int32_t kRoughMost = 1 << 28;  // of a second difference

// A predictor as it is computed: 2^-20 (sum of coefficient[j] (plus[j][p] + minus[j][p])) at place p.
// |values| <= 2^28 and |coefficients| <= 2^30, so that 64 products fit in 64 bits.
struct PredictorTaps {
  int pairs = 0;
  std::array<const int32_t*, kMaxPairs> plus{}, minus{};
  std::array<int32_t, kMaxPairs> coefficient{};
};

// What the context of a place is computed from; weights are units of 2^-16, at most 2^20.
struct ContextTaps {
  int pairs = 0;
  std::array<const int32_t*, kContextPairs> plus{}, minus{};
  std::array<const uint16_t*, kContextPairs> plus_magnitude{}, minus_magnitude{};
  std::array<int32_t, kFeatures> weight{};
  int origin = 0;  // half octaves (of sixteenths of a lattice unit) of context 0
};

// Twice the binary logarithm, rounded down to a half octave, plus 1; 0 for 0.
inline int half_octaves(uint32_t v) {
  if (v == 0) return 0;
  const int top = std::bit_width(v) - 1;
  const bool upper = (v << (31 - top)) >= (91u << 25);  // sqrt(2) = 90.5 / 64
  return 2 * top + (upper ? 1 : 0) + 1;
}

// Samples of a fit, transposed: coefficient j of sample i stands at x[j * stride + i]. The number of rows is
// a multiple of kSampleBlock, unused ones are zero.
constexpr int kSampleBlock = 16;
struct Samples {
  int rows = 0, columns = 0;
  ptrdiff_t stride = 0;
  const float* x = nullptr;
};

// Rows of magnitudes, each below 2^14, whose sum counts `weight` times, 0 to 2^8.
struct WeighedRows {
  uint32_t weight = 0;
  int rows = 0;
  const uint16_t* const* row = nullptr;
};

// How quantised coefficients of a band become numbers: magnitude 1 is step - one, m is m step - more, at most
// `most`. 1 <= step <= most <= 2^30; one and more lie within step / 4 of 0.
struct ReconstructionPoints {
  int32_t step = 1, one = 0, more = 0, most = 1;
};

// Of a row of points: the rows next to it along other axes.
constexpr int kRoughAxes = 4;
struct RowsBeside {
  int axes = 0;
  std::array<const int32_t*, kRoughAxes> before{}, after{};
};

struct Kernels {
  const char* name;
  // out[k]: prediction at place at + k, clamped to the lattice.
  void (*predict)(const PredictorTaps& taps, int64_t at, int count, int32_t* out);
  // out[k]: context of place at + k, given its prediction.
  void (*contexts)(const ContextTaps& taps, const int32_t* prediction, int64_t at, int count, uint8_t* out);
  // Values and magnitudes of residuals from predictions and quantised differences in bins of width `bin`.
  void (*accept)(const int32_t* prediction, const int32_t* quantised, int count, int32_t bin, int32_t* value,
                 uint16_t* magnitude);
  // See entropy/rans.h; `table` has kContextRoom entries.
  DecodeGroups decode_groups;
  // Residuals of symbols (0, -1, 1, -2, ...); returns whether an escape (kEscape) is among them.
  bool (*unfold)(const uint8_t* symbols, int64_t count, int32_t* out);

  // Of the transform. They may read, but unless they say so not write, kOverhang elements too many.
  // A lifting step backwards: out[k] -= (left[k] + right[k]) c 2^-28, rounded, modulo 2^32.
  void (*lift)(int32_t* out, const int32_t* left, const int32_t* right, int64_t count, int32_t c);
  // out[k]: in[k] times c 2^-28, rounded, modulo 2^32, `times` times.
  void (*scale)(const int32_t* in, int64_t count, int32_t c, int times, int32_t* out);
  // out[2k] = even[k], out[2k + 1] = odd[k]; writes too many.
  void (*interleave)(const int32_t* even, const int32_t* odd, int64_t count, int32_t* out);
  // Values of quantised coefficients, |quantised| <= 2^30.
  void (*reconstruct)(const int32_t* quantised, int64_t count, const ReconstructionPoints& points,
                      int32_t* out);
  // out[k] += the weighed sum of the magnitudes at k; writes too many.
  void (*weigh)(std::span<const WeighedRows> sums, int count, uint32_t* out);
  // out[k]: octaves of the sum over the axes of |before[k] - 2 x[k] + after[k]|, each at most 2^28. Neither
  // reads nor writes too many.
  void (*roughness)(const int32_t* x, const RowsBeside& beside, int count, uint8_t* out);

  const PlaceKernels* places;
  NetworkRow network_row;

  // Writer only; floats, so results may differ in the last places between sets.
  // e = y - x c over the leading c.size() columns; returns the sum of share log2(1 + 9 e^2) / 2, about the
  // bits that the residuals take (hardly any where they round to nothing).
  double (*residual_bits)(const Samples& s, std::span<const float> c, const float* y, const float* share,
                          float* e);
  // a[j * s.columns + k] += sum of w x[j] x[k] for k <= j, b[j] += sum of w x[j] e, for from <= j < to.
  void (*normal_equations)(const Samples& s, int from, int to, const float* w, const float* e, double* a,
                           double* b);
};

// The five features of one place (the scalar truth; writers also fit weights to them).
std::array<int32_t, kFeatures> features(const ContextTaps& taps, int32_t prediction, int64_t at);

const Kernels& scalar_kernels();
// Null where this build or this CPU has no such set.
const Kernels* simd_kernels(SimdTarget target);
// The fastest set that passes its known answer.
const Kernels& kernels();
bool passes_known_answer(const Kernels& kernels);

}  // namespace h5neural

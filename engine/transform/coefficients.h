// coefficients.h: quantised coefficients of a wavelet transform as bytes and back. From coarse to fine, band
// by band, point by point: the magnitudes around it, in its own band, in the band above it and in its
// sisters, say how large a coefficient should be (after Wu, "ECECOW", 1997), and with it which table codes
// it. Where all of these are zero, runs of zeros are counted instead. Knows nothing of what the coefficients
// mean.
#pragma once
#include <array>
#include <vector>

#include "corrections/residual.h"
#include "corrections/side.h"
#include "entropy/bit_coder.h"
#include "transform/wavelet.h"

namespace h5neural {

// What is looked at: in the band, one step back along an axis | the other known neighbours there | the point
// of the band above | its neighbours | the points of the sister bands | their neighbours | the point of the
// same band in the part above | its neighbours.
constexpr int kCoefficientFeatures = 8;
using CoefficientWeights = std::array<uint8_t, kCoefficientFeatures>;

// The bands of a part: by level, finest first, and axes; last its root, as axes 0. T: int32_t where they are
// quantised, float before, in steps of the band.
template <class T>
using PartBands = std::vector<std::array<std::vector<T>, kClasses>>;

template <class T>
struct Bands {
  explicit Bands(const std::vector<WaveletPart>& its_parts) : parts(its_parts) {
    for (const WaveletPart& p : parts) {
      of.emplace_back(p.masks.size() + 1);
      for (size_t l = 0; l < p.masks.size(); ++l) {
        for (const uint8_t axes : band_order(p.masks[l])) {
          of.back()[l][axes].resize(static_cast<size_t>(points(band_count(p.grid(l), p.masks[l], axes))));
        }
      }
      of.back().back()[0].resize(static_cast<size_t>(points(p.grid(p.masks.size()))));
    }
  }
  const std::vector<WaveletPart>& parts;
  std::vector<PartBands<T>> of;
};
using Coefficients = Bands<int32_t>;

// What one coding leaves to the next one of the same field at another step, which then need not look for it:
// weights, and what values cost.
struct CoefficientMemory {
  std::vector<CoefficientWeights> weights;  // empty: nothing is known yet
  ContextTables tables{};
  double rare = 0;  // bits of a value among zeros
};

// Writer. Quantises `real` by rate and distortion (`lambda`: squared steps that a bit is worth), then codes
// the result. Side information goes to `side`.
void encode_coefficients(BitEncoder& side, ResidualEncoder& residuals, const Bands<float>& real,
                         double lambda, CoefficientMemory& memory, Coefficients& quantised);
// Reader; throws fail_corrupt on damaged input.
void decode_coefficients(BitDecoder& side, ResidualDecoder& residuals, Coefficients& quantised);

}  // namespace h5neural

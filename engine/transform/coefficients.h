// coefficients.h: quantised coefficients of a wavelet transform as bytes and back. From coarse to fine, band
// by band, point by point: the magnitudes around it, in its own band, in the band above it and in its
// sisters, say how large a coefficient should be (after Wu, "ECECOW", 1997), and with it which table codes
// it. Where all of these are zero, runs of zeros are counted instead. Knows nothing of what the coefficients
// mean.
#pragma once
#include <array>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
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
using PartBands = std::vector<std::array<std::span<T>, kClasses>>;

// All of them in one piece, zeros at first, with kOverhang elements to spare behind the last.
template <class T>
class Bands {
 public:
  Bands() = default;
  explicit Bands(const std::vector<WaveletPart>& parts) {
    size_t size = 0;
    for_each(parts, [&](size_t, size_t, uint8_t, size_t count) { size += count; });
    values_.reset(static_cast<T*>(std::calloc(size + kOverhang, sizeof(T))));
    if (values_ == nullptr) throw std::bad_alloc();
    for (const WaveletPart& p : parts) of.emplace_back(p.masks.size() + 1);
    T* next = values_.get();
    for_each(parts, [&](size_t p, size_t l, uint8_t axes, size_t count) {
      of[p][l][axes] = {next, count};
      next += count;
    });
  }
  std::vector<PartBands<T>> of;

 private:
  template <class At>
  static void for_each(const std::vector<WaveletPart>& parts, At&& at) {
    for (size_t p = 0; p < parts.size(); ++p) {
      const size_t levels = parts[p].masks.size();
      const auto count = [](const Index4& n) { return static_cast<size_t>(points(n)); };
      at(p, levels, 0, count(parts[p].grid(levels)));
      for (size_t l = levels; l-- > 0;) {
        const Index4 grid = parts[p].grid(l);
        for (const uint8_t axes : band_order(parts[p].masks[l])) {
          at(p, l, axes, count(band_count(grid, parts[p].masks[l], axes)));
        }
      }
    }
  }
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> values_;
};
struct Coefficients : Bands<int32_t> {
  explicit Coefficients(const std::vector<WaveletPart>& its_parts) : Bands(its_parts), parts(its_parts) {}
  const std::vector<WaveletPart>& parts;
};

// What one coding leaves to the next one of the same field at another step, which then need not look for it:
// weights, and what values cost.
struct CoefficientMemory {
  std::vector<CoefficientWeights> weights;  // empty: nothing is known yet
  ContextTables tables{};
  double rare = 0;  // bits of a value among zeros
};

// What a bit is worth.
struct BitPrice {
  double lambda = 0;                      // squared steps
  const Bands<float>* weights = nullptr;  // of each coefficient's squared error; null: all count alike
};

// Writer. Quantises `real` by rate and distortion, then codes the result. Side information goes to `side`.
void encode_coefficients(BitEncoder& side, ResidualEncoder& residuals, const Bands<float>& real,
                         const BitPrice& price, CoefficientMemory& memory, Coefficients& quantised);
// The two steps of it apart, for those who know some coefficients only once others are decoded. The first
// rounds by what values cost in an earlier coding, whose memory it is given, or where that is empty to the
// nearest value, most of those near 1 to zero; the second codes them as they are.
void quantise_coefficients(const Bands<float>& real, const BitPrice& price, const CoefficientMemory& memory,
                           Coefficients& quantised);
void code_coefficients(BitEncoder& side, ResidualEncoder& residuals, CoefficientMemory& memory,
                       Coefficients& quantised);
// Reader; throws fail_corrupt on damaged input.
void decode_coefficients(BitDecoder& side, ResidualDecoder& residuals, Coefficients& quantised);

}  // namespace h5neural

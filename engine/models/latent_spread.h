// latent_spread.h: the numbers of latents in the bit coder. Each comes with the spread that is expected of
// it; numbers of like spread share adaptive models, which begin with the probabilities of a Laplace
// distribution.
#pragma once
#include <array>
#include <cstdint>

#include "entropy/bit_coder.h"

namespace h5neural {

// 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, ...: a piecewise-linear exponential, four codes an octave.
constexpr int32_t kLogCodes = 128;  // up to 7 * 2^31
inline int64_t log_value(int32_t code) { return int64_t{4 + (code & 3)} << (code >> 2); }
// The smallest code whose value is at least x.
int32_t log_code(int64_t x);

class SpreadCoder {
 public:
  // `spread`: four times the base-2 logarithm of the expected standard deviation, in the unit of `step`.
  SpreadCoder();
  void encode(BitEncoder& out, int32_t q, int32_t spread, int64_t step);
  int32_t decode(BitDecoder& in, int32_t spread, int64_t step);
  // About what `encode` takes, in bits; changes nothing. Writer only.
  double bits(int32_t q, int32_t spread, int64_t step) const;

 private:
  static constexpr size_t kClasses = 24;
  static size_t class_of(int32_t spread, int64_t step);
  std::array<IntModel, kClasses> models_;
};

}  // namespace h5neural

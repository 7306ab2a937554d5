// latent_spread.cc: see latent_spread.h.
#include "models/latent_spread.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>

namespace h5neural {
namespace {

constexpr uint16_t kExpected[][IntModel::kExpected] = {
#include "models/latent_classes.inc"
};

}  // namespace

int32_t log_code(int64_t x) {
  int32_t code = 0;
  while (code + 1 < kLogCodes && log_value(code) < x) ++code;
  return code;
}

SpreadCoder::SpreadCoder() {
  for (size_t c = 0; c < kClasses; ++c) models_[c].expect(kExpected[c]);
}

// Half an octave each; class 8 is a standard deviation of one step.
size_t SpreadCoder::class_of(int32_t spread, int64_t step) {
  const int32_t above = spread - log_code(4 * step);  // in quarters of an octave
  return static_cast<size_t>(std::clamp((above + 17) >> 1, 0, static_cast<int>(kClasses) - 1));
}

void SpreadCoder::encode(BitEncoder& out, int32_t q, int32_t spread, int64_t step) {
  models_[class_of(spread, step)].encode(out, q);
}

int32_t SpreadCoder::decode(BitDecoder& in, int32_t spread, int64_t step) {
  return models_[class_of(spread, step)].decode(in);
}

double SpreadCoder::bits(int32_t q, int32_t spread, int64_t step) const {
  const auto& p = kExpected[class_of(spread, step)];
  const auto cost = [](int one_in_4096) { return 12 - std::log2(static_cast<double>(one_in_4096)); };
  if (q == 0) return cost(p[0]);
  const auto m = static_cast<uint32_t>(std::abs(q));
  const int more = std::bit_width(m) - 1;
  double sum = cost(4096 - p[0]) + 1;
  for (int k = 0; k <= more; ++k) {
    const int ends = k < 10 ? p[1 + k] : 2048;
    sum += cost(k < more ? 4096 - ends : ends);
  }
  return sum + more;
}

}  // namespace h5neural

// network.cc: the kernel of network.h in plain C++, the truth that vectors are held to.
#include "kernels/network.h"

#include <algorithm>

#include "kernels/kernels.h"

namespace h5neural {
namespace {

// Turns lattice units into eighths of the magnitude of half octave h, 2^((h - 1) / 2) sixteenths of a lattice
// unit: by 2^((15 - h) / 2), in 32 bits.
class Ruler {
 public:
  explicit Ruler(int h) {
    const int halves = 15 - std::max(h, 1), octaves = halves >> 1;
    mantissa_ = halves & 1 ? 181 : 128;
    before_ = std::max(0, -octaves - 7);
    after_ = 7 - std::max(octaves, -7);
  }
  int16_t operator()(int32_t x, int32_t most) const {
    constexpr int32_t kMost = 1 << 19;
    const int32_t v = (std::clamp(x >> before_, -kMost, kMost) * mantissa_) >> after_;
    return static_cast<int16_t>(std::clamp(v, -most, most));
  }

 private:
  int mantissa_, before_, after_;
};

// How far a feature lies above what is expected, in half octaves, times 4.
int16_t about(int32_t feature, int h) {
  const int f = half_octaves(static_cast<uint32_t>(feature) << 4);
  return static_cast<int16_t>(std::clamp(4 * (f - h), -kNetworkMostAbout, kNetworkMostAbout));
}

}  // namespace

void network_row_scalar(const NetworkTaps& t, const int32_t* prediction, const uint8_t* context, int64_t at,
                        int count, int16_t* out, ptrdiff_t stride) {
  for (int k = 0; k < count; ++k, ++at, ++out) {
    const int h = std::max<int>(context[k], kNetworkLeastContext) + t.near->origin;
    const Ruler ruler(h), doubled(h + 2);
    int16_t* to = out;
    const auto put = [&to, stride](int16_t v) {
      *to = v;
      to += stride;
    };
    for (int j = 0; j < t.sums; ++j) {
      const bool known = j < t.pairs->pairs;
      put(known ? doubled(t.pairs->plus[j][at] + t.pairs->minus[j][at] - 2 * prediction[k], kNetworkMost)
                : int16_t{0});
    }
    for (int j = 0; j < t.differences; ++j) {
      const bool known = j < t.pairs->pairs;
      put(known ? doubled(t.pairs->plus[j][at] - t.pairs->minus[j][at], kNetworkMost) : int16_t{0});
    }
    for (int j = 0; j < t.magnitudes; ++j) {
      const bool known = j < t.near->pairs;
      put(known ? ruler(t.near->plus_magnitude[j][at], kNetworkMostResidual) : int16_t{0});
      put(known ? ruler(t.near->minus_magnitude[j][at], kNetworkMostResidual) : int16_t{0});
    }
    put(static_cast<int16_t>(4 * context[k]));
    for (const int32_t f : features(*t.near, prediction[k], at)) put(about(f, h));
  }
}

}  // namespace h5neural

// network.h: what a corrections network (corrections/network.h) is shown of a row of points, and the kernel
// that puts it together. docs/format.md has the arithmetic.
#pragma once
#include <cstddef>
#include <cstdint>

namespace h5neural {

struct ContextTaps;
struct PredictorTaps;

constexpr int kNetworkMost = 1023;  // of sums and differences, in eighths of the expected magnitude
constexpr int kNetworkMostResidual = 255;
constexpr int kNetworkMostAbout = 124;   // of features, in eighths of an octave above what is expected
constexpr int kNetworkLeastContext = 6;  // smaller magnitudes than that of this context are taken for it

// The inputs that differ from point to point, in their order: sums of pairs, differences of pairs, residuals
// of both ends of the nearest pairs, the context, the features. Rows of pairs that a stencil lacks are 0.
struct NetworkTaps {
  int sums = 0, differences = 0, magnitudes = 0;
  const PredictorTaps* pairs = nullptr;
  const ContextTaps* near = nullptr;
};

// out[e * stride + k]: input e of place at + k. Rows have kOverhang to spare; all values are known to lie
// within 2^28.
using NetworkRow = void (*)(const NetworkTaps& taps, const int32_t* prediction, const uint8_t* context,
                            int64_t at, int count, int16_t* out, ptrdiff_t stride);
void network_row_scalar(const NetworkTaps& taps, const int32_t* prediction, const uint8_t* context,
                        int64_t at, int count, int16_t* out, ptrdiff_t stride);

}  // namespace h5neural

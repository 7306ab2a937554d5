// simd.h: the backend in vectors, one for each instruction set of the build (AVX2, AVX-512, AVX-512 with
// VNNI, NEON). Sums of products in 8 or 16 bits, as proved ranges and weights allow, in 32-bit lanes.
#pragma once
#include <vector>

#include "exact/backend.h"

namespace h5neural {

// Slowest first; also those that this machine cannot run (available() says).
const std::vector<const Backend*>& simd_backends();

}  // namespace h5neural

// cpu.h: which instruction sets this processor and its operating system have, and which one was asked for.
#pragma once

namespace h5neural {

// Ascending speed on one kind of processor.
enum class SimdTarget { kNone, kNeon, kAvx2, kAvx512, kAvx512Vnni };

// Whether code of this set runs here.
bool has_target(SimdTarget target);

// The most that may be used: the environment variable H5NEURAL_BACKEND (scalar, neon, avx2, avx512 or
// avx512vnni; other names are ignored) forces it down, never up. Read once.
SimdTarget allowed_target();

}  // namespace h5neural

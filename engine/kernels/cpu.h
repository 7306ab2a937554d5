// cpu.h: which instruction sets this processor and its operating system have, and which one was asked for.
#pragma once

namespace h5neural {

enum class SimdTarget { kNone, kNeon, kAvx2, kAvx512 };  // ascending speed on one kind of processor

// Whether code of this set runs here.
bool has_target(SimdTarget target);

// The most that may be used: the environment variable H5NEURAL_BACKEND (scalar, neon, avx2 or avx512; other
// names are ignored) forces it down, never up. Read once.
SimdTarget allowed_target();

}  // namespace h5neural

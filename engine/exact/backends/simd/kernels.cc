// kernels.cc: the loops of kernels-inl.h, compiled by Highway once for each instruction set, and once more
// for AVX-512 with VNNI, which Highway 1.0.3 has no target for.
#include "exact/backends/simd/kernels.h"

#include <cstring>

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "exact/backends/simd/kernels.cc"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#if HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128  // there the plain backend is as good
HWY_BEFORE_NAMESPACE();
namespace h5neural {
namespace HWY_NAMESPACE {
namespace programs {
#define H5NEURAL_VNNI 0
#include "exact/backends/simd/kernels-inl.h"
#undef H5NEURAL_VNNI
}  // namespace programs
}  // namespace HWY_NAMESPACE
}  // namespace h5neural
HWY_AFTER_NAMESPACE();

#if HWY_TARGET == HWY_AVX3
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
namespace h5neural {
namespace HWY_NAMESPACE {
namespace programs_vnni {
#define H5NEURAL_VNNI 1
#include "exact/backends/simd/kernels-inl.h"
#undef H5NEURAL_VNNI
}  // namespace programs_vnni
}  // namespace HWY_NAMESPACE
}  // namespace h5neural
HWY_AFTER_NAMESPACE();
#endif
#endif

#if HWY_ONCE
namespace h5neural {

const ProgramKernels* program_kernels(SimdTarget target) {
  if (!has_target(target)) return nullptr;
#if HWY_TARGETS & HWY_AVX3
  if (target == SimdTarget::kAvx512Vnni) return &N_AVX3::programs_vnni::table();
  if (target == SimdTarget::kAvx512) return &N_AVX3::programs::table();
#endif
#if HWY_TARGETS & HWY_AVX2
  if (target == SimdTarget::kAvx2) return &N_AVX2::programs::table();
#endif
#if HWY_TARGETS & HWY_NEON
  if (target == SimdTarget::kNeon) return &N_NEON::programs::table();
#endif
  return nullptr;
}

}  // namespace h5neural
#endif

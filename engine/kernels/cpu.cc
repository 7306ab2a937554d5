// cpu.cc: see cpu.h.
#include "kernels/cpu.h"

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace h5neural {
namespace {

#if defined(__x86_64__)
// What the compiler was told to use for each set (Highway's attributes). F16C has no name in every compiler;
// no processor has AVX2 without it.
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("aes");
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}
#endif

SimdTarget find_allowed() {
  const char* name = std::getenv("H5NEURAL_BACKEND");
  SimdTarget most = SimdTarget::kAvx512Vnni;
  if (name != nullptr && std::strcmp(name, "scalar") == 0) most = SimdTarget::kNone;
  if (name != nullptr && std::strcmp(name, "neon") == 0) most = SimdTarget::kNeon;
  if (name != nullptr && std::strcmp(name, "avx2") == 0) most = SimdTarget::kAvx2;
  if (name != nullptr && std::strcmp(name, "avx512") == 0) most = SimdTarget::kAvx512;
  for (const SimdTarget t :
       {SimdTarget::kAvx512Vnni, SimdTarget::kAvx512, SimdTarget::kAvx2, SimdTarget::kNeon}) {
    if (t <= most && has_target(t)) return t;
  }
  return SimdTarget::kNone;
}

}  // namespace

bool has_target(SimdTarget target) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (target == SimdTarget::kAvx2) return has_avx2();
  if (target == SimdTarget::kAvx512) return has_avx512();
  if (target == SimdTarget::kAvx512Vnni) return has_avx512() && __builtin_cpu_supports("avx512vnni");
#elif defined(__aarch64__)
  if (target == SimdTarget::kNeon) return true;
#endif
  return target == SimdTarget::kNone;
}

SimdTarget allowed_target() {
  static const SimdTarget t = find_allowed();
  return t;
}

}  // namespace h5neural

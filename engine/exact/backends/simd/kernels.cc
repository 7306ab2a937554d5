// kernels.cc: the loops of kernels.h in vectors, by Highway, once for each instruction set of the build (this
// file includes itself again for each); the sums once more for AVX-512 with VNNI, which Highway 1.0.3 has no
// target for. Highway's headers only: which set runs is decided in kernels/cpu.cc.
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

namespace {

using I64 = hn::RepartitionToWide<I32>;
using U64 = hn::Repartition<uint64_t, I32>;

// y[i] = f(x[i], i), vector by vector; the last ones from a copy, filled up with `fill`.
template <class F>
HWY_INLINE void each(const int32_t* x, size_t n, int32_t fill, int32_t* y, F&& f) {
  const I32 d;
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(f(hn::LoadU(d, x + i), i), d, y + i);
  if (i == n) return;
  HWY_ALIGN int32_t last[kLanes];
  hn::Store(hn::Set(d, fill), d, last);
  std::memcpy(last, x + i, (n - i) * sizeof *x);
  hn::Store(f(hn::Load(d, last), i), d, last);
  std::memcpy(y + i, last, (n - i) * sizeof *y);
}

template <class Narrow>
HWY_INLINE void narrow_all(const int32_t* x, size_t n, int32_t base, Narrow* y) {
  const I32 d;
  const hn::Rebind<Narrow, I32> narrow;
  const auto from = hn::Set(d, base);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::DemoteTo(narrow, hn::Sub(hn::LoadU(d, x + i), from)), narrow, y + i);
  }
  for (; i < n; ++i) y[i] = static_cast<Narrow>(x[i] - base);
}

void to_bytes(const int32_t* x, size_t n, int32_t base, uint8_t* y) { narrow_all(x, n, base, y); }
void to_words(const int32_t* x, size_t n, int16_t* y) { narrow_all(x, n, 0, y); }

void add(const int32_t* a, const int32_t* b, size_t n, int32_t* y) {
  const I32 d;
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::Add(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, y + i);
  }
  for (; i < n; ++i) y[i] = a[i] + b[i];
}

void clamp(const int32_t* x, size_t n, int32_t lo, int32_t hi, int32_t* y) {
  const I32 d;
  const auto low = hn::Set(d, lo), high = hn::Set(d, hi);
  each(x, n, lo, y, [&](V32 v, size_t) HWY_ATTR { return hn::Min(hn::Max(v, low), high); });
}

// The low halves of the 64-bit lanes, in order.
HWY_INLINE V32 interleave(hn::Vec<U64> even, hn::Vec<U64> odd) {
  const U64 u;
  const auto low = hn::And(even, hn::Set(u, 0xffffffffu));
  return hn::BitCast(I32(), hn::Or(low, hn::ShiftLeft<32>(odd)));
}

HWY_INLINE V32 odd_lanes(V32 v) { return hn::BitCast(I32(), hn::ShiftRight<32>(hn::BitCast(U64(), v))); }

enum class RescaleKind { kSmallShift, kFits, kWide };

// A result that fits 32 bits before it is clamped, shift <= 32: the low halves of the shifted products are
// those of an arithmetic shift.
HWY_INLINE V32 rescale_small(V32 x, V32 m, const Rescale& r) {
  const I32 d;
  const U64 u;
  const auto half = hn::Set(u, r.shift == 0 ? 0 : uint64_t{1} << (r.shift - 1));
  const auto even = hn::Add(hn::BitCast(u, hn::MulEven(x, m)), half);
  const auto odd = hn::Add(hn::BitCast(u, hn::MulEven(odd_lanes(x), odd_lanes(m))), half);
  const auto low = hn::BitCast(d, hn::ShiftRightSame(even, static_cast<int>(r.shift)));
  const auto high = hn::BitCast(d, hn::ShiftLeftSame(odd, static_cast<int>(32 - r.shift)));
  return hn::Min(hn::Max(hn::OddEven(high, low), hn::Set(d, r.lo)), hn::Set(d, r.hi));
}

// Products in 64 bits, shifted as unsigned numbers with a bias of 2^63 (which also carries the rounding), for
// want of a 64-bit arithmetic shift: ((s + 2^63) >> shift) - 2^(63 - shift) = s >> shift.
template <RescaleKind kKind>
HWY_INLINE V32 rescale_vector(V32 x, V32 m, const Rescale& r) {
  if (kKind == RescaleKind::kSmallShift) return rescale_small(x, m, r);
  const I32 d;
  const I64 d64;
  const U64 u;
  const uint64_t half = r.shift == 0 ? 0 : uint64_t{1} << (r.shift - 1), bias = uint64_t{1} << 63;
  const auto shifted = [&](V32 a, V32 b) HWY_ATTR {
    const auto product = hn::Add(hn::BitCast(u, hn::MulEven(a, b)), hn::Set(u, half + bias));
    return hn::ShiftRightSame(product, static_cast<int>(r.shift));
  };
  auto even = shifted(x, m), odd = shifted(odd_lanes(x), odd_lanes(m));
  const uint64_t excess = bias >> r.shift;
  if (kKind == RescaleKind::kFits) {
    const auto y =
        hn::Sub(interleave(even, odd), hn::Set(d, static_cast<int32_t>(static_cast<uint32_t>(excess))));
    return hn::Min(hn::Max(y, hn::Set(d, r.lo)), hn::Set(d, r.hi));
  }
  const auto limit = [&](hn::Vec<U64> v) HWY_ATTR {
    const auto s = hn::BitCast(d64, hn::Sub(v, hn::Set(u, excess)));
    return hn::BitCast(u, hn::Min(hn::Max(s, hn::Set(d64, r.lo)), hn::Set(d64, r.hi)));
  };
  return interleave(limit(even), limit(odd));
}

template <RescaleKind kKind>
void rescale_all(const int32_t* x, size_t n, const Rescale& r, int32_t* y) {
  const I32 d;
  if (r.period == 1) {
    const auto m = hn::Set(d, *r.multiplier);
    each(x, n, 0, y, [&](V32 v, size_t) HWY_ATTR { return rescale_vector<kKind>(v, m, r); });
    return;
  }
  for (size_t i = 0; i < n; i += r.period) {
    each(x + i, HWY_MIN(r.period, n - i), 0, y + i, [&](V32 v, size_t j) HWY_ATTR {
      return rescale_vector<kKind>(v, hn::LoadU(d, r.multiplier + j), r);
    });
  }
}

void rescale(const int32_t* x, size_t n, const Rescale& r, int32_t* y) {
  if (!r.fits) return rescale_all<RescaleKind::kWide>(x, n, r, y);
  r.shift <= 32 ? rescale_all<RescaleKind::kSmallShift>(x, n, r, y)
                : rescale_all<RescaleKind::kFits>(x, n, r, y);
}

void look_up(const int32_t* x, size_t n, int32_t first, const int32_t* table, int32_t* y) {
  const I32 d;
  const auto from = hn::Set(d, first);
  each(x, n, first, y, [&](V32 v, size_t) HWY_ATTR { return hn::GatherIndex(d, table, hn::Sub(v, from)); });
}

}  // namespace

const ProgramKernels& table() {
  static constexpr const char* kName = HWY_TARGET == HWY_AVX3   ? "simd-avx512"
                                       : HWY_TARGET == HWY_AVX2 ? "simd-avx2"
                                                                : "simd-neon";
  static constexpr ProgramKernels k = {kName,     kLanes,      kVectors,    kSumBytes, true,
                                       kSumWords, kAlongBytes, kAlongWords, to_bytes,  to_words,
                                       add,       clamp,       rescale,     look_up};
  return k;
}

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

namespace h5neural {
namespace HWY_NAMESPACE {
const ProgramKernels& vnni_table() {
  static const ProgramKernels k = [] {
    ProgramKernels t = programs::table();
    t.name = "simd-avx512vnni";
    t.pairs_saturate = false;
    t.sum_bytes = programs_vnni::kSumBytes;
    t.sum_words = programs_vnni::kSumWords;
    t.along_bytes = programs_vnni::kAlongBytes;
    t.along_words = programs_vnni::kAlongWords;
    return t;
  }();
  return k;
}
}  // namespace HWY_NAMESPACE
}  // namespace h5neural
#endif
#endif

#if HWY_ONCE
namespace h5neural {

const ProgramKernels* program_kernels(SimdTarget target) {
  if (!has_target(target)) return nullptr;
#if HWY_TARGETS & HWY_AVX3
  if (target == SimdTarget::kAvx512Vnni) return &N_AVX3::vnni_table();
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

// simd.cc: the kernels in vectors, by Highway, once for each instruction set of the build (this file includes
// itself again for each); see kernels.h. Highway's headers only: which set runs is decided in cpu.cc.
#include <algorithm>
#include <bit>

#include "kernels/kernels.h"

// SSE is left to the scalar kernels, AVX-512 without its later additions serves all AVX-512.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd.cc"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#if HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128  // there the plain kernels are as good
HWY_BEFORE_NAMESPACE();
namespace h5neural {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using I32 = hn::ScalableTag<int32_t>;
using U32 = hn::RepartitionToWide<hn::ScalableTag<uint16_t>>;
using I64 = hn::RepartitionToWide<I32>;
using U64 = hn::RepartitionToWide<U32>;
using F32 = hn::ScalableTag<float>;
using V32 = hn::Vec<I32>;
using V64 = hn::Vec<I64>;

constexpr int kLimit = 1 << 28;

// The even and the odd lanes of 32-bit numbers, times a broadcast 32-bit number, as 64 bits.
HWY_INLINE V64 even_product(V32 a, V32 b) { return hn::MulEven(a, b); }
HWY_INLINE V64 odd_product(V32 a, V32 b) {
  const I32 d;
  const U64 u;
  return hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(u, a))), b);
}

// The low halves of 64-bit lanes, even and odd, back in order.
HWY_INLINE V32 interleave(V64 even, V64 odd) {
  const I32 d;
  const U64 u;
  const auto low = hn::And(hn::BitCast(u, even), hn::Set(u, 0xffffffffu));
  return hn::BitCast(d, hn::Or(low, hn::ShiftLeft<32>(hn::BitCast(u, odd))));
}

// sum >> kCoefficientBits, clamped. Shifted as an unsigned number with a bias, for want of a 64-bit
// arithmetic shift.
HWY_INLINE V64 round_prediction(V64 sum) {
  const I64 d;
  const U64 u;
  const auto biased = hn::BitCast(u, hn::Add(sum, hn::Set(d, int64_t{1} << 62)));
  const auto shifted = hn::BitCast(d, hn::ShiftRight<kCoefficientBits>(biased));
  const auto v = hn::Sub(shifted, hn::Set(d, int64_t{1} << (62 - kCoefficientBits)));
  return hn::Min(hn::Max(v, hn::Set(d, -kLimit)), hn::Set(d, kLimit));
}

void predict(const PredictorTaps& t, int64_t at, int count, int32_t* out) {
  const I32 d;
  const I64 d64;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto start = hn::Set(d64, int64_t{1} << (kCoefficientBits - 1));
  int k = 0;
  for (; k + lanes < count; k += 2 * lanes) {  // two vectors at a time share the coefficients
    auto even = start, odd = start, even2 = start, odd2 = start;
    for (int j = 0; j < t.pairs; ++j) {
      const int32_t *plus = t.plus[j] + at + k, *minus = t.minus[j] + at + k;
      const auto c = hn::Set(d, t.coefficient[j]);
      const auto s = hn::Add(hn::LoadU(d, plus), hn::LoadU(d, minus));
      const auto s2 = hn::Add(hn::LoadU(d, plus + lanes), hn::LoadU(d, minus + lanes));
      even = hn::Add(even, even_product(s, c));
      odd = hn::Add(odd, odd_product(s, c));
      even2 = hn::Add(even2, even_product(s2, c));
      odd2 = hn::Add(odd2, odd_product(s2, c));
    }
    hn::StoreU(interleave(round_prediction(even), round_prediction(odd)), d, out + k);
    hn::StoreU(interleave(round_prediction(even2), round_prediction(odd2)), d, out + k + lanes);
  }
  for (; k < count; k += lanes) {
    auto even = start, odd = start;
    for (int j = 0; j < t.pairs; ++j) {
      const auto s = hn::Add(hn::LoadU(d, t.plus[j] + at + k), hn::LoadU(d, t.minus[j] + at + k));
      const auto c = hn::Set(d, t.coefficient[j]);
      even = hn::Add(even, even_product(s, c));
      odd = hn::Add(odd, odd_product(s, c));
    }
    hn::StoreU(interleave(round_prediction(even), round_prediction(odd)), d, out + k);
  }
}

// Twice the binary logarithm of v >= 0, rounded down to a half octave, plus 1; 0 for 0.
HWY_INLINE V32 half_octaves(V32 v) {
  const I32 d;
  const F32 f;
  // The bit below the top one is cleared, so that rounding to a float leaves the exponent alone.
  const auto top_kept = hn::AndNot(hn::ShiftRight<1>(v), v);
  const auto exponent =
      hn::Sub(hn::ShiftRight<23>(hn::BitCast(d, hn::ConvertTo(f, top_kept))), hn::Set(d, 127));
  const auto top = hn::Max(exponent, hn::Zero(d));
  const auto normal = hn::Shl(v, hn::Sub(hn::Set(d, 30), top));
  const auto upper = hn::IfThenElseZero(hn::Gt(normal, hn::Set(d, (91 << 24) - 1)), hn::Set(d, 1));
  const auto h = hn::Add(hn::Add(hn::Add(top, top), upper), hn::Set(d, 1));
  return hn::IfThenZeroElse(hn::Eq(v, hn::Zero(d)), h);
}

HWY_INLINE V32 load_magnitude(const uint16_t* p) {
  const I32 d;
  const hn::Rebind<uint16_t, I32> half;
  return hn::PromoteTo(d, hn::LoadU(half, p));
}

void contexts(const ContextTaps& t, const int32_t* prediction, int64_t at, int count, uint8_t* out) {
  const I32 d;
  const I64 d64;
  const U64 u64;
  const hn::Rebind<uint8_t, I32> bytes;
  const auto most = hn::Set(d, kFeatureMax);
  // Features without weight are not looked at.
  const int near_to = t.weight[0] ? kNearPairs : 0, far_to = t.weight[1] ? kContextPairs : 0;
  const int apart_to = std::min(t.weight[2] ? kSpreadPairs : t.weight[4] ? kGradientPairs : 0, t.pairs);
  const int gradient_to = t.weight[4] ? kGradientPairs : 0;
  for (int k = 0; k < count; k += static_cast<int>(hn::Lanes(d))) {
    const int64_t p = at + k;
    const auto nearest = hn::Add(hn::LoadU(d, t.plus[0] + p), hn::LoadU(d, t.minus[0] + p));
    const auto magnitudes = [&](int from, int to) {
      auto sum = hn::Zero(d);
      for (int j = from; j < std::min(to, t.pairs); ++j) {
        sum = hn::Add(
            sum, hn::Add(load_magnitude(t.plus_magnitude[j] + p), load_magnitude(t.minus_magnitude[j] + p)));
      }
      return sum;
    };
    const auto near = magnitudes(0, near_to), far = magnitudes(kNearPairs, far_to);
    auto spread = hn::Zero(d), gradient = hn::Zero(d);
    for (int j = 0; j < apart_to; ++j) {
      const auto plus = hn::LoadU(d, t.plus[j] + p), minus = hn::LoadU(d, t.minus[j] + p);
      const auto apart = hn::Abs(hn::Sub(hn::Add(plus, minus), nearest));
      spread = hn::Add(spread, hn::Min(apart, most));
      if (j < gradient_to) gradient = hn::Add(gradient, hn::Min(hn::Abs(hn::Sub(plus, minus)), most));
    }
    const auto x = hn::LoadU(d, prediction + k);
    const auto distance = hn::Min(hn::Abs(hn::Sub(hn::Add(x, x), nearest)), most);
    const V32 f[kFeatures] = {near, far, spread, distance, gradient};
    auto even = hn::Zero(d64), odd = hn::Zero(d64);
    for (int i = 0; i < kFeatures; ++i) {
      const auto w = hn::Set(d, t.weight[i]);
      even = hn::Add(even, even_product(f[i], w));
      odd = hn::Add(odd, odd_product(f[i], w));
    }
    const auto cap = hn::Set(d64, INT32_MAX);
    even = hn::Min(hn::BitCast(d64, hn::ShiftRight<12>(hn::BitCast(u64, even))), cap);
    odd = hn::Min(hn::BitCast(d64, hn::ShiftRight<12>(hn::BitCast(u64, odd))), cap);
    const auto h = hn::Sub(half_octaves(interleave(even, odd)), hn::Set(d, t.origin));
    const auto c = hn::Min(hn::Max(h, hn::Zero(d)), hn::Set(d, kContexts - 1));
    hn::StoreU(hn::DemoteTo(bytes, c), bytes, out + k);
  }
}

void accept(const int32_t* prediction, const int32_t* quantised, int count, int32_t bin, int32_t* value,
            uint16_t* magnitude) {
  const I32 d;
  const hn::Rebind<uint16_t, I32> half;
  const auto most = hn::Set(d, (1 << 29) / bin), limit = hn::Set(d, kLimit);
  for (int k = 0; k < count; k += static_cast<int>(hn::Lanes(d))) {
    const auto p = hn::LoadU(d, prediction + k);
    const auto q = hn::Min(hn::Max(hn::LoadU(d, quantised + k), hn::Neg(most)), most);
    const auto step = hn::Mul(q, hn::Set(d, bin));
    const auto v = hn::Min(hn::Max(hn::Add(p, step), hn::Neg(limit)), limit);
    hn::StoreU(v, d, value + k);
    hn::StoreU(hn::DemoteTo(half, hn::Abs(hn::Sub(v, p))), half, magnitude + k);  // saturates
  }
}

bool unfold(const uint8_t* symbols, int64_t count, int32_t* out) {
  const I32 d;
  const U32 u;
  const hn::Rebind<uint8_t, I32> bytes;
  auto largest = hn::Zero(u);
  int64_t k = 0;
  for (; k + static_cast<int64_t>(hn::Lanes(d)) <= count; k += static_cast<int64_t>(hn::Lanes(d))) {
    const auto s = hn::PromoteTo(u, hn::LoadU(bytes, symbols + k));
    largest = hn::Max(largest, s);
    const auto sign = hn::Neg(hn::BitCast(d, hn::And(s, hn::Set(u, 1))));
    hn::StoreU(hn::Xor(hn::BitCast(d, hn::ShiftRight<1>(s)), sign), d, out + k);
  }
  bool escaped = hn::GetLane(hn::MaxOfLanes(u, largest)) == kEscape;
  for (; k < count; ++k) {
    out[k] = (symbols[k] >> 1) ^ -(symbols[k] & 1);
    escaped |= symbols[k] == kEscape;
  }
  return escaped;
}

// The transform.

// (even, odd) c 2^-28, rounded: only the low halves of the shifted products count, so that the shift need not
// know about signs.
HWY_INLINE V32 scaled(V32 x, V32 c) {
  const I32 d;
  const U64 u;
  const auto half = hn::Set(u, uint64_t{1} << (kLiftBits - 1));
  const auto even = hn::Add(hn::BitCast(u, even_product(x, c)), half);
  const auto odd = hn::Add(hn::BitCast(u, odd_product(x, c)), half);
  // Bits 28 to 59 of each, the odd ones where they belong.
  const auto low = hn::And(hn::ShiftRight<kLiftBits>(even), hn::Set(u, 0xffffffffu));
  const auto high = hn::AndNot(hn::Set(u, 0xffffffffu), hn::ShiftLeft<32 - kLiftBits>(odd));
  return hn::BitCast(d, hn::Or(low, high));
}

// Stores the first `count` lanes.
HWY_INLINE void store_some(V32 v, int64_t count, int32_t* out) {
  const I32 d;
  hn::BlendedStore(v, hn::FirstN(d, static_cast<size_t>(count)), d, out);
}

// Calls at(k) for whole vectors, and stores what it returns.
template <class At>
HWY_INLINE void for_vectors(int64_t count, int32_t* out, At&& at) {
  const I32 d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t k = 0;
  for (; k + lanes <= count; k += lanes) hn::StoreU(at(k), d, out + k);
  if (k < count) store_some(at(k), count - k, out + k);
}

void lift(int32_t* out, const int32_t* left, const int32_t* right, int64_t count, int32_t c) {
  const I32 d;
  const auto factor = hn::Set(d, c);
  for_vectors(count, out, [&](int64_t k) HWY_ATTR {
    const auto sum = hn::Add(hn::LoadU(d, left + k), hn::LoadU(d, right + k));
    return hn::Sub(hn::LoadU(d, out + k), scaled(sum, factor));
  });
}

void scale(const int32_t* in, int64_t count, int32_t c, int times, int32_t* out) {
  const I32 d;
  const auto factor = hn::Set(d, c);
  for_vectors(count, out, [&](int64_t k) HWY_ATTR {
    auto x = hn::LoadU(d, in + k);
    for (int i = 0; i < times; ++i) x = scaled(x, factor);
    return x;
  });
}

void interleave(const int32_t* even, const int32_t* odd, int64_t count, int32_t* out) {
  const I32 d;
  for (int64_t k = 0; k < count; k += static_cast<int64_t>(hn::Lanes(d))) {
    hn::StoreInterleaved2(hn::LoadU(d, even + k), hn::LoadU(d, odd + k), d, out + 2 * k);
  }
}

void reconstruct(const int32_t* quantised, int64_t count, const ReconstructionPoints& p, int32_t* out) {
  const I32 d;
  const U32 u;
  const auto largest = hn::Set(d, p.most / p.step + 2), step = hn::Set(d, p.step);
  const auto one = hn::Set(d, p.one), more = hn::Set(d, p.more), unit = hn::Set(d, 1);
  const auto most = hn::Set(u, static_cast<uint32_t>(p.most));
  for_vectors(count, out, [&](int64_t k) HWY_ATTR {
    const auto q = hn::LoadU(d, quantised + k);
    const auto magnitude = hn::Min(hn::Abs(q), largest);
    const auto nearer = hn::IfThenElse(hn::Eq(magnitude, unit), one, more);
    const auto exact = hn::BitCast(u, hn::Sub(hn::Mul(magnitude, step), nearer));
    const auto v = hn::BitCast(d, hn::Min(exact, most));
    return hn::IfThenZeroElse(hn::Eq(q, hn::Zero(d)), hn::IfThenElse(hn::Lt(q, hn::Zero(d)), hn::Neg(v), v));
  });
}

void weigh(std::span<const WeighedRows> sums, int count, uint32_t* out) {
  const U32 u;
  const hn::Rebind<uint16_t, U32> half;
  for (int k = 0; k < count; k += static_cast<int>(hn::Lanes(u))) {
    auto all = hn::LoadU(u, out + k);
    for (const WeighedRows& s : sums) {
      auto sum = hn::Zero(u);
      int r = 0;
      for (; r + 4 <= s.rows; r += 4) {  // four magnitudes fit in 16 bits
        const auto a = hn::Add(hn::LoadU(half, s.row[r] + k), hn::LoadU(half, s.row[r + 1] + k));
        const auto b = hn::Add(hn::LoadU(half, s.row[r + 2] + k), hn::LoadU(half, s.row[r + 3] + k));
        sum = hn::Add(sum, hn::PromoteTo(u, hn::Add(a, b)));
      }
      for (; r < s.rows; ++r) sum = hn::Add(sum, hn::PromoteTo(u, hn::LoadU(half, s.row[r] + k)));
      all = hn::Add(all, hn::Mul(sum, hn::Set(u, s.weight)));
    }
    hn::StoreU(all, u, out + k);
  }
}

void roughness(const int32_t* x, const RowsBeside& b, int count, uint8_t* out) {
  const I32 d;
  const hn::Rebind<uint8_t, I32> bytes;
  const auto lanes = static_cast<int>(hn::Lanes(d));
  if (count < lanes) return scalar_kernels().roughness(x, b, count, out);
  const auto most = hn::Set(d, kRoughMost);
  for (int from = 0; from < count; from += lanes) {
    const int k = std::min(from, count - lanes);  // the last vector may overlap the one before
    const auto v = hn::LoadU(d, x + k);
    const auto twice = hn::Add(v, v);
    auto sum = hn::Zero(d);
    for (int a = 0; a < b.axes; ++a) {
      const auto beside = hn::Add(hn::LoadU(d, b.before[a] + k), hn::LoadU(d, b.after[a] + k));
      sum = hn::Add(sum, hn::Min(hn::Abs(hn::Sub(beside, twice)), most));
    }
    const auto octaves = hn::ShiftRight<1>(hn::Add(half_octaves(sum), hn::Set(d, 1)));
    hn::StoreU(hn::DemoteTo(bytes, octaves), bytes, out + k);
  }
}

#if HWY_TARGET == HWY_AVX3

// 16 lanes: where[k]: the first slot of the table of symbol k. Returns the entries.
HWY_INLINE __m512i decode_half(__m512i& state, __m512i where, const uint32_t* slots, const uint8_t*& next) {
  const __m512i low = _mm512_set1_epi32(kSlots - 1);
  const __m512i slot = _mm512_and_si512(state, low);
  const __m512i entry = _mm512_i32gather_epi32(_mm512_add_epi32(where, slot), slots, 4);
  const __m512i frequency = _mm512_and_si512(_mm512_srli_epi32(entry, kProbabilityBits), low);
  const __m512i rest = _mm512_sub_epi32(slot, _mm512_and_si512(entry, low));
  state = _mm512_add_epi32(_mm512_mullo_epi32(frequency, _mm512_srli_epi32(state, kProbabilityBits)), rest);
  // Lanes that fell below the least state take the next words, in their order.
  const __mmask16 due = _mm512_cmplt_epu32_mask(state, _mm512_set1_epi32(kRansLow));
  const __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(next)));
  const __m512i refilled =
      _mm512_or_si512(_mm512_slli_epi32(state, 16), _mm512_maskz_expand_epi32(due, words));
  state = _mm512_mask_mov_epi32(state, due, refilled);
  next += 2 * std::popcount(static_cast<unsigned>(due));
  return entry;
}

int64_t decode_groups(RansLanes& lanes, const uint8_t* context, int64_t groups, const uint32_t* table,
                      const uint32_t* slots, uint8_t* symbols) {
  __m512i state[2] = {_mm512_loadu_si512(lanes.state.data()), _mm512_loadu_si512(lanes.state.data() + 16)};
  const __m512i first = _mm512_loadu_si512(table), second = _mm512_loadu_si512(table + 16),
                third = _mm512_loadu_si512(table + 32);
  const uint8_t* next = lanes.next;
  int64_t g = 0;
  for (; g < groups && lanes.end - next >= 2 * kMaxLanes; ++g) {
    for (int half = 0; half < 2; ++half, context += 16, symbols += 16) {
      const __m512i c = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(context)));
      const __mmask16 beyond = _mm512_cmpge_epi32_mask(c, _mm512_set1_epi32(32));
      const __m512i where =
          _mm512_mask_permutexvar_epi32(_mm512_permutex2var_epi32(first, c, second), beyond, c, third);
      const __m512i entry = decode_half(state[half], where, slots, next);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(symbols),
                       _mm512_cvtepi32_epi8(_mm512_srli_epi32(entry, 24)));
    }
  }
  _mm512_storeu_si512(lanes.state.data(), state[0]);
  _mm512_storeu_si512(lanes.state.data() + 16, state[1]);
  lanes.next = next;
  return g;
}

#elif HWY_TARGET == HWY_AVX2

// For each set of lanes that take a word: which of the next eight words each of them takes.
struct WordOrder {
  alignas(32) uint32_t of[256][8] = {};
  constexpr WordOrder() {
    for (uint32_t due = 0; due < 256; ++due) {
      for (uint32_t lane = 0, word = 0; lane < 8; ++lane) of[due][lane] = due >> lane & 1 ? word++ : 0;
    }
  }
};
constexpr WordOrder kWordOrder;

HWY_INLINE __m256i decode_eight(__m256i& state, __m256i where, const uint32_t* slots, const uint8_t*& next) {
  const __m256i low = _mm256_set1_epi32(kSlots - 1);
  const __m256i slot = _mm256_and_si256(state, low);
  const __m256i entry =
      _mm256_i32gather_epi32(reinterpret_cast<const int*>(slots), _mm256_add_epi32(where, slot), 4);
  const __m256i frequency = _mm256_and_si256(_mm256_srli_epi32(entry, kProbabilityBits), low);
  const __m256i rest = _mm256_sub_epi32(slot, _mm256_and_si256(entry, low));
  state = _mm256_add_epi32(_mm256_mullo_epi32(frequency, _mm256_srli_epi32(state, kProbabilityBits)), rest);
  const __m256i due = _mm256_cmpeq_epi32(_mm256_srli_epi32(state, 16), _mm256_setzero_si256());
  const auto set = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(due)));
  const __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(next)));
  const __m256i order = _mm256_load_si256(reinterpret_cast<const __m256i*>(kWordOrder.of[set]));
  const __m256i refilled =
      _mm256_or_si256(_mm256_slli_epi32(state, 16), _mm256_permutevar8x32_epi32(words, order));
  state = _mm256_blendv_epi8(state, refilled, due);
  next += 2 * std::popcount(set);
  return entry;
}

int64_t decode_groups(RansLanes& lanes, const uint8_t* context, int64_t groups, const uint32_t* table,
                      const uint32_t* slots, uint8_t* symbols) {
  __m256i state[4];
  for (int i = 0; i < 4; ++i) {
    state[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes.state.data() + 8 * i));
  }
  const uint8_t* next = lanes.next;
  int64_t g = 0;
  for (; g < groups && lanes.end - next >= 2 * kMaxLanes; ++g) {
    for (int i = 0; i < 4; ++i, context += 8, symbols += 8) {
      const __m256i c = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(context)));
      const __m256i where = _mm256_i32gather_epi32(reinterpret_cast<const int*>(table), c, 4);
      const __m256i entry = _mm256_srli_epi32(decode_eight(state[i], where, slots, next), 24);
      const __m128i bytes = _mm_packus_epi16(
          _mm_packus_epi32(_mm256_castsi256_si128(entry), _mm256_extracti128_si256(entry, 1)),
          _mm_setzero_si128());
      _mm_storel_epi64(reinterpret_cast<__m128i*>(symbols), bytes);
    }
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes.state.data() + 8 * i), state[i]);
  }
  lanes.next = next;
  return g;
}

#else

int64_t decode_groups(RansLanes& lanes, const uint8_t* context, int64_t groups, const uint32_t* table,
                      const uint32_t* slots, uint8_t* symbols) {
  return scalar_kernels().decode_groups(lanes, context, groups, table, slots, symbols);
}

#endif

// log2 of x >= 1, to about 1e-3 (minimax polynomial of the mantissa): enough to compare predictors.
HWY_INLINE hn::Vec<F32> log2_about(hn::Vec<F32> x) {
  const F32 f;
  const I32 d;
  const auto bits = hn::BitCast(d, x);
  const auto exponent = hn::ConvertTo(f, hn::Sub(hn::ShiftRight<23>(bits), hn::Set(d, 127)));
  const auto m = hn::BitCast(f, hn::Or(hn::And(bits, hn::Set(d, 0x007fffff)), hn::Set(d, 0x3f800000)));
  auto p = hn::MulAdd(m, hn::Set(f, 0.15824871f), hn::Set(f, -1.05187502f));
  p = hn::MulAdd(p, m, hn::Set(f, 3.04788415f));
  p = hn::MulAdd(p, m, hn::Set(f, -2.15389061f));
  return hn::Add(exponent, p);
}

// What is left of kVectors vectors of samples from `i` on, stored; log2(1 + 9 e^2) by their shares.
template <int kVectors>
HWY_INLINE hn::Vec<F32> leave(const Samples& s, std::span<const float> c, const float* y, const float* share,
                              int i, float* e) {
  const F32 f;
  const auto lanes = static_cast<int>(hn::Lanes(f));
  hn::Vec<F32> v[kVectors];
  for (int k = 0; k < kVectors; ++k) v[k] = hn::LoadU(f, y + i + k * lanes);
  const float* x = s.x + i;
  for (size_t j = 0; j < c.size(); ++j, x += s.stride) {
    const auto factor = hn::Set(f, c[j]);
    for (int k = 0; k < kVectors; ++k) v[k] = hn::NegMulAdd(factor, hn::LoadU(f, x + k * lanes), v[k]);
  }
  auto bits = hn::Zero(f);
  for (int k = 0; k < kVectors; ++k) {
    hn::StoreU(v[k], f, e + i + k * lanes);
    const auto log = log2_about(hn::MulAdd(hn::Mul(v[k], v[k]), hn::Set(f, 9.0f), hn::Set(f, 1.0f)));
    bits = hn::MulAdd(hn::LoadU(f, share + i + k * lanes), log, bits);
  }
  return bits;
}

double residual_bits(const Samples& s, std::span<const float> c, const float* y, const float* share,
                     float* e) {
  constexpr int kTogether = 6;  // so that sums need not wait for each other
  const F32 f;
  const auto lanes = static_cast<int>(hn::Lanes(f));
  auto bits = hn::Zero(f);
  int i = 0;
  for (; i + kTogether * lanes <= s.rows; i += kTogether * lanes) {
    bits = hn::Add(bits, leave<kTogether>(s, c, y, share, i, e));
  }
  for (; i < s.rows; i += lanes) bits = hn::Add(bits, leave<1>(s, c, y, share, i, e));
  return 0.5 * double(hn::GetLane(hn::SumOfLanes(f, bits)));
}

// Four rows by three columns of the normal matrix over a block of samples, as many as there are registers
// for; sums of a block in float, added up in double. `wx`: weighed columns from `first` on.
constexpr int kTileRows = 4, kTileColumns = 3;
HWY_INLINE void tile(const Samples& s, const float* wx, int first, int last, int j0, int k0, int from, int to,
                     double* a) {
  const F32 f;
  using V = hn::Vec<F32>;
  V sum[kTileRows][kTileColumns];
  for (auto& row : sum) {
    for (auto& v : row) v = hn::Zero(f);
  }
  const float* left[kTileRows];
  const float* right[kTileColumns];
  // Beyond the last row or column: that one again, and its sums not used.
  for (int j = 0; j < kTileRows; ++j) {
    left[j] = wx + (std::min(j0 + j, last - 1) - first) * ptrdiff_t{to - from};
  }
  for (int k = 0; k < kTileColumns; ++k) right[k] = s.x + std::min(k0 + k, last - 1) * s.stride + from;
  for (int i = 0; i < to - from; i += static_cast<int>(hn::Lanes(f))) {
    V r[kTileColumns];
    for (int k = 0; k < kTileColumns; ++k) r[k] = hn::LoadU(f, right[k] + i);
    for (int j = 0; j < kTileRows; ++j) {
      const auto l = hn::LoadU(f, left[j] + i);
      for (int k = 0; k < kTileColumns; ++k) sum[j][k] = hn::MulAdd(l, r[k], sum[j][k]);
    }
  }
  for (int j = j0; j < std::min(j0 + kTileRows, last); ++j) {
    for (int k = k0; k < std::min(k0 + kTileColumns, j + 1); ++k) {
      a[j * s.columns + k] += double(hn::GetLane(hn::SumOfLanes(f, sum[j - j0][k - k0])));
    }
  }
}

constexpr int kBlockRows = 256;

void normal_equations(const Samples& s, int first, int last, const float* w, const float* e, double* a,
                      double* b) {
  const F32 f;
  HWY_ALIGN float wx[kMaxPairs * kBlockRows];
  for (int from = 0; from < s.rows; from += kBlockRows) {
    const int to = std::min(from + kBlockRows, s.rows);
    for (int j = first; j < last; ++j) {
      const float* x = s.x + j * s.stride;
      float* const weighed = wx + (j - first) * (to - from);
      auto sum = hn::Zero(f);
      for (int i = from; i < to; i += static_cast<int>(hn::Lanes(f))) {
        const auto v = hn::Mul(hn::LoadU(f, w + i), hn::LoadU(f, x + i));
        hn::StoreU(v, f, weighed + (i - from));
        sum = hn::MulAdd(v, hn::LoadU(f, e + i), sum);
      }
      b[j] += double(hn::GetLane(hn::SumOfLanes(f, sum)));
    }
    for (int j = first; j < last; j += kTileRows) {
      for (int k = 0; k < std::min(j + kTileRows, last); k += kTileColumns) {
        tile(s, wx, first, last, j, k, from, to, a);
      }
    }
  }
}

}  // namespace

#include "kernels/network-inl.h"
#include "kernels/places-inl.h"

const Kernels& table() {
  static constexpr const char* kName = HWY_TARGET == HWY_AVX3   ? "avx512"
                                       : HWY_TARGET == HWY_AVX2 ? "avx2"
                                                                : "neon";
  static constexpr Kernels k = {kName,         predict,     contexts,      accept,
                                decode_groups, unfold,      lift,          scale,
                                interleave,    reconstruct, weigh,         roughness,
                                &kPlaces,      network_row, residual_bits, normal_equations};
  return k;
}

}  // namespace HWY_NAMESPACE
}  // namespace h5neural
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace h5neural {

const Kernels* simd_kernels(SimdTarget target) {
  if (!has_target(target)) return nullptr;
#if HWY_TARGETS & HWY_AVX3
  if (target == SimdTarget::kAvx512) return &N_AVX3::table();
#endif
#if HWY_TARGETS & HWY_AVX2
  if (target == SimdTarget::kAvx2) return &N_AVX2::table();
#endif
#if HWY_TARGETS & HWY_NEON
  if (target == SimdTarget::kNeon) return &N_NEON::table();
#endif
  return nullptr;
}

}  // namespace h5neural
#endif

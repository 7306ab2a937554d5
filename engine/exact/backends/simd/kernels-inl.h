// kernels-inl.h: the loops behind kernels.h. No include guard: kernels.cc includes it inside a namespace once
// for each instruction set. H5NEURAL_VNNI: whether AVX-512 VNNI may be used.

namespace {

namespace hn = hwy::HWY_NAMESPACE;

using I32 = hn::ScalableTag<int32_t>;
using I64 = hn::RepartitionToWide<I32>;
using U64 = hn::Repartition<uint64_t, I32>;
using V32 = hn::Vec<I32>;

constexpr size_t kLanes = hn::MaxLanes(I32());

// A block: so many positions and vectors of outputs that their sums fill the registers.
#if HWY_TARGET == HWY_AVX2
constexpr int kPositions = 6, kVectors = 2;
#else
constexpr int kPositions = 8, kVectors = 3;
#endif

// sum + the products of the 2 signed words of each lane.
struct Words {
  static HWY_INLINE V32 dot(V32 sum, V32 x, V32 w) {
#if H5NEURAL_VNNI
    return V32{_mm512_dpwssd_epi32(sum.raw, x.raw, w.raw)};
#elif HWY_TARGET == HWY_AVX3
    return hn::Add(sum, V32{_mm512_madd_epi16(x.raw, w.raw)});
#elif HWY_TARGET == HWY_AVX2
    return hn::Add(sum, V32{_mm256_madd_epi16(x.raw, w.raw)});
#else
    const auto low = [](V32 v) { return hn::ShiftRight<16>(hn::ShiftLeft<16>(v)); };
    sum = hn::Add(sum, hn::Mul(low(x), low(w)));
    return hn::Add(sum, hn::Mul(hn::ShiftRight<16>(x), hn::ShiftRight<16>(w)));
#endif
  }
};

// sum + the products of the 4 bytes of each lane, x unsigned and w signed.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
#define H5NEURAL_BYTES 1
struct Bytes {
  static HWY_INLINE V32 dot(V32 sum, V32 x, V32 w) {
#if H5NEURAL_VNNI
    return V32{_mm512_dpbusd_epi32(sum.raw, x.raw, w.raw)};
#elif HWY_TARGET == HWY_AVX3
    const __m512i pairs = _mm512_maddubs_epi16(x.raw, w.raw);
    return hn::Add(sum, V32{_mm512_madd_epi16(pairs, _mm512_set1_epi16(1))});
#else
    const __m256i pairs = _mm256_maddubs_epi16(x.raw, w.raw);
    return hn::Add(sum, V32{_mm256_madd_epi16(pairs, _mm256_set1_epi16(1))});
#endif
  }
};
#else
#define H5NEURAL_BYTES 0
#endif

HWY_INLINE V32 broadcast(const uint8_t* p) {
  int32_t v;
  std::memcpy(&v, p, sizeof v);
  return hn::Set(I32(), v);
}

// P positions from `first`, V vectors of outputs.
template <class Product, int P, int V>
void sum_block(const SumTile& t, size_t first) {
  const I32 d;
  V32 sum[P][V];
  const uint8_t* x[P];
  for (int p = 0; p < P; ++p) {
    x[p] = t.x + t.xo[first + p];
    for (int v = 0; v < V; ++v) sum[p][v] = hn::LoadU(d, t.bias + v * kLanes);
  }
  const auto* weights = reinterpret_cast<const int32_t*>(t.weights);
  for (const Segment& s : *t.segments) {
    const ptrdiff_t end = s.offset + 4 * s.groups;
    for (ptrdiff_t k = s.offset; k < end; k += 4, weights += V * kLanes) {
      V32 w[V];
      for (int v = 0; v < V; ++v) w[v] = hn::Load(d, weights + v * kLanes);
      for (int p = 0; p < P; ++p) {
        const V32 a = broadcast(x[p] + k);
        for (int v = 0; v < V; ++v) sum[p][v] = Product::dot(sum[p][v], a, w[v]);
      }
    }
  }
  for (int p = 0; p < P; ++p) {
    int32_t* y = t.y + t.yo[first + p];
    if (t.outputs == V * kLanes) {
      for (int v = 0; v < V; ++v) hn::StoreU(sum[p][v], d, y + v * kLanes);
    } else {
      HWY_ALIGN int32_t all[V * kLanes];
      for (int v = 0; v < V; ++v) hn::Store(sum[p][v], d, all + v * kLanes);
      std::memcpy(y, all, t.outputs * sizeof *y);
    }
  }
}

template <class Product, int V>
void sum_positions(const SumTile& t) {
  size_t p = 0;
  for (; p + kPositions <= t.positions; p += kPositions) sum_block<Product, kPositions, V>(t, p);
  for (; p + 4 <= t.positions; p += 4) sum_block<Product, 4, V>(t, p);
  for (; p + 2 <= t.positions; p += 2) sum_block<Product, 2, V>(t, p);
  for (; p < t.positions; ++p) sum_block<Product, 1, V>(t, p);
}

template <class Product>
void sum(const SumTile& t) {
  switch (t.vectors) {
    case 1:
      return sum_positions<Product, 1>(t);
    case 2:
      return sum_positions<Product, 2>(t);
    default:
      return sum_positions<Product, kVectors>(t);
  }
}

// P positions from `first`, R outputs.
template <class Product, int P, int R>
void along_block(const SumTile& t, size_t first) {
  const I32 d;
  const hn::Repartition<uint8_t, I32> bytes;
  V32 sum[P][R];
  const uint8_t* x[P];
  for (int p = 0; p < P; ++p) {
    x[p] = t.x + t.xo[first + p];
    for (int r = 0; r < R; ++r) sum[p][r] = hn::Zero(d);
  }
  const uint8_t* weights = t.weights;
  for (const Segment& s : *t.segments) {
    const ptrdiff_t end = s.offset + static_cast<ptrdiff_t>(4 * kLanes) * s.groups;
    for (ptrdiff_t k = s.offset; k < end; k += 4 * kLanes, weights += R * 4 * kLanes) {
      for (int p = 0; p < P; ++p) {
        const V32 a = hn::BitCast(d, hn::LoadU(bytes, x[p] + k));
        for (int r = 0; r < R; ++r) {
          const V32 w = hn::BitCast(d, hn::Load(bytes, weights + r * 4 * kLanes));
          sum[p][r] = Product::dot(sum[p][r], a, w);
        }
      }
    }
  }
  for (int p = 0; p < P; ++p) {
    for (int r = 0; r < R; ++r) {
      const V32 all = hn::Add(hn::SumOfLanes(d, sum[p][r]), hn::Set(d, t.bias[r]));
      t.y[t.yo[first + p] + r] = hn::GetLane(all);
    }
  }
}

template <class Product, int R>
void along_positions(const SumTile& t) {
  constexpr int kAtATime = HWY_TARGET == HWY_AVX2 ? 2 : 4;
  size_t p = 0;
  for (; p + kAtATime <= t.positions; p += kAtATime) along_block<Product, kAtATime, R>(t, p);
  for (; p < t.positions; ++p) along_block<Product, 1, R>(t, p);
}

template <class Product>
void along(const SumTile& t) {
  switch (t.outputs) {
    case 1:
      return along_positions<Product, 1>(t);
    case 2:
      return along_positions<Product, 2>(t);
    case 3:
      return along_positions<Product, 3>(t);
    default:
      return along_positions<Product, 4>(t);
  }
}

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
  static constexpr const char* kName = H5NEURAL_VNNI            ? "simd-avx512vnni"
                                       : HWY_TARGET == HWY_AVX3 ? "simd-avx512"
                                       : HWY_TARGET == HWY_AVX2 ? "simd-avx2"
                                                                : "simd-neon";
#if H5NEURAL_BYTES
  static constexpr auto kSumBytes = sum<Bytes>, kAlongBytes = along<Bytes>;
#else
  static constexpr void (*kSumBytes)(const SumTile&) = nullptr;
  static constexpr void (*kAlongBytes)(const SumTile&) = nullptr;
#endif
  static constexpr ProgramKernels k = {kName,      kLanes,      kVectors,     kSumBytes, H5NEURAL_VNNI == 0,
                                       sum<Words>, kAlongBytes, along<Words>, to_bytes,  to_words,
                                       add,        clamp,       rescale,      look_up};
  return k;
}
#undef H5NEURAL_BYTES

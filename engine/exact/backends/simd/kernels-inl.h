// kernels-inl.h: the sums of products behind kernels.h. No include guard: kernels.cc includes it inside a
// namespace once for each instruction set. H5NEURAL_VNNI: whether AVX-512 VNNI may be used.

namespace {

namespace hn = hwy::HWY_NAMESPACE;

using I32 = hn::ScalableTag<int32_t>;
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

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
constexpr void (*kSumBytes)(const SumTile&) = sum<Bytes>;
constexpr void (*kAlongBytes)(const SumTile&) = along<Bytes>;
#else
constexpr void (*kSumBytes)(const SumTile&) = nullptr;
constexpr void (*kAlongBytes)(const SumTile&) = nullptr;
#endif
constexpr void (*kSumWords)(const SumTile&) = sum<Words>;
constexpr void (*kAlongWords)(const SumTile&) = along<Words>;

}  // namespace

// places-inl.h: the kernels of places in vectors, a place a lane; see places.h. No include guard: simd.cc
// includes it inside a namespace once for each instruction set.

namespace {

// Lanes of 64 bits whose low halves hold the numbers.
using Lane32 = hn::Rebind<int32_t, I64>;

HWY_INLINE V64 product(V64 a, V64 b) {  // of 32-bit numbers
  const I32 d;
  return hn::MulEven(hn::BitCast(d, a), hn::BitCast(d, b));
}

HWY_INLINE V64 within(V64 v, int64_t most) {
  const I64 d;
  return hn::Min(hn::Max(v, hn::Set(d, -most)), hn::Set(d, most));
}

// v >> bits for |v| < 2^62, as an unsigned number with a bias, for want of an arithmetic shift.
HWY_INLINE V64 shifted(V64 v, V64 bits) {
  const I64 d;
  const U64 u;
  const auto bias = hn::Set(u, uint64_t{1} << 62);
  const auto by = hn::BitCast(u, bits);
  return hn::BitCast(d, hn::Sub(hn::Shr(hn::Add(hn::BitCast(u, v), bias), by), hn::Shr(bias, by)));
}

HWY_INLINE V64 load_wide(const int32_t* p) {
  const I64 d;
  return hn::PromoteTo(d, hn::LoadU(Lane32(), p));
}

// Stores the first `count` lanes.
HWY_INLINE void store_narrow(V64 v, int count, int32_t* out) {
  const Lane32 d;
  const hn::Rebind<uint32_t, U64> half;
  const auto low = hn::BitCast(d, hn::TruncateTo(half, hn::BitCast(U64(), v)));
  hn::BlendedStore(low, hn::FirstN(d, static_cast<size_t>(count)), d, out);
}

void correct_places(const PlaceBlock& b, const PlaceArrays& a) {
  const I64 d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int k = 0; k < b.count; k += lanes) {
    const int left = std::min(lanes, b.count - k);
    V64 weight[kPlaceTaps];
    for (int j = 0; j < b.taps; ++j) weight[j] = load_wide(a.weight + j * a.stride + k);
    for (int t = 0; t < b.planes; ++t) {
      auto sum = hn::Set(d, int64_t{1} << (kPlaceWeightBits - 1));
      for (int j = 0; j < b.taps; ++j)
        sum = hn::Add(sum, product(weight[j], load_wide(b.tap[j] + t * b.tap_plane + k)));
      int32_t* out = b.prediction + t * b.plane + k;
      const auto before = load_wide(out);
      const auto more = shifted(sum, hn::Set(d, kPlaceWeightBits));
      const auto after = within(hn::Add(before, more), kLimit);
      store_narrow(after, left, out);
      store_narrow(hn::Sub(after, before), left, b.correction + t * b.plane + k);
    }
  }
}

void learn_places(const PlaceBlock& b, const PlaceArrays& a) {
  const I64 d;
  const Lane32 d32;
  const hn::Rebind<uint8_t, I64> bytes;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto most = hn::Set(d32, (1 << 29) / b.bin), bin = hn::Set(d32, b.bin);
  const auto taught = hn::Set(d32, kMostTaught), up = hn::Set(d32, 1 << b.shift);
  const auto clamped = [&](auto v, auto limit)
                           HWY_ATTR { return hn::Min(hn::Max(v, hn::Neg(limit)), limit); };
  const auto scaled = [&](auto v) HWY_ATTR { return clamped(hn::Mul(clamped(v, taught), up), taught); };
  for (int k = 0; k < b.count; k += lanes) {
    const auto here =
        hn::VecFromMask(d32, hn::FirstN(d32, static_cast<size_t>(std::min(lanes, b.count - k))));
    V64 sum[kPlaceSums];
    for (int s = 0; s < kPlaceSums; ++s) sum[s] = hn::LoadU(d, a.sums + s * a.stride + k);
    for (int t = 0; t < b.planes; ++t) {
      const ptrdiff_t at = t * b.plane + k, tap_at = t * b.tap_plane + k;
      auto keep = here;
      if (b.skip != nullptr) {
        const auto skip = hn::PromoteTo(d32, hn::LoadU(bytes, b.skip + at));
        keep = hn::And(keep, hn::VecFromMask(d32, hn::Eq(skip, hn::Zero(d32))));
      }
      const auto step = hn::Mul(clamped(hn::LoadU(d32, b.quantised + at), most), bin);
      const auto missing =
          hn::PromoteTo(d, hn::And(keep, scaled(hn::Add(hn::LoadU(d32, b.correction + at), step))));
      V64 x[kPlaceTaps];
      for (int j = 0; j < b.taps; ++j) {
        x[j] = hn::PromoteTo(d, hn::And(keep, scaled(hn::LoadU(d32, b.tap[j] + tap_at))));
        sum[kTowardsSums + j] = hn::Add(sum[kTowardsSums + j], product(x[j], missing));
        for (int i = 0; i <= j; ++i) {
          V64& square = sum[PlaceArrays::square(j, i)];
          square = hn::Add(square, product(x[j], x[i]));
        }
      }
      const auto magnitude = hn::And(keep, hn::Min(hn::Abs(step), hn::Set(d32, 65535)));
      sum[kMagnitudeSums] = hn::Add(sum[kMagnitudeSums], hn::PromoteTo(d, magnitude));
      sum[kPlaneSums] = hn::Sub(sum[kPlaneSums], hn::PromoteTo(d, keep));
    }
    for (int s = 0; s < kPlaceSums; ++s) hn::StoreU(sum[s], d, a.sums + s * a.stride + k);
  }
}

void solve_places(int taps, const PlaceArrays& all, int count) {
  constexpr int64_t kMostRatio = int64_t{1} << 30, kMostAim = int64_t{1} << 28;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(I64()));
  const I64 d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int k = 0; k < count; k += lanes) {
    const PlaceArrays a = all.from(k);
    const int left = std::min(lanes, count - k);
    HWY_ALIGN int64_t down[kLanes] = {}, inverse[kPlaceTaps][kLanes] = {}, bits[kPlaceTaps][kLanes] = {};
    for (int lane = 0; lane < left; ++lane) {
      const PlaceScale s = place_scale(taps, a.from(lane));
      down[lane] = s.down;
      for (int j = 0; j < taps; ++j) {
        inverse[j][lane] = s.inverse[j];
        bits[j][lane] = s.bits[j];
      }
    }
    const auto by = hn::Load(d, down);
    V64 ratio[kPlaceTaps][kPlaceTaps], aim[kPlaceTaps], weight[kPlaceTaps];
    for (int j = 0; j < taps; ++j) {
      const auto over = hn::Load(d, inverse[j]), width = hn::Load(d, bits[j]);
      const auto quotient = [&](int row, int shift, int64_t limit) HWY_ATTR {
        const auto sum = shifted(hn::LoadU(d, a.sums + row * a.stride), by);
        return within(shifted(product(sum, over), hn::Add(width, hn::Set(d, 29 - shift))), limit);
      };
      aim[j] = hn::Add(hn::ShiftLeft<kPlaceRatioBits>(quotient(kTowardsSums + j, kPlaceWeightBits, kMostAim)),
                       hn::Set(d, int64_t{1} << (kPlaceRatioBits - 1)));
      for (int i = 0; i < taps; ++i) {
        ratio[j][i] = i == j ? hn::Zero(d) : quotient(PlaceArrays::square(j, i), kPlaceRatioBits, kMostRatio);
      }
      weight[j] = load_wide(a.weight + j * a.stride);
    }
    for (int sweep = 0; sweep < kPlaceSweeps; ++sweep) {
      for (int j = 0; j < taps; ++j) {
        auto sum = aim[j];
        for (int i = 0; i < taps; ++i) sum = hn::Sub(sum, product(ratio[j][i], weight[i]));
        weight[j] = within(shifted(sum, hn::Set(d, kPlaceRatioBits)), kMostPlaceWeight);
      }
    }
    for (int j = 0; j < taps; ++j) store_narrow(weight[j], left, a.weight + j * a.stride);
  }
}

constexpr PlaceKernels kPlaces = {correct_places, learn_places, solve_places};

}  // namespace

// network-inl.h: the kernel of network.h in vectors, a point a lane. No include guard: simd.cc includes it
// inside a namespace once for each instruction set.

namespace {

// See Ruler in network.cc.
class RulerLanes {
 public:
  explicit RulerLanes(V32 h) {
    const I32 d;
    const auto halves = hn::Sub(hn::Set(d, 15), hn::Max(h, hn::Set(d, 1)));
    const auto octaves = hn::ShiftRight<1>(halves);
    const auto odd = hn::Ne(hn::And(halves, hn::Set(d, 1)), hn::Zero(d));
    mantissa_ = hn::IfThenElse(odd, hn::Set(d, 181), hn::Set(d, 128));
    before_ = hn::Max(hn::Zero(d), hn::Sub(hn::Set(d, -7), octaves));
    after_ = hn::Sub(hn::Set(d, 7), hn::Max(octaves, hn::Set(d, -7)));
  }
  V32 operator()(V32 x, int32_t most) const {
    const I32 d;
    const auto limit = hn::Set(d, 1 << 19), end = hn::Set(d, most);
    const auto v = hn::Min(hn::Max(hn::Shr(x, before_), hn::Neg(limit)), limit);
    return hn::Min(hn::Max(hn::Shr(hn::Mul(v, mantissa_), after_), hn::Neg(end)), end);
  }

 private:
  V32 mantissa_, before_, after_;
};

// Where the inputs of a vector of points go, one row after the other.
class NetworkColumn {
 public:
  NetworkColumn(int16_t* out, ptrdiff_t stride) : out_(out), stride_(stride) {}
  void put(V32 v) {
    const hn::Rebind<int16_t, I32> half;
    hn::StoreU(hn::DemoteTo(half, v), half, out_);
    out_ += stride_;
  }

 private:
  int16_t* out_;
  ptrdiff_t stride_;
};

// Those features of a context (kernels.h) that are sums over pairs, and the distance, as `contexts` has them.
HWY_INLINE void put_features(const ContextTaps& t, V32 prediction, int64_t p, V32 h, NetworkColumn& column) {
  const I32 d;
  const auto most = hn::Set(d, kFeatureMax);
  const auto nearest = hn::Add(hn::LoadU(d, t.plus[0] + p), hn::LoadU(d, t.minus[0] + p));
  auto near = hn::Zero(d), far = near, spread = near, gradient = near;
  for (int j = 0; j < t.pairs; ++j) {
    const auto both =
        hn::Add(load_magnitude(t.plus_magnitude[j] + p), load_magnitude(t.minus_magnitude[j] + p));
    if (j < kNearPairs) {
      near = hn::Add(near, both);
    } else {
      far = hn::Add(far, both);
    }
    if (j >= kSpreadPairs) continue;
    const auto plus = hn::LoadU(d, t.plus[j] + p), minus = hn::LoadU(d, t.minus[j] + p);
    spread = hn::Add(spread, hn::Min(hn::Abs(hn::Sub(hn::Add(plus, minus), nearest)), most));
    if (j < kGradientPairs) gradient = hn::Add(gradient, hn::Min(hn::Abs(hn::Sub(plus, minus)), most));
  }
  const auto distance = hn::Min(hn::Abs(hn::Sub(hn::Add(prediction, prediction), nearest)), most);
  const auto end = hn::Set(d, kNetworkMostAbout);
  for (const V32 f : {near, far, spread, distance, gradient}) {
    const auto above = hn::ShiftLeft<2>(hn::Sub(half_octaves(hn::ShiftLeft<4>(f)), h));
    column.put(hn::Min(hn::Max(above, hn::Neg(end)), end));
  }
}

void network_row(const NetworkTaps& t, const int32_t* prediction, const uint8_t* context, int64_t at,
                 int count, int16_t* out, ptrdiff_t stride) {
  const I32 d;
  const hn::Rebind<uint8_t, I32> bytes;
  for (int k = 0; k < count; k += static_cast<int>(hn::Lanes(d))) {
    const int64_t p = at + k;
    const auto x = hn::LoadU(d, prediction + k);
    const auto c = hn::PromoteTo(d, hn::LoadU(bytes, context + k));
    const auto h = hn::Add(hn::Max(c, hn::Set(d, kNetworkLeastContext)), hn::Set(d, t.near->origin));
    const RulerLanes ruler(h), doubled(hn::Add(h, hn::Set(d, 2)));
    NetworkColumn column(out + k, stride);
    for (int j = 0; j < t.sums; ++j) {
      if (j >= t.pairs->pairs) {
        column.put(hn::Zero(d));
        continue;
      }
      const auto sum = hn::Add(hn::LoadU(d, t.pairs->plus[j] + p), hn::LoadU(d, t.pairs->minus[j] + p));
      column.put(doubled(hn::Sub(sum, hn::Add(x, x)), kNetworkMost));
    }
    for (int j = 0; j < t.differences; ++j) {
      if (j >= t.pairs->pairs) {
        column.put(hn::Zero(d));
        continue;
      }
      const auto apart = hn::Sub(hn::LoadU(d, t.pairs->plus[j] + p), hn::LoadU(d, t.pairs->minus[j] + p));
      column.put(doubled(apart, kNetworkMost));
    }
    for (int j = 0; j < t.magnitudes; ++j) {
      const bool known = j < t.near->pairs;
      for (const auto& ends : {t.near->plus_magnitude, t.near->minus_magnitude})
        column.put(known ? ruler(load_magnitude(ends[j] + p), kNetworkMostResidual) : hn::Zero(d));
    }
    column.put(hn::ShiftLeft<2>(c));
    put_features(*t.near, x, p, h, column);
  }
}

}  // namespace

// frame_series.cc: the reader's side, and what both sides share; see frame_series.h.
#include "codec/frame_series.h"

#include <algorithm>

#include "weights/weights.h"

namespace h5neural {

Bytes FrameOrder::write() const {
  ByteWriter w;
  w.put(static_cast<uint8_t>((between ? 1 : 0) | scale.wraps << 1));
  w.put(static_cast<uint8_t>(scale.shift));
  w.put(static_cast<uint16_t>(scale.mantissa));
  w.zigzag(scale.offset);
  if (between) w.put(static_cast<uint8_t>(levels));
  return w.take();
}

FrameOrder FrameOrder::read(ByteSpan section) {
  ByteReader r(section);
  FrameOrder o;
  const auto head = r.get<uint8_t>();
  o.between = (head & 1) != 0;
  o.scale.wraps = head >> 1;
  o.scale.shift = r.get<uint8_t>();
  o.scale.mantissa = r.get<uint16_t>();
  const int64_t offset = r.zigzag();
  if (o.scale.wraps > 7) fail_corrupt("an order of frames is unknown");
  if (o.scale.shift > FrameScale::kMostShift || o.scale.mantissa >> FrameScale::kMantissaBits != 1 ||
      offset > kLatticeMax || offset < -kLatticeMax)
    fail_corrupt("a scale of the model is out of its range");
  o.scale.offset = static_cast<int32_t>(offset);
  if (o.between) o.levels = r.get<uint8_t>();
  if (o.levels > kMostLevels || (o.between && o.levels == 0)) fail_corrupt("an order of frames is unknown");
  return o;
}

void write_shares(ByteWriter& w, const Shares& shares) {
  w.varint(shares.size());
  w.bytes(shares);
}

Shares read_shares(ByteReader& r) {
  const ByteSpan s = r.take(r.varint());
  if (std::any_of(s.begin(), s.end(), [](uint8_t share) { return share > kWholeShare; }))
    fail_corrupt("a share of the base is out of range");
  return {s.begin(), s.end()};
}

FrameShape::FrameShape(const Extents& extents, int rank) : frames(static_cast<int>(extents.n[0])), size(1) {
  for (int a = 0; a < rank; ++a) {
    const auto k = static_cast<size_t>(a);
    extent[k] = static_cast<int64_t>(extents.n[k + 1]);
    n[static_cast<size_t>(kAxes - rank + a)] = static_cast<int>(extent[k]);
    size *= static_cast<size_t>(extent[k]);
  }
}

Index4 FrameShape::stack(int count) const {
  Index4 s = n;
  size_t a = 0;
  while (s[a + 1] == 1) ++a;
  s[a] = count;
  return s;
}

SeriesInput series_of(const Frames& model, const FrameScale& scale, const FrameShape& shape,
                      const WalkInput& in) {
  SeriesInput s;
  s.n = shape.n;
  s.known = 1;
  s.frames = shape.frames - 1;
  s.step_bits = in.step_bits;
  s.skip = in.skip;
  s.expect = [&model, &shape, scale](int t, std::span<const int32_t> decoded, std::span<int32_t> base) {
    expect_next(model, scale, shape, t, decoded, base);
  };
  return s;
}

void expect_next(const Frames& model, const FrameScale& scale, const FrameShape& shape, int t,
                 std::span<const int32_t> decoded, std::span<int32_t> base) {
  std::vector<std::span<const int32_t>> given;
  for (int k = t - model.history(); k < t; ++k) given.push_back(shape.frame(decoded, std::max(0, k)));
  model.predict(scale, shape.extent, given, base);
}

void expect_middle(const Frames& model, const FrameScale& scale, const FrameShape& shape, int t, int apart,
                   std::span<const int32_t> decoded, std::span<int32_t> base) {
  const int after = t + apart < shape.frames ? t + apart : t - apart;
  model.between(scale, shape.extent, shape.frame(decoded, t - apart), shape.frame(decoded, after), base);
}

std::shared_ptr<const Frames> frames_model_of(const Payload& p) {
  if (p.model == 0) fail_corrupt("its frames have no model");
  auto model = find_model(p.model);
  if (model->frames() == nullptr) fail_corrupt("its model does not predict frames");
  if (!model->serves(p.extents.folded())) fail_corrupt("its model does not serve these extents");
  return {model, model->frames()};
}

namespace {

class FrameDecoder {
 public:
  FrameDecoder(const Payload& p, const WalkInput& in, ByteSpan corrections, std::span<int32_t> points)
      : model_(frames_model_of(p)),
        in_(in),
        r_(corrections),
        points_(points),
        shape_(p.extents.folded(), model_->rank()),
        order_(FrameOrder::read(p.latents)) {}

  void run() { order_.between ? between() : causal(); }

 private:
  void causal() {
    stack({0, 1, 1}, {}, {});
    SeriesInput s = series_of(*model_, order_.scale, shape_, in_);
    const Shares shares = read_shares(r_);
    s.shares = shares;
    decode_series(s, r_.take(r_.left()), points_);
  }

  void between() {
    for (int l = order_.levels; l >= 0; --l) {
      const FrameStack s = frames_of_level(shape_.frames, l, order_.levels);
      if (s.count == 0) continue;
      std::vector<int32_t> base;
      if (l < order_.levels) base.resize(static_cast<size_t>(s.count) * shape_.size);
      for (int k = 0; k < s.count && !base.empty(); ++k)
        expect_middle(*model_, order_.scale, shape_, s.frame(k), 1 << l, points_,
                      shape_.frame(std::span(base), k));
      stack(s, base, l < order_.levels ? read_shares(r_) : Shares{});
    }
    if (r_.left() != 0) fail_corrupt("its frames do not end where they should");
  }

  // A walk over some frames.
  void stack(const FrameStack& s, std::span<const int32_t> base, const Shares& shares) {
    WalkInput in;
    const std::vector<uint8_t> skip = shape_.gather(in_.skip, s);
    in.n = shape_.stack(s.count);
    in.step_bits = in_.step_bits;
    in.base = base;
    in.shares = shares;
    in.skip = skip;
    std::vector<int32_t> decoded(static_cast<size_t>(s.count) * shape_.size);
    decode_walk(in, r_.take(r_.varint()), decoded);
    shape_.scatter(decoded, s, points_);
  }

  std::shared_ptr<const Frames> model_;
  const WalkInput& in_;
  ByteReader r_;
  std::span<int32_t> points_;
  FrameShape shape_;
  FrameOrder order_;
};

}  // namespace

void decode_frame_series(const Payload& p, const WalkInput& in, ByteSpan corrections,
                         std::span<int32_t> points) {
  FrameDecoder(p, in, corrections, points).run();
}

}  // namespace h5neural

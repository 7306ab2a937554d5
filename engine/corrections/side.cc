// side.cc: see side.h.
#include "corrections/side.h"

#include <algorithm>

namespace h5neural {
namespace {

size_t coefficient_class(size_t pair) { return pair < 4 ? 0 : pair < 16 ? 1 : 2; }

}  // namespace

void SideModels::predictor(BitEncoder& c, int order, const PredictorChoice& p) {
  c.bit(same_exponent_[order], p.exponent != exponent_[order]);
  if (p.exponent != exponent_[order]) c.raw(static_cast<uint32_t>(p.exponent), 3);
  c.bit(same_nugget_[order], p.nugget != nugget_[order]);
  if (p.nugget != nugget_[order]) c.raw(static_cast<uint32_t>(p.nugget), 2);
  exponent_[order] = p.exponent;
  nugget_[order] = p.nugget;
  c.bit(fitted_[order], p.fitted);
  if (!p.fitted) return;
  size_.encode(c, p.size - last_size_);
  precision_.encode(c, p.precision - last_precision_);
  last_size_ = p.size;
  last_precision_ = p.precision;
  for (size_t j = 0; j < p.difference.size(); ++j)
    coefficient_[coefficient_class(j)].encode(c, p.difference[j]);
}

PredictorChoice SideModels::predictor(BitDecoder& c, int order, size_t pairs, bool shrinks) {
  PredictorChoice p;
  if (c.bit(same_exponent_[order])) exponent_[order] = static_cast<int>(c.raw(3));
  if (c.bit(same_nugget_[order])) nugget_[order] = static_cast<int>(c.raw(2));
  p.exponent = exponent_[order];
  p.nugget = nugget_[order];
  if (p.exponent >= kExponents) fail_corrupt("a predictor names an unknown variogram");
  p.fitted = c.bit(fitted_[order]);
  if (!p.fitted) return p;
  const int64_t size = int64_t{last_size_} + size_.decode(c),
                precision = int64_t{last_precision_} + precision_.decode(c);
  if (size < 0 || size >= kFitSizes || precision < 0 || precision >= kFitPrecisions) {
    fail_corrupt("a fitted predictor has an unknown size");
  }
  p.size = last_size_ = static_cast<int>(size);
  p.precision = last_precision_ = static_cast<int>(precision);
  p.difference.resize(std::min<size_t>(pairs, kFitPairs[p.size]) - 1 + (shrinks ? 1 : 0));
  const int32_t limit = 4 << kFitBits[p.precision];
  for (size_t j = 0; j < p.difference.size(); ++j) {
    p.difference[j] = coefficient_[coefficient_class(j)].decode(c);
    if (p.difference[j] > limit || p.difference[j] < -limit) fail_corrupt("a coefficient is out of range");
  }
  return p;
}

void SideModels::weights(BitEncoder& c, ContextWeights& last, const ContextWeights& w) {
  for (int i = 0; i < kFeatures; ++i) weight_.encode(c, w[i] - last[i]);
  last = w;
}

void SideModels::weights(BitDecoder& c, ContextWeights& last) {
  for (uint8_t& w : last) {
    const int64_t v = int64_t{w} + weight_.decode(c);
    if (v < 0 || v >= kWeightSteps) fail_corrupt("a context weight is out of range");
    w = static_cast<uint8_t>(v);
  }
}

void SideModels::told(BitEncoder& c, bool told) {
  c.bit(told_[last_told_], told);
  last_told_ = told;
}

bool SideModels::told(BitDecoder& c) {
  last_told_ = c.bit(told_[last_told_]);
  return last_told_;
}

void SideModels::network(BitEncoder& c, const NetworkChoice& n) {
  c.bit(asked_[last_asked_], !n.asked());
  last_asked_ = n.asked();
  if (!n.asked()) return;
  quarters_[0].encode(c, n.move - last_network_.move);
  quarters_[1].encode(c, n.change - last_network_.change);
  last_network_ = n;
}

NetworkChoice SideModels::network(BitDecoder& c) {
  last_asked_ = !c.bit(asked_[last_asked_]);
  if (!last_asked_) return {};
  const int64_t move = int64_t{last_network_.move} + quarters_[0].decode(c),
                change = int64_t{last_network_.change} + quarters_[1].decode(c);
  if (move < 0 || move > kMostQuarters || change < 0 || change > kMostQuarters)
    fail_corrupt("a network is followed too far");
  last_network_ = {static_cast<int>(move), static_cast<int>(change)};
  return last_network_;
}

TableChoice SideModels::implied(int suggested) const {
  return {shape_, std::clamp(suggested + shift_, 0, kMaxScale)};
}

void SideModels::table(BitEncoder& c, int suggested, const TableChoice& t) {
  scale_.encode(c, t.scale - implied(suggested).scale);
  shift_ = t.scale - suggested;
  c.bit(shape_same_[shape_], t.shape != shape_);
  if (t.shape != shape_) c.bit(shape_other_[shape_], t.shape == (shape_ + 2) % 3);
  shape_ = t.shape;
}

TableChoice SideModels::table(BitDecoder& c, int suggested) {
  const int64_t scale = int64_t{implied(suggested).scale} + scale_.decode(c);
  if (scale < 0 || scale > kMaxScale) fail_corrupt("a table is out of range");
  shift_ = static_cast<int>(scale) - suggested;
  if (c.bit(shape_same_[shape_])) shape_ = (shape_ + (c.bit(shape_other_[shape_]) ? 2 : 1)) % 3;
  return {shape_, static_cast<int>(scale)};
}

}  // namespace h5neural

// frame_scale.cc: how a chunk's numbers become those of a model of frames, and where its frames wrap. Writer
// only; see frame_series.h.
#include <algorithm>
#include <cmath>

#include "codec/frame_series.h"

namespace h5neural {
namespace {

FrameScale usual_scale(const Frames& model, std::span<const int32_t> field) {
  double sum = 0, squares = 0;
  for (const int32_t v : field) sum += v;
  const double mean = sum / double(field.size());
  for (const int32_t v : field) squares += (v - mean) * (v - mean);
  const double deviation = std::sqrt(squares / double(field.size()));
  FrameScale s;
  s.offset = static_cast<int32_t>(std::lround(mean));
  const double factor = model.unit() / std::max(deviation, 1e-3);
  constexpr int32_t kLeast = 1 << FrameScale::kMantissaBits;
  s.shift = std::clamp(FrameScale::kMantissaBits - std::ilogb(factor), 0, FrameScale::kMostShift);
  s.mantissa =
      static_cast<int32_t>(std::clamp(std::ldexp(factor, s.shift), double(kLeast), double(2 * kLeast - 1)));
  return s;
}

}  // namespace

FrameScale choose_frame_scale(const Frames& model, const FrameShape& shape, std::span<const int32_t> field) {
  FrameScale scale = usual_scale(model, field);
  // Axis by axis, whichever predicts a frame in the middle of the chunk better.
  const int t = shape.frames / 2;
  std::vector<int32_t> base(shape.size);
  const auto cost = [&] {
    expect_next(model, scale, shape, t, field, base);
    const auto frame = shape.frame(field, t);
    double sum = 0;
    for (size_t k = 0; k < base.size(); ++k) sum += std::abs(double(base[k]) - frame[k]);
    return sum;
  };
  double least = cost();
  for (int a = 0; a < model.rank(); ++a) {
    scale.wraps ^= static_cast<uint8_t>(1 << a);
    const double wrapped = cost();
    if (wrapped >= least) scale.wraps ^= static_cast<uint8_t>(1 << a);
    least = std::min(least, wrapped);
  }
  return scale;
}

}  // namespace h5neural

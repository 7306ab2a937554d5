// frame_transform.cc: the reader's side, and what both sides share; see frame_transform.h. Integers
// throughout.
#include "codec/frame_transform.h"

#include <algorithm>

namespace h5neural {

void expect_frame(const Frames& model, const FrameScale& scale, const FrameShape& shape, int t,
                  std::span<const int32_t> decoded, std::span<int32_t> base) {
  if (t > 0) return expect_next(model, scale, shape, t, decoded, base);
  std::fill(base.begin(), base.end(), scale.offset);
}

void add_predicted_frames(const Payload& p, std::span<int32_t> points) {
  const auto model = frames_model_of(p);
  const FrameOrder order = FrameOrder::read(p.latents);
  if (order.between) fail_corrupt("its frames stand in an order that a transform does not know");
  const FrameShape shape(p.extents.folded(), model->rank());
  std::vector<int32_t> base(shape.size);
  for (int t = 0; t < shape.frames; ++t) {
    expect_frame(*model, order.scale, shape, t, points, base);
    add_base(base, shape.frame(points, t));
  }
}

}  // namespace h5neural

// frame_transform.h: chunks of kind transform whose model predicts frames of a series from decoded ones: the
// transform, along the axes of a frame alone, codes what each frame is off by its prediction, all of them as
// one stack (transform/stack.h). Suits L2 bounds, where the walk of kind frames is far behind. Causal.
//
// Latents section: as in frame_series.h.
#pragma once
#include <functional>

#include "codec/frame_series.h"
#include "transform/plans.h"

namespace h5neural {

// Reader: makes of `points`, what the transform gave, what it is the difference of. Throws Failure.
void add_predicted_frames(const Payload& p, std::span<int32_t> points);

// Writer.
struct FrameTransformTask : FrameTask {
  PlanEffort plans;
  // Makes a payload of the sections and of what they decode to. Returns its RMSE over the one allowed; 0
  // where there is no error.
  std::function<double(const Bytes& latents, const Bytes& section, std::vector<int32_t>& points)> offer;
};

// Offers what a step makes whose RMSE just keeps the bound. `choice` has the step to begin with.
void search_frame_transform(const FrameTransformTask& task, const TransformChoice& choice);

// ---- steps shared by both sides

// What is expected of frame t: of the first FrameScale::offset everywhere, else what the model predicts from
// the decoded ones before it.
void expect_frame(const Frames& model, const FrameScale& scale, const FrameShape& shape, int t,
                  std::span<const int32_t> decoded, std::span<int32_t> base);

}  // namespace h5neural

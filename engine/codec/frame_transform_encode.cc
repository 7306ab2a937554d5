// frame_transform_encode.cc: the writer's side; see frame_transform.h. Floats are free here.
#include <algorithm>
#include <cmath>

#include "codec/frame_transform.h"
#include "codec/l2_search.h"
#include "transform/stack.h"

namespace h5neural {
namespace {

class FrameTransformEncoder {
 public:
  FrameTransformEncoder(const FrameTransformTask& task, const TransformChoice& choice)
      : task_(task),
        choice_(choice),
        shape_(task.extents, task.model.rank()),
        scale_(choose_frame_scale(task.model, shape_, task.field)),
        most_(most()),
        base_(shape_.size) {}

  void run() {
    plan_ = choose_plan();
    // What values cost settles after a few codings only, since each changes what the next one sees.
    constexpr int kSettling = 2;
    for (int k = 0; k < kSettling; ++k) code(choice_.step);
    search_step([this](double step) { return code(step); }, choice_.step);
  }

 private:
  // Codes all frames at a step.
  double code(double step) {
    choice_.step = step;
    StackEncoder stack(plan_, shape_.frames, most_, choice_, memory_);
    std::vector<int32_t> points(task_.target.size());
    for (int t = 0; t < shape_.frames; ++t) {
      const std::vector<double> rest = rest_of(t, points);
      const auto decoded = shape_.frame(std::span(points), t);
      stack.add(rest, decoded);
      add_base(base_, decoded);
    }
    return task_.offer(FrameOrder{scale_, false, 0}.write(), stack.finish(), points);
  }

  // What frame t is off by what is expected of it, which goes to base_.
  std::vector<double> rest_of(int t, std::span<const int32_t> decoded) {
    expect_frame(task_.model, scale_, shape_, t, decoded, base_);
    const auto target = shape_.frame(task_.target, t);
    std::vector<double> rest(target.begin(), target.end());
    for (size_t k = 0; k < rest.size(); ++k)
      rest[k] = std::clamp<double>(rest[k] - base_[k], -kLatticeMax, kLatticeMax);
    return task_.in.skip.empty() ? rest : smooth_over(shape_.n, rest, shape_.frame(task_.in.skip, t));
  }

  // By what the prediction of a frame in the middle leaves.
  WaveletPlan choose_plan() {
    const int t = shape_.frames / 2;
    const std::vector<double> rest = rest_of(t, task_.field);
    WalkInput in;
    in.n = shape_.n;
    in.step_bits = task_.in.step_bits;
    if (!task_.in.skip.empty()) in.skip = shape_.frame(task_.in.skip, t);
    const std::vector<Schedule> schedules =
        propose_schedules(in.n, rest, {in.skip.begin(), in.skip.end()}, usual_error(in));
    return choose_plans(in, schedules, rest, choice_, task_.plans).front();
  }

  // The largest number that is left of a frame: what a prediction is off by may exceed what it predicts.
  double most() const {
    constexpr double kRoom = 4;
    double m = 1;
    for (const int32_t v : task_.field) m = std::max(m, std::abs(double(v) - scale_.offset));
    return std::min<double>(kRoom * m, kLatticeMax);
  }

  const FrameTransformTask& task_;
  TransformChoice choice_;
  FrameShape shape_;
  FrameScale scale_;
  double most_;
  WaveletPlan plan_;
  StackMemory memory_;
  std::vector<int32_t> base_;
};

}  // namespace

void search_frame_transform(const FrameTransformTask& task, const TransformChoice& choice) {
  FrameTransformEncoder(task, choice).run();
}

}  // namespace h5neural

// frame_series_encode.cc: the writer's side; see frame_series.h. Floats are free here.
#include <algorithm>
#include <cmath>
#include <limits>

#include "codec/frame_series.h"

namespace h5neural {
namespace {

class FrameEncoder {
 public:
  explicit FrameEncoder(const FrameSeriesTask& task)
      : task_(task),
        shape_(task.extents, task.model.rank()),
        scale_(choose_frame_scale(task.model, shape_, task.field)) {}

  std::vector<FrameSeriesCoded> run() const {
    std::vector<FrameSeriesCoded> all;
    all.push_back(causal());
    if (!task_.model.has_between()) return all;
    std::optional<FrameSeriesCoded> best;
    int most = 1;
    while (most < FrameOrder::kMostLevels && 2 << most < shape_.frames) ++most;
    for (int levels = task_.thorough ? 1 : std::min(2, most); levels <= most; ++levels) {
      FrameSeriesCoded coded = between(levels);
      const bool smaller = !best || coded.corrections.size() < best->corrections.size();
      if (!smaller || !task_.thorough) {
        if (!best) best = std::move(coded);
        break;
      }
      best = std::move(coded);
    }
    if (best) all.push_back(std::move(*best));
    return all;
  }

 private:
  // How a walk is done, and what it takes where that is known.
  struct Way {
    Schedule schedule;
    Shares shares;
    size_t bytes;
  };

  // ---- causal

  FrameSeriesCoded causal() const {
    FrameSeriesCoded c;
    c.points.assign(task_.field.begin(), task_.field.end());
    ByteWriter out;
    stack({0, 1, 1}, {}, out, c.points);
    SeriesInput s = series_of(task_.model, scale_, shape_, task_.in);
    const Way way = choose_way(s, c.points);
    s.shares = way.shares;
    write_shares(out, way.shares);
    Bytes best;
    std::vector<int32_t> decoded;
    const auto offer = [&](int groups, int echo) {
      std::vector<int32_t> points = c.points;
      const int group = (s.frames + groups - 1) / groups;
      Bytes series = encode_series(s, way.schedule, group, echo, task_.target, task_.effort, points);
      if (!best.empty() && series.size() >= best.size()) return false;
      best = std::move(series);
      decoded = std::move(points);
      return true;
    };
    offer(1, 0);
    int echo = suggest_echo(s, task_.target, decoded);
    if (echo != 0 && !offer(1, echo)) echo = 0;
    if (task_.thorough && s.frames > 1) offer(2, echo);
    out.bytes(best);
    c.points = std::move(decoded);
    c.corrections = out.take();
    c.latents = FrameOrder{scale_, false, 0}.write();
    return c;
  }

  // The way to code a frame that takes least for a few of them.
  Way choose_way(const SeriesInput& s, std::span<const int32_t> decoded) const {
    constexpr int kFrames = 4;
    const int step = std::max(1, s.frames / kFrames);
    const FrameStack some{s.known + (s.frames - 1) % step / 2, step, (s.frames - 1) / step + 1};
    std::vector<int32_t> base(static_cast<size_t>(some.count) * shape_.size);
    for (int k = 0; k < some.count; ++k) s.expect(some.frame(k), decoded, shape_.frame(std::span(base), k));
    const std::vector<uint8_t> skip = shape_.gather(s.skip, some);
    const std::vector<double> target = shape_.gather(task_.target, some);
    const int middle = some.count / 2;
    const std::span<const int32_t> middle_base = shape_.frame(std::span<const int32_t>(base), middle);
    const WalkInput one = frame_input(s, some.frame(middle), middle_base);
    const auto in_frame = shape_.frame(std::span<const double>(target), middle);
    std::vector<double> rest(in_frame.begin(), in_frame.end());
    for (size_t k = 0; k < rest.size(); ++k) rest[k] -= middle_base[k];
    WalkInput in;
    in.n = shape_.stack(some.count);
    in.apart = kAxes - 1 - task_.model.rank();
    in.step_bits = s.step_bits;
    in.base = base;
    in.skip = skip;
    return smallest(in, task_.propose(one, rest), target);
  }

  // ---- between

  FrameSeriesCoded between(int levels) const {
    FrameSeriesCoded c;
    c.points.assign(task_.field.begin(), task_.field.end());
    ByteWriter out;
    for (int l = levels; l >= 0; --l) {
      const FrameStack s = frames_of_level(shape_.frames, l, levels);
      if (s.count == 0) continue;
      std::vector<int32_t> base;
      if (l < levels) base.resize(static_cast<size_t>(s.count) * shape_.size);
      for (int k = 0; k < s.count && !base.empty(); ++k)
        expect_middle(task_.model, scale_, shape_, s.frame(k), 1 << l, c.points,
                      shape_.frame(std::span(base), k));
      stack(s, base, out, c.points);
    }
    c.corrections = out.take();
    c.latents = FrameOrder{scale_, true, levels}.write();
    return c;
  }

  // ---- walks over some frames at once

  void stack(const FrameStack& s, std::span<const int32_t> base, ByteWriter& out,
             std::vector<int32_t>& points) const {
    const std::vector<uint8_t> skip = shape_.gather(task_.in.skip, s);
    const std::vector<double> target = shape_.gather(task_.target, s);
    WalkInput in;
    in.n = shape_.stack(s.count);
    in.step_bits = task_.in.step_bits;
    in.base = base;
    in.skip = skip;
    std::vector<double> rest = target;
    for (size_t k = 0; k < base.size(); ++k) rest[k] -= base[k];
    const Way way = smallest(in, task_.propose(in, rest), target);
    in.shares = way.shares;
    if (!base.empty()) write_shares(out, way.shares);
    std::vector<int32_t> decoded;
    const Bytes walk = encode_walk(in, way.schedule, target, task_.effort, decoded);
    out.varint(walk.size());
    out.bytes(walk);
    shape_.scatter(decoded, s, points);
  }

  // Which of the schedules, of this grid or of one of its planes, takes least, and with which shares.
  Way smallest(const WalkInput& in, const std::vector<Schedule>& schedules,
               std::span<const double> target) const {
    Way best{schedules.front(), {}, std::numeric_limits<size_t>::max()};
    if (schedules.size() == 1 && in.base.empty()) return best;
    for (const Schedule& schedule : schedules) {
      Way way{schedule, {}, 0};
      way.bytes = bytes_of(in, way, target);
      if (way.bytes < best.bytes) best = std::move(way);
    }
    if (!in.base.empty()) choose_shares(in, target, best);
    return best;
  }

  // Level by level, finest first: whatever takes least.
  void choose_shares(const WalkInput& in, std::span<const double> target, Way& best) const {
    constexpr size_t kLevels = 4;  // coarser ones have few points
    for (size_t l = 0; l < std::min(kLevels, best.schedule.levels.size()); ++l) {
      Way way = best;
      way.shares.resize(std::max(way.shares.size(), l + 1), kWholeShare);
      for (const uint8_t share : {6, 4, 2, 0}) {
        way.shares[l] = share;
        way.bytes = bytes_of(in, way, target);
        if (way.bytes < best.bytes) best = way;
      }
    }
  }

  size_t bytes_of(const WalkInput& in, const Way& way, std::span<const double> target) const {
    WalkInput tried = in;
    tried.shares = way.shares;
    Schedule whole = way.schedule;
    whole.n = in.n;
    std::vector<int32_t> decoded;
    return encode_walk(tried, whole, target, task_.quick, decoded).size() + way.shares.size();
  }

  const FrameSeriesTask& task_;
  FrameShape shape_;
  FrameScale scale_;
};

}  // namespace

std::vector<FrameSeriesCoded> encode_frame_series(const FrameSeriesTask& task) {
  return FrameEncoder(task).run();
}

}  // namespace h5neural

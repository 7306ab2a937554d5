// series.h: frames of a series walked one after the other, each against a base that depends on the frames
// before it. What a walk has to say of itself (schedule, predictors, weights, tables) is said once for a
// group of frames; the residuals of all frames are one stream. Knows nothing of where bases come from.
//
// Section: varint length of the side information | side information (adaptive binary coder) | residuals
// (rANS). Side information: schedule of a frame | frames of a group | echo | for each frame: its root, and in
// the first one of a group what is chosen for each coset.
#pragma once
#include <functional>

#include "corrections/walk.h"

namespace h5neural {

// Arrays over the series are [known + frames, points of a frame].
struct SeriesInput {
  Index4 n{1, 1, 1, 1};             // extents of a frame; axis 0 has one point
  int known = 0;                    // frames that are decoded before
  int frames = 0;                   // frames after them
  int step_bits = 0;                // see WalkInput
  std::span<const uint8_t> shares;  // see WalkInput
  std::span<const uint8_t> skip;    // empty, or 1 where a point is not coded
  // Base of frame t, one value a point, from an array over the series whose first t frames are decoded.
  std::function<void(int t, std::span<const int32_t> decoded, std::span<int32_t> base)> expect;
};

// What a frame is coded against: what is expected of it, and the echo, in eighths, of what the frame before
// was more than expected. Errors of a prediction last.
constexpr int kMostEcho = 8;
class SeriesBase {
 public:
  SeriesBase(const SeriesInput& in, int echo) : in_(in), echo_(echo) {}
  // Of frame t; asked for frame after frame, or for the frame `known`.
  void of(int t, std::span<const int32_t> decoded, std::span<int32_t> base);

 private:
  const SeriesInput& in_;
  int echo_;
  int at_ = -1;  // the frame of which this was expected:
  std::vector<int32_t> expected_;
};

// Writer. `decoded`: an array over the series, the known frames decoded and in the others about what they
// will decode to; receives what the reader will get. Everything else as encode_walk has it.
// `group`: frames that share what is said.
Bytes encode_series(const SeriesInput& in, const Schedule& schedule, int group, int echo,
                    std::span<const double> target, const WalkEffort& effort, std::span<int32_t> decoded);

// The echo, -kMostEcho to kMostEcho, that leaves least of the target, for frames decoded like these.
int suggest_echo(const SeriesInput& in, std::span<const double> target, std::span<const int32_t> decoded);

// Reader. Throws fail_corrupt on a damaged section.
void decode_series(const SeriesInput& in, ByteSpan section, std::span<int32_t> decoded);

// ---- steps shared by both sides

// The walk's input for frame t.
inline WalkInput frame_input(const SeriesInput& in, int t, std::span<const int32_t> base) {
  WalkInput w;
  const auto size = static_cast<size_t>(points(in.n));
  w.n = in.n;
  w.step_bits = in.step_bits;
  w.base = base;
  w.shares = in.shares;
  if (!in.skip.empty()) w.skip = in.skip.subspan(static_cast<size_t>(t) * size, size);
  return w;
}

}  // namespace h5neural

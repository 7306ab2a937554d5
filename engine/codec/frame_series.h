// frame_series.h: chunks of kind frames: a series [time, space...] of which a model predicts frames from
// decoded ones, and a walk codes what is left of each. Two orders: causal, each frame from those before it;
// and between, every 2^levels-th frame by an ordinary walk and then those in the middle of two that are
// known, level by level, those of a level as one stack.
//
// Latents section: u8: bit 0: order between, bits 1-3: FrameScale::wraps | u8 shift | u16 mantissa | offset,
// zigzag varint | between: u8 levels. Corrections after the lattice, causal: a walk over the first frame, its
// length (varint) before it | shares | a series (corrections/series.h) over the rest, to the end. Between:
// such a walk over the kept frames, and for each level, coarse to fine, shares and such a walk. Shares:
// varint of how many, and a byte each (WalkInput::shares).
#pragma once
#include <functional>
#include <vector>

#include "corrections/series.h"
#include "models/frames.h"
#include "payload/header.h"

namespace h5neural {

// What a latents section says.
struct FrameOrder {
  static constexpr int kMostLevels = 15;
  FrameScale scale;
  bool between = false;
  int levels = 0;

  Bytes write() const;
  static FrameOrder read(ByteSpan section);
};

// Reader. `in`: the chunk's specials and bins; `corrections`: after the lattice. Throws Failure.
void decode_frame_series(const Payload& p, const WalkInput& in, ByteSpan corrections,
                         std::span<int32_t> points);

// Writer. A chunk whose frames are to be predicted.
struct FrameTask {
  const Frames& model;
  Extents extents;                 // those that the model serves
  const WalkInput& in;             // of the chunk
  std::span<const double> target;  // in lattice units, not rounded
  std::span<const int32_t> field;  // the same rounded, specials filled in
};
struct FrameSeriesTask : FrameTask {
  WalkEffort effort, quick;  // of what is kept, of what is only compared
  bool thorough;             // whether every order is tried
  // Schedules worth trying for a field; `rest`: the target less the base.
  std::function<std::vector<Schedule>(const WalkInput&, const std::vector<double>& rest)> propose;
};
struct FrameSeriesCoded {
  Bytes latents, corrections;   // without the lattice
  std::vector<int32_t> points;  // as the reader will get them
};
// The orders that the model has programs for, the best way found to code each.
std::vector<FrameSeriesCoded> encode_frame_series(const FrameSeriesTask& task);

struct FrameShape;
// The scale that suits a chunk, and the axes along which its frames seem to wrap. `field`: rounded, specials
// filled in.
FrameScale choose_frame_scale(const Frames& model, const FrameShape& shape, std::span<const int32_t> field);

// ---- steps shared by both sides

// The model that a payload names. Throws Failure where it does not predict frames of such a chunk.
std::shared_ptr<const Frames> frames_model_of(const Payload& p);

using Shares = std::vector<uint8_t>;
void write_shares(ByteWriter& w, const Shares& shares);
Shares read_shares(ByteReader& r);

// Frames first, first + step, ... of a chunk as one array.
struct FrameStack {
  int first = 0, step = 1, count = 0;
  int frame(int k) const { return first + k * step; }
};
// The frames of time level l (the finest is 0) of the order between; the kept ones where l is `levels`.
inline FrameStack frames_of_level(int frames, int l, int levels) {
  const int step = 1 << l, first = l == levels ? 0 : step, every = l == levels ? step : 2 * step;
  return {first, every, frames <= first ? 0 : (frames - first - 1) / every + 1};
}

// The chunk as frames.
struct FrameShape {
  Index4 n{1, 1, 1, 1};  // extents of a frame
  Frames::Extent extent{};
  int frames = 0;
  size_t size = 0;  // points of a frame

  FrameShape(const Extents& extents, int rank);
  Index4 stack(int count) const;  // extents of `count` frames
  template <class T>
  std::span<T> frame(std::span<T> all, int t) const {
    return all.subspan(static_cast<size_t>(t) * size, size);
  }
  template <class T>
  std::vector<T> gather(std::span<const T> all, const FrameStack& s) const {
    std::vector<T> stack;
    for (int k = 0; k < s.count && !all.empty(); ++k) {
      const auto f = frame(all, s.frame(k));
      stack.insert(stack.end(), f.begin(), f.end());
    }
    return stack;
  }
  void scatter(std::span<const int32_t> stack, const FrameStack& s, std::span<int32_t> all) const {
    for (int k = 0; k < s.count; ++k) {
      const auto from = frame(stack, k);
      std::copy(from.begin(), from.end(), frame(all, s.frame(k)).begin());
    }
  }
};

// The frames after the first one as a series, each expected from those before it; refers to model and shape.
SeriesInput series_of(const Frames& model, const FrameScale& scale, const FrameShape& shape,
                      const WalkInput& in);

// Prediction of frame t from the decoded frames before it; the first frame counts for those that there are
// not.
void expect_next(const Frames& model, const FrameScale& scale, const FrameShape& shape, int t,
                 std::span<const int32_t> decoded, std::span<int32_t> base);
// Prediction of frame t from the decoded frames `apart` before and after it; a missing one counts as the
// other.
void expect_middle(const Frames& model, const FrameScale& scale, const FrameShape& shape, int t, int apart,
                   std::span<const int32_t> decoded, std::span<int32_t> base);

}  // namespace h5neural

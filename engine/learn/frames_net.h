// frames_net.h: the network of family frames as it is trained: a frame from the decoded ones before it, or
// from one on each side. A pyramid of plain convolutions, none with a border, so that one set of weights
// serves windows of any size. LibTorch. The integer side is engine/models/frames.h.
#pragma once
#include <torch/torch.h>

#include <vector>

#include "learn/conv_layer.h"

namespace h5neural::learn {

// Activations are multiples of kFrameUnit standard deviations, up to kFrameLimit of them; frames go in and
// out in deviations, held by integers as multiples of 1 / kFramePoint.
constexpr double kFrameUnit = 1.0 / 1024;
constexpr int64_t kFrameLimit = 16383;
constexpr int64_t kFramePoint = 4096;

struct FramesShape {
  int64_t history = 2;   // frames that are seen
  bool between = false;  // two, one before and one after; else all before
  // Levels from fine to coarse: the cells of level k have 2^(k+1) points along each axis, and `channels`
  // numbers. `before` 3x3 layers come before the coarser level's are added, `after` follow.
  struct Level {
    int64_t channels, before, after;
  };
  std::vector<Level> levels{{32, 1, 1}, {64, 2, 0}};
  static constexpr int64_t kNear = 5;  // points along each axis of the linear prediction beside the pyramid

  int64_t points(size_t level) const { return int64_t{2} << level; }  // of a cell along each axis
  int64_t coarsest() const { return points(levels.size() - 1); }
  // Cells of a level around those of the frame predicted: of its result, and of its input.
  int64_t result_margin(size_t level) const;
  int64_t input_margin(size_t level) const;
  int64_t halo() const;  // points around the frame predicted that the network looks at
};

class FramesNet : public torch::nn::Module {
 public:
  explicit FramesNet(const FramesShape& shape);

  // x: [B, history, T + 2 halo, T + 2 halo] in deviations, in order of time, T a multiple of the coarsest
  // cell
  // -> [B, 1, T, T].
  torch::Tensor forward(const torch::Tensor& x, bool quantise) const;

  FramesShape shape;
  struct Level {
    Conv in;
    std::vector<Conv> before, after;
    Conv up;  // to the cells of the next finer level, or to points
  };
  std::vector<Level> levels;
  Conv near;  // added to what the pyramid says
};

}  // namespace h5neural::learn

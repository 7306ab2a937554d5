// frames_samples.h: what family frames learns from: windows of series of frames, at random places and times,
// with the errors that a bound leaves in decoded frames. LibTorch.
#pragma once
#include <torch/torch.h>

#include <array>
#include <vector>

#include "learn/arrays.h"
#include "learn/options.h"

namespace h5neural::learn {

// Extents of windows and tiles are multiples of it: of the coarsest cell, and for the loss.
constexpr int64_t kFramesStep = 8;

// Of B windows, in deviations of their series.
struct FrameWindows {
  torch::Tensor seen;   // [B, frames, w + 2 halo, w + 2 halo], decoded
  torch::Tensor frame;  // [B, 1, w, w], to predict
  torch::Tensor bin;    // [B, 1, 1, 1], two bounds
};

// What a window holds.
struct FrameSight {
  bool between = false;  // two frames at equal distance before and after; else `history` frames before
  int64_t history = 2;
  int64_t halo = 0, window = 0;
  double bound = 0;  // relative to a series' range; 0: drawn
};

class FramesSamples {
 public:
  enum class Part { kLearn, kKept };

  // The arrays that the options name, [count, frames, Y, X], all of one extent in frames, Y and X. The last
  // of each are kept apart. Throws std::runtime_error.
  explicit FramesSamples(const Options& o);

  FrameWindows draw(Part part, const FrameSight& sight) const;
  // Those that the options ask for, to report on.
  std::vector<double> bounds() const;
  int64_t window() const;
  // Points along each axis of the tile that covers such frames with the least work.
  int64_t tile(int64_t halo) const;
  bool periodic() const;  // along both axes, all arrays

 private:
  // An array: the first `learned` series are there to learn from, the others kept apart.
  struct Source {
    torch::Tensor x, mean, deviation, range;  // [series, frames, Y, X], not copied; of each series
    int64_t learned = 0;
    std::array<bool, 2> wraps{};  // along Y, X
  };

  void add(const std::string& name);
  void say() const;
  double drawn_bound() const;
  // Numbers of the frames that are seen, and of the one to predict.
  std::vector<int64_t> times(const FrameSight& sight) const;

  const Options& o_;
  ArrayFile file_;
  std::vector<Source> sources_;
  std::array<int64_t, 3> extents_{};  // frames, Y, X
};

}  // namespace h5neural::learn

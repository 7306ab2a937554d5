// latent_samples.h: windows of series of frames to learn latents from, and the displacements of blocks
// between frames. LibTorch.
#pragma once
#include <torch/torch.h>

#include <array>
#include <string>

#include "learn/arrays.h"
#include "learn/options.h"

namespace h5neural::learn {

class LatentSamples {
 public:
  // Arrays [count, frames, Y, X] or [count, Y, X] of options.data. Throws std::runtime_error.
  explicit LatentSamples(const Options& options);

  // `count` windows [count, frames, points + 2 margin...] of series first ... end - 1, in deviations of the
  // series, mirrored at random; what lies outside of a frame comes from the other end of a periodic axis,
  // else is mirrored (... 1 0 0 1 ...), and the last frame stands for those after the end.
  torch::Tensor windows(int64_t count, int64_t first, int64_t end, int64_t frames, int64_t points,
                        int64_t margin) const;

  int64_t train() const { return train_; }  // series to learn from; those after them are kept apart
  int64_t series() const { return series_; }
  int64_t frames() const { return frames_; }
  int64_t rows() const { return extents_[0]; }
  int64_t columns() const { return extents_[1]; }
  // Axes of a frame whose ends meet.
  const std::array<bool, 2>& periodic() const { return periodic_; }
  // Largest less smallest value of a series, in its deviations, on average.
  double mean_range() const { return mean_range_; }

 private:
  ArrayFile file_;
  torch::Tensor x_, mean_, deviation_;
  std::array<int64_t, 2> extents_{};
  std::array<bool, 2> periodic_{};
  int64_t series_ = 0, train_ = 0, frames_ = 1;
  double mean_range_ = 0;
};

// `seen` [B, 1, Y, X] with each block of block x block points taken from where it is most like `frame` [B, 1,
// Y, X], at most `reach` points away along each axis, as the engine's encoder moves it; mirrored at the
// borders.
torch::Tensor displaced(const torch::Tensor& seen, const torch::Tensor& frame, int64_t block, int64_t reach);

}  // namespace h5neural::learn

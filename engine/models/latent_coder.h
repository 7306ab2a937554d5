// latent_coder.h: a grid of quantised latents as bytes. Each latent is predicted from its neighbours decoded
// before it; what is left is a symbol of one of the learned tables, chosen by how large the differences
// around it were (after context modelling of wavelet coefficients: Wu and Memon, 1997; learned latents:
// Minnen, Balle and Toderici, 2018), and coded by rANS. Integers only. Knows nothing of what latents mean.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "entropy/tables.h"
#include "support/bytes.h"
#include "weights/weights_file.h"

namespace h5neural {

// The extents of a grid of cells, and how many grids follow one another; each starts afresh.
struct LatentGrid {
  int64_t grids = 1;
  int64_t cells[3] = {1, 1, 1};
  int64_t channels = 1;
  int64_t count() const { return grids * cells[0] * cells[1] * cells[2] * channels; }
};

// Prediction of latents and of the size of what is left, in integers. Neighbours of a latent: the cells one
// step back along any set of axes, in the same channel, N = 2^rank - 1 of them.
struct LatentContexts {
  static constexpr int kFraction = 8;  // bits of weights
  int rank = 3;
  std::vector<int32_t> predict;  // [channels, N]
  std::vector<int32_t> spread;   // [channels, N + 2]: N neighbours; earlier channels here; the cells before
  std::vector<int32_t> floor;    // [gains, channels], added

  size_t neighbours() const { return (size_t{1} << rank) - 1; }

  // Walks through `grid` in coding order. For each latent calls code(at, channel, prediction, size), which
  // returns what the latent is (its value, read or known); size: of |latent - prediction|, about, in 2^-8.
  template <class Code>
  void walk(const LatentGrid& grid, size_t gain, std::span<int32_t> q, Code&& code) const;
};

class LatentCoder {
 public:
  static constexpr int kMostTables = 64;
  LatentCoder() = default;
  // From the arrays `predict`, `spread`, `floor`, `steps`, `thresholds` and `frequencies` of a weights file.
  // `limit`: the largest value of a latent times its step. Throws Failure(H5N_ERR_CORRUPT).
  LatentCoder(const WeightsFile& file, int rank, size_t channels, int32_t limit);

  size_t gains() const { return gains_; }
  int32_t step(size_t gain, size_t channel) const { return steps_[gain * channels_ + channel]; }
  int32_t most(size_t gain, size_t channel) const { return limit_ / step(gain, channel); }

  Bytes write(const LatentGrid& grid, size_t gain, std::span<const int32_t> q) const;
  // Throws Failure(H5N_ERR_CORRUPT) on what `write` does not make.
  std::vector<int32_t> read(ByteSpan section, const LatentGrid& grid, size_t gain) const;
  // Bits that `write` would take, about.
  double bits(const LatentGrid& grid, size_t gain, std::span<const int32_t> q) const;

 private:
  size_t table_of(int64_t size) const;
  void read_steps(const WeightsFile& file, const std::string& what);
  void read_tables(const WeightsFile& file, const std::string& what);

  size_t channels_ = 0, gains_ = 0;
  int32_t limit_ = 0;
  LatentContexts contexts_;
  std::vector<int32_t> steps_;       // [gains, channels]
  std::vector<int32_t> thresholds_;  // growing; table k is for sizes from thresholds[k - 1]
  std::vector<Table> tables_;
  std::vector<uint32_t> slots_;  // [tables, kSlots], as of entropy/tables.h
};

template <class Code>
void LatentContexts::walk(const LatentGrid& grid, size_t gain, std::span<int32_t> q, Code&& code) const {
  const size_t channels = static_cast<size_t>(grid.channels), near = neighbours();
  const int64_t stride[3] = {grid.cells[1] * grid.cells[2], grid.cells[2], 1};
  const int64_t per_grid = grid.cells[0] * stride[0];
  std::vector<int32_t> left(q.size());                                    // |latent - prediction|
  std::vector<int64_t> sums(static_cast<size_t>(grid.grids * per_grid));  // of `left` over a cell's channels
  for (int64_t cell = 0; cell < grid.grids * per_grid; ++cell) {
    const int64_t at[3] = {cell % per_grid / stride[0], cell / stride[1] % grid.cells[1],
                           cell % grid.cells[2]};
    // Neighbour k lies one step back along the axes of the bits of k + 1 (bit 0: the last axis).
    int64_t back[7];
    int64_t before = 0;
    for (size_t k = 0; k < near; ++k) {
      int64_t by = 0;
      bool inside = true;
      for (int a = 0; a < rank; ++a) {
        if (((k + 1) >> a & 1) == 0) continue;
        inside = inside && at[2 - a] > 0;
        by += stride[2 - a];
      }
      back[k] = inside ? cell - by : -1;
      const bool direct = ((k + 1) & k) == 0;
      if (inside && direct) before += sums[static_cast<size_t>(back[k])];
    }
    int64_t here = 0;
    for (size_t c = 0; c < channels; ++c) {
      const int32_t* v = predict.data() + c * near;
      const int32_t* w = spread.data() + c * (near + 2);
      int64_t prediction = 0, size = floor[gain * channels + c] + w[near] * here + w[near + 1] * before;
      for (size_t k = 0; k < near; ++k) {
        if (back[k] < 0) continue;
        const size_t from = static_cast<size_t>(back[k]) * channels + c;
        prediction += int64_t{v[k]} * q[from];
        size += int64_t{w[k]} * left[from];
      }
      prediction = (prediction + (1 << (kFraction - 1))) >> kFraction;
      const size_t i = static_cast<size_t>(cell) * channels + c;
      q[i] = code(i, c, prediction, size);
      const int64_t rest = q[i] - prediction;
      left[i] = static_cast<int32_t>(rest < 0 ? -rest : rest);
      here += left[i];
    }
    sums[static_cast<size_t>(cell)] = here;
  }
}

}  // namespace h5neural

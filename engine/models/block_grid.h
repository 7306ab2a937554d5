// block_grid.h: a chunk of one to three axes cut into blocks of one size. Blocks are numbered in row-major
// order; those at the end of an axis reach beyond the chunk, where its border is repeated.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "support/extents.h"

namespace h5neural {

class BlockGrid {
 public:
  static constexpr int kAxes = 3;

  // Of equal rank, at most 3; both are brought to three axes, outer ones of one point.
  BlockGrid(const Extents& chunk, const Extents& block) {
    const int first = kAxes - chunk.rank;
    for (int a = first; a < kAxes; ++a) {
      const auto i = static_cast<size_t>(a - first), to = static_cast<size_t>(a);
      n_[to] = chunk.n[i];
      block_[to] = block.n[i];
      blocks_[to] = (n_[to] + block_[to] - 1) / block_[to];
    }
  }

  size_t count() const { return blocks_[0] * blocks_[1] * blocks_[2]; }
  size_t points() const { return block_[0] * block_[1] * block_[2]; }  // of one block
  const std::array<uint64_t, kAxes>& blocks() const { return blocks_; }

  // Calls f(position in the block, position in the chunk) for all points of block b; border points are
  // repeated for those outside when `padded`, and left out otherwise.
  template <class F>
  void each(size_t b, bool padded, F&& f) const {
    const std::array<uint64_t, kAxes> at = index(b);
    for (uint64_t z = 0; z < block_[0]; ++z) {
      const uint64_t cz = at[0] * block_[0] + z;
      for (uint64_t y = 0; y < block_[1]; ++y) {
        const uint64_t cy = at[1] * block_[1] + y;
        if (!padded && (cz >= n_[0] || cy >= n_[1])) continue;
        const uint64_t row = (std::min(cz, n_[0] - 1) * n_[1] + std::min(cy, n_[1] - 1)) * n_[2];
        for (uint64_t x = 0; x < block_[2]; ++x) {
          const uint64_t cx = at[2] * block_[2] + x;
          if (!padded && cx >= n_[2]) break;
          f((z * block_[1] + y) * block_[2] + x, row + std::min(cx, n_[2] - 1));
        }
      }
    }
  }

  // The block before b along an axis.
  std::optional<size_t> before(size_t b, int axis) const {
    const auto a = static_cast<size_t>(axis);
    if (index(b)[a] == 0) return {};
    return b - (a == 0 ? blocks_[1] * blocks_[2] : a == 1 ? blocks_[2] : 1);
  }

  // Prediction of a number of block b, `of(block)`, from those of the blocks before it: the sum over the
  // corners of the cube behind it with alternating signs (Lorenzo; Ibarria et al., 2003). Absent ones count
  // 0.
  template <class F>
  int64_t lorenzo(size_t b, F&& of) const {
    const std::array<uint64_t, kAxes> at = index(b);
    const std::array<size_t, kAxes> stride = {blocks_[1] * blocks_[2], blocks_[2], 1};
    int64_t sum = 0;
    for (unsigned corner = 1; corner < 8; ++corner) {
      size_t back = 0;
      int sign = -1;
      bool inside = true;
      for (size_t a = 0; a < kAxes; ++a) {
        if (((corner >> a) & 1) == 0) continue;
        inside = inside && at[a] > 0;
        back += stride[a];
        sign = -sign;
      }
      if (inside) sum += sign * of(b - back);
    }
    return sum;
  }

  // The blocks by the sum of their indices: those of one front know all blocks before them, and nothing of
  // each other.
  std::vector<std::vector<size_t>> fronts() const {
    std::vector<std::vector<size_t>> f(blocks_[0] + blocks_[1] + blocks_[2] - 2);
    for (size_t b = 0; b < count(); ++b) {
      const std::array<uint64_t, kAxes> at = index(b);
      f[at[0] + at[1] + at[2]].push_back(b);
    }
    return f;
  }

 private:
  std::array<uint64_t, kAxes> index(size_t b) const {
    return {b / (blocks_[1] * blocks_[2]), b / blocks_[2] % blocks_[1], b % blocks_[2]};
  }

  std::array<uint64_t, kAxes> n_{1, 1, 1}, block_{1, 1, 1}, blocks_{1, 1, 1};
};

}  // namespace h5neural

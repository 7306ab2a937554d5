// patches.h: the patches whose mean square an L2 mode bounds: the whole chunk as one, or 8 x 8 points of its
// last two axes, as the error stage of neural compressors has them (GenCompress, CAESAR). Knows nothing of
// values.
#pragma once
#include <algorithm>

#include "support/extents.h"

namespace h5neural {

class Patches {
 public:
  static constexpr size_t kSide = 8, kLine = kSide * kSide;

  static Patches whole(const Extents& e) { return {1, e.count(), 1, e.count()}; }

  // Axes of one point are left out; of one axis 64 points in a row are a patch. Those at the ends are
  // smaller.
  static Patches of(const Extents& e) {
    const Extents n = e.folded();
    if (n.rank == 1) return {1, n.n[0], 1, kLine};
    const int last = n.rank - 1;
    return {n.n[last - 1], n.n[last], kSide, kSide};
  }

  // How many there are among `values` points.
  size_t count(size_t values) const { return (values / width_ + rows_ - 1) / rows_ * down() * across(); }

  // Calls at(patch, from, to) for points from .. to of the chunk, row by row in order.
  template <class At>
  void for_pieces(size_t values, At&& at) const {
    for (size_t row = 0; row * width_ < values; ++row) {
      const size_t patch = (row / rows_ * down() + row % rows_ / height_of_patch_) * across();
      for (size_t k = 0; k < across(); ++k) {
        const size_t from = row * width_;
        at(patch + k, from + k * width_of_patch_, from + std::min(width_, (k + 1) * width_of_patch_));
      }
    }
  }

 private:
  Patches(size_t rows, size_t width, size_t height_of_patch, size_t width_of_patch)
      : rows_(rows), width_(width), height_of_patch_(height_of_patch), width_of_patch_(width_of_patch) {}
  size_t down() const { return (rows_ + height_of_patch_ - 1) / height_of_patch_; }
  size_t across() const { return (width_ + width_of_patch_ - 1) / width_of_patch_; }

  size_t rows_, width_;  // of a plane
  size_t height_of_patch_, width_of_patch_;
};

}  // namespace h5neural

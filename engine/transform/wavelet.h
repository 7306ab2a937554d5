// wavelet.h: the transform itself: a multi-level CDF 9/7 wavelet (Cohen, Daubechies, Feauveau 1992) by
// lifting (Daubechies, Sweldens 1998), over any of up to four axes at each level. The reader's side is
// integer arithmetic; the writer's side is the exact inverse of it in float64, with the same rounded
// constants. Knows nothing of quantisation or coding.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "corrections/grid.h"

namespace h5neural {

// Which axes are split, in stages; the levels of a stage stand finest first. A grid that is split has a band
// for every set of axes out of the level's mask: the band's points are odd along the axes of the set and even
// along the others of the mask. Band 0 is split at the next level; beyond the last level it is the root.
//
// Every band that the levels of a stage leave, the root among them, is split by the levels of the next stage.
// So time can be taken apart completely before space, which an octave transform of both cannot (a wavelet
// packet: Coifman, Wickerhauser 1992). There is at least one stage; it may have no levels.
struct WaveletPlan {
  Index4 n{1, 1, 1, 1};
  std::vector<std::vector<uint8_t>> stages;
  bool operator==(const WaveletPlan&) const = default;
};
constexpr size_t kMaxStages = 4;
constexpr size_t kMaxStageLevels = 31;

// Extents of a band of a level with this grid and mask.
Index4 band_count(const Index4& grid, uint8_t mask, uint8_t axes);
// Bands of a level in coding order: fewer odd axes first; without band 0.
std::vector<uint8_t> band_order(uint8_t mask);
// The levels of a stage as a box of n points sees them: without axes of one point, without empty levels.
std::vector<uint8_t> levels_of(const std::vector<uint8_t>& stage, const Index4& n);
// The grid that level `level` of `masks` splits; level = masks.size(): the root.
Index4 grid_of(const std::vector<uint8_t>& masks, const Index4& n, size_t level);

// A part: a box of points that the levels of the last stage split.
struct WaveletPart {
  Index4 n{1, 1, 1, 1};
  std::vector<uint8_t> masks;  // of the last stage
  int64_t inverse_norm = 1;    // of what the stages before made of it, as that of a band
  // The part above, of the next coarser level of an earlier stage: what happened there happens here. -1:
  // none.
  int above = -1;
  uint8_t above_mask = 0;  // axes along which it has half the points
  Index4 grid(size_t level) const { return grid_of(masks, n, level); }
};
// All parts of a plan from coarse to fine: for each stage its root first, then its levels from the coarsest,
// each in band_order. Boxes without points are left out.
std::vector<WaveletPart> wavelet_parts(const WaveletPlan& plan);

// 2^16 over the norm of a band's basis function, so that errors of this size in a band count as much as
// errors of 1 in the field. level = masks.size() with axes = 0: the part's root.
int64_t inverse_norm(const WaveletPart& part, size_t level, uint8_t axes);

// Calls at(place in the grid, place in the band) for each point of a band.
template <class At>
void for_band_points(const Index4& grid, uint8_t mask, uint8_t axes, At&& at) {
  const Index4 count = band_count(grid, mask, axes);
  int64_t k = 0;
  for_rows(count, [&](const Index4& i) {
    int64_t p = 0;
    for (int a = 0; a < kAxes; ++a) {
      p = p * grid[a] + (mask >> a & 1 ? 2 * int64_t{i[a]} + (axes >> a & 1) : i[a]);
    }
    const int64_t step = mask >> (kAxes - 1) & 1 ? 2 : 1;
    for (int j = 0; j < count[kAxes - 1]; ++j) at(p + j * step, k++);
  });
}

// Writer: in place, row-major, interleaved: the point of a band stays where it was in the grid.
void split(const Index4& grid, uint8_t mask, std::span<double> x);

// Values of a box of points, row-major, with kOverhang to spare; empty: all of them are zero.
using LevelValues = Array<int32_t>;

// Reader: one level on its way back, integers, wrapping where damaged input asks for it. Every band is put
// where it belongs, then finish() merges them. While that goes on the even and the odd points of a row stand
// apart where the last axis is split, with a point of margin on both sides of each.
class LevelMerge {
 public:
  LevelMerge(const Index4& grid, uint8_t mask);
  // Band 0, scaled.
  void low(const LevelValues& values);
  void no_band(uint8_t axes);
  // fill(in, out): one row of a band, from `values` to its place.
  template <class Fill>
  void band(uint8_t axes, const int32_t* values, Fill&& fill) {
    const Index4 count = band_count(grid_, mask_, axes);
    for_rows(count, [&](const Index4& i) {
      fill(values, row(axes, i));
      values += count[3];
    });
  }
  LevelValues finish();

 private:
  int32_t* row(uint8_t axes, const Index4& i) {
    int64_t r = 0;
    for (int a = 0; a < kAxes - 1; ++a) {
      r = r * grid_[a] + (mask_ >> a & 1 ? 2 * int64_t{i[a]} + (axes >> a & 1) : i[a]);
    }
    const int64_t half = !split_rows_ ? 0 : axes >> (kAxes - 1) & 1 ? evens_ + 3 : 1;
    return padded_.data() + r * stride_ + half;
  }
  void merge_row(int32_t* even, int32_t* odd, int32_t* out) const;

  Index4 grid_;
  uint8_t mask_;
  bool split_rows_;
  int evens_;  // points of a row of band 0
  int64_t rows_, stride_;
  LevelValues padded_;
};

// What the writer divides band 0 by so that its gain at frequency zero is 1; LevelMerge::low is the inverse.
double unscale_low(double x, int axes);

}  // namespace h5neural

// latent_series.h: a chunk as groups of frames, each a grid of latents: what is expected of a group's latents
// before they are read, what the decoder makes of them, and how groups that have none are generated. Shared
// by reader and writer, which differ only in where numbers come from (GroupCoder). Integers throughout.
//
// Sources: scale hyperprior (Balle, Minnen, Singh, Hwang and Johnston, 2018); priors from earlier latents and
// a displaced frame (Li, Li and Lu, "Deep contextual video compression", 2021); generation of the groups in
// between by iterated denoising of latents (Rombach et al., 2022; deterministic steps: Song, Meng and Ermon,
// 2021).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "models/latent_frames.h"
#include "support/parallel.h"

namespace h5neural {

// Along which axes of a frame a chunk's ends meet: what lies beyond one end then is what lies at the other,
// of frames, latents and hyper-latents; else frames are mirrored, and of latents there are none (zeros).
struct LatentWraps {
  bool rows = false, columns = false;
};

// Where the numbers of one group come from: a payload, or a writer's choice.
class GroupCoder {
 public:
  virtual ~GroupCoder() = default;
  // `d`: [blocks, 2], down and right; `seen`: the frame to be displaced.
  virtual void displacements(size_t group, std::span<const int32_t> seen, std::span<int32_t> d) = 0;
  virtual void hyper(size_t group, std::span<int32_t> z) = 0;  // [cells of hyper-latents, channels]
  // `prior`: [cells, 2 channels]; fills y [cells, channels].
  virtual void latents(size_t group, std::span<const int32_t> prior, std::span<int32_t> y) = 0;
};

class LatentSeries {
 public:
  // `extents`: that the weights serve; `wraps`: that these allow.
  LatentSeries(const LatentWeights& weights, const Extents& extents, const LatentWraps& wraps);

  static bool serves(const LatentWeights& weights, const Extents& extents);
  // The axes that can wrap: whole cells, of hyper-latents too.
  static LatentWraps may_wrap(const LatentWeights& weights, const Extents& extents);

  // Goes through the groups in order. `seed`: of the noise.
  void run(GroupCoder& coder, uint32_t seed);

  size_t groups() const { return static_cast<size_t>(grid_.slices); }
  size_t cells() const { return cells_; }  // of one group
  size_t hyper_cells() const { return hyper_cells_; }
  size_t blocks() const;
  size_t frame_points() const { return points_; }
  int64_t rows() const { return grid_.n[1]; }
  int64_t columns() const { return grid_.n[2]; }
  bool coded(size_t group) const;  // whether its latents are in the payload
  // The frame of the chunk at place w of a group.
  size_t frame(size_t group, size_t w) const {
    return std::min(group * static_cast<size_t>(weights_.window) + w, frames_ - 1);
  }
  // Of a group of this size: [cells, channels].
  std::span<const int32_t> latents(size_t group) const {
    return std::span(y_).subspan(group * cells_ * weights_.channels, cells_ * weights_.channels);
  }
  // What the decoder made of all frames, [frames, Y, X], in 2^-12 deviations.
  std::span<const int32_t> decoded() const { return decoded_; }
  // The displaced frame that the group being coded sees.
  std::span<const int32_t> seen() const { return seen_; }

  const TileGrid& grid() const { return grid_; }
  const TileGrid& hyper_grid() const { return hyper_grid_; }

  // Runs a program on the tiles of `group`. fill(v, tile, numbers) writes input v of one tile; use(tile,
  // output) takes what comes out.
  template <class Fill, class Use>
  void run_tiles(const TileProgram& p, size_t group, Fill&& fill, Use&& use) const;
  // Fills input v of a tile from a grid of numbers [cells, channels] of `group`, or of the seen frame.
  void fill_cells(const TileGrid& grid, const TileInput& in, size_t group, size_t tile,
                  std::span<const int32_t> from, std::span<int32_t> to) const;
  // Puts what a program made of a tile, [cells of the tile, numbers], into that of its group, [cells,
  // numbers].
  void take_cells(size_t group, size_t tile, std::span<const int32_t> from, std::span<int32_t> to) const;
  void fill_seen(const TileInput& in, size_t group, size_t tile, std::span<int32_t> to) const;

 private:
  size_t tiles_of_group() const { return grid_.tile_count() / groups(); }
  std::span<int32_t> latents_of(size_t g) {
    return std::span(y_).subspan(g * cells_ * weights_.channels, cells_ * weights_.channels);
  }
  std::vector<int32_t> prior(size_t g, std::span<const int32_t> z) const;
  std::vector<int32_t> remembered(size_t g) const;
  void look(size_t g, GroupCoder& coder);
  void displace(std::span<const int32_t> frame, std::span<const int32_t> d);
  void decode(size_t g);
  void generate(size_t a, uint32_t seed);
  std::vector<int32_t> denoised(size_t a, size_t k, std::span<const int32_t> x,
                                std::span<const int32_t> keys) const;

  const LatentWeights& weights_;
  TileGrid grid_, hyper_grid_;
  size_t frames_, cells_, hyper_cells_, points_;
  std::vector<int32_t> y_;        // [groups, cells, channels]
  std::vector<int32_t> decoded_;  // [frames, Y, X]
  std::vector<int32_t> seen_;     // [Y, X]
};

template <class Fill, class Use>
void LatentSeries::run_tiles(const TileProgram& p, size_t g, Fill&& fill, Use&& use) const {
  // Run at once, bounded in memory: numbers of all values of so many tiles.
  constexpr uint64_t kTogether = uint64_t{1} << 22;
  const size_t count = tiles_of_group(), first = g * count,
               together = std::max<uint64_t>(1, kTogether / std::max<uint64_t>(1, p.program.activations)),
               out = p.program.values[p.program.outputs[0]].count();
  parallel(static_cast<int>((count + together - 1) / together), [&](int part) {
    const size_t begin = static_cast<size_t>(part) * together, items = std::min(together, count - begin);
    std::vector<Batch> in;
    for (size_t v = 0; v < p.inputs.size(); ++v) {
      const size_t size = p.program.values[v].count();
      Batch& numbers = in.emplace_back(items * size);
      for (size_t k = 0; k < items; ++k)
        fill(v, first + begin + k, std::span(numbers).subspan(k * size, size));
    }
    const Batch y = std::move(h5neural::run(p.program, in, items)[0]);
    for (size_t k = 0; k < items; ++k)
      use(first + begin + k, std::span<const int32_t>(y).subspan(k * out, out));
  });
}

}  // namespace h5neural

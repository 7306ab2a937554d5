// three_branch.h: the family of three-branch autoencoders: a field and its spectrum (logarithm of the
// magnitude, phase) go through three branches of convolutions into a grid of latents, at 1/4 or 1/8 of the
// points along each axis; transposed convolutions bring it back. Fully convolutional: chunks of any extents,
// in tiles. Branches and spectrum are the writer's business; the reader runs the program `decode` alone. What
// a weights file of the family holds is written in docs/weights-format.md.
#pragma once
#include <memory>

#include "exact/backend.h"
#include "models/base_scale.h"
#include "models/latent_coder.h"
#include "models/model.h"
#include "models/tiles.h"
#include "weights/weights_file.h"

namespace h5neural {

constexpr int kThreeBranchInBits = 10;     // `encode` takes (x - mean) / deviation in 2^-10
constexpr int kThreeBranchOutBits = 12;    // `decode` gives it in 2^-12
constexpr int kThreeBranchPhaseBits = 10;  // phase / pi and log(1 + |F|) in 2^-10
constexpr int32_t kMostThreeBranchOutput = 1 << 20;

class ThreeBranch final : public Model {
 public:
  // Throws Failure(H5N_ERR_CORRUPT) when the file's parts do not fit together.
  explicit ThreeBranch(const WeightsFile& file);

  std::string name() const override { return name_; }
  std::string family() const override { return "three-branch"; }
  uint64_t hash() const override { return hash_; }
  bool serves(const Extents& extents) const override;
  bool general() const override { return true; }
  std::optional<Bytes> encode(std::span<const int32_t> field, const Extents& extents,
                              int32_t bin) const override;
  void decode(ByteSpan section, const Extents& extents, std::span<int32_t> base) const override;
  LatentArray latents(ByteSpan section, const Extents& extents) const override;

 private:
  friend class ThreeBranchEncoder;

  // A latents section taken apart.
  struct Section {
    size_t gain = 0;
    BaseScale scale;
    std::vector<int32_t> q;  // [cells of the grid, channels], in steps of the gain
  };
  Bytes write(const Section& s, const TileGrid& grid) const;
  Section read(ByteSpan section, const TileGrid& grid) const;
  // The tiles of `of`, decoded: [tiles, points of a tile].
  Batch decode_tiles(const Section& s, const TileGrid& grid, std::span<const size_t> of) const;
  TileGrid grid_of(const Extents& extents) const { return {extents, shape_}; }

  std::string name_;
  uint64_t hash_;
  Program encoder_, decoder_;
  TileShape shape_;
  size_t channels_ = 0;
  int64_t encoder_halo_ = 0, decoder_halo_ = 0;  // in cells
  std::vector<int64_t> bins_;  // for each gain, the bin that it was learned for, in 2^-16 deviations; growing
  LatentCoder coder_;
};

std::shared_ptr<const Model> make_three_branch(const WeightsFile& file);

}  // namespace h5neural

// latent_frames.h: series of frames as grids of latents: keyframe VAEs with a hyperprior, contextual codecs,
// autoencoders with an emulator, latent diffusion: one reader for the families vae, contextual, dcae and
// diffusion. What a weights file holds is written in docs/weights-format.md; how latents follow from one
// another in latent_series.h.
#pragma once
#include <memory>

#include "exact/backend.h"
#include "models/base_scale.h"
#include "models/model.h"
#include "models/tiles.h"
#include "weights/weights_file.h"

namespace h5neural {

constexpr int kLatentFramesInBits = 10;   // `encode` takes (x - mean) / deviation in 2^-10
constexpr int kLatentFramesOutBits = 12;  // `decode` gives it in 2^-12
constexpr int32_t kMostLatentFramesOutput = 1 << 20;
constexpr int32_t kMostDisplacement = 127;

// An input of a program that is run on tiles: what lies around the tile, in cells (of hyper-latents or of
// latents), its channels, and the largest number, which its negative bounds from below.
struct TileInput {
  int64_t halo = 0;
  size_t channels = 0;
  int32_t limit = 0;
};

struct TileProgram {
  Program program;
  std::vector<TileInput> inputs;
  bool present() const { return !program.outputs.empty(); }
};

// What a weights file says, checked.
struct LatentWeights {
  // Throws Failure(H5N_ERR_CORRUPT) when the file's parts do not fit together.
  explicit LatentWeights(const WeightsFile& file);

  int64_t window = 1, step = 8, tile = 8;
  int64_t hyper = 0;  // cells along each axis that share hyper-latents; 0: there are none
  int32_t hyper_step = 1;
  int64_t memory = 0;  // groups before that the prior sees
  int64_t motion = 0;  // points along each axis of a block of the seen frame; 0: none is seen
  int64_t every = 1;   // of so many groups one has latents of its own
  int32_t start = 0;
  std::vector<int64_t> bins;
  size_t channels = 0, hyper_channels = 0, level_channels = 0;
  int32_t limit = 0;  // of a latent
  TileProgram encode, hyper_encode, prior, decode, generate;
  std::vector<int32_t> steps;         // [gains, channels]
  std::vector<int32_t> hyper_spread;  // [hyper_channels]
  std::vector<int32_t> levels;        // [samples, level_channels]
  std::vector<int32_t> sampler;       // [samples, 3]

  size_t gains() const { return bins.size(); }
  size_t samples() const { return sampler.size() / 3; }

 private:
  void read_config(const std::string& config);
  void read_decoder(const WeightsFile& file);
  void read_prior(const WeightsFile& file);
  void read_generator(const WeightsFile& file);
  void read_encoder(const WeightsFile& file);
  // Program `name`, whose inputs, tiles of `tile` cells of `cell` points each, and one output [n, n, outputs]
  // are checked.
  struct Side {
    int64_t tile, cell;
    size_t channels;  // 0: any number from 1 to 64
  };
  TileProgram tiled(const WeightsFile& file, const char* name, const std::vector<Side>& inputs, int64_t n,
                    size_t outputs) const;
  std::vector<int32_t> numbers(const WeightsFile& file, const char* name, size_t count, int32_t lo,
                               int32_t hi) const;
  void demand(bool fits, const std::string& problem) const;

  std::string what_;
};

class LatentFrames final : public Model {
 public:
  explicit LatentFrames(const WeightsFile& file);

  std::string name() const override { return name_; }
  std::string family() const override { return family_; }
  uint64_t hash() const override { return hash_; }
  bool serves(const Extents& extents) const override;
  bool general() const override { return true; }
  std::optional<Bytes> encode(std::span<const int32_t> field, const Extents& extents,
                              int32_t bin) const override;
  void decode(ByteSpan section, const Extents& extents, std::span<int32_t> base) const override;
  LatentArray latents(ByteSpan section, const Extents& extents) const override;

 private:
  std::string name_, family_;
  uint64_t hash_;
  LatentWeights weights_;
};

std::shared_ptr<const Model> make_latent_frames(const WeightsFile& file);

}  // namespace h5neural

// block_samples.h: blocks of the training fields with the blocks before them, normalised as the writer does
// it.
#pragma once
#include <torch/torch.h>

#include <array>
#include <random>
#include <string>
#include <vector>

#include "learn/arrays.h"
#include "learn/options.h"

namespace h5neural::learn {

// B blocks, each with the blocks before it along its axes.
struct BlockBatch {
  torch::Tensor values;         // [B, 1 + axes, points], normalised; the block itself first
  torch::Tensor offset, range;  // [B, 1 + axes], in units of the field
  torch::Tensor present;        // [B, axes], 1 or 0
  torch::Tensor scale;          // [B]: value range of the sample that the block is of

  BlockBatch to(torch::Device d) const {
    return {values.to(d), offset.to(d), range.to(d), present.to(d), scale.to(d)};
  }
};

class BlockSamples {
 public:
  BlockSamples(const ArrayFile& file, const Options& o);

  int64_t axes() const { return axes_; }
  const std::array<int64_t, 3>& block() const { return block_; }
  int64_t points() const { return block_[0] * block_[1] * block_[2]; }
  // Random blocks of samples to train on, whose range is worth latents at the tightest bound.
  BlockBatch draw(int64_t count, std::mt19937_64& random) const { return batch(count, random, false); }
  // The same of samples that are never trained on.
  BlockBatch draw_kept(int64_t count, std::mt19937_64& random) const { return batch(count, random, true); }
  // Blocks of the kept samples for each one that is not flat.
  double blocks_for_each() const { return blocks_for_each_; }

  struct Sample {
    const float* values;
    std::array<int64_t, 3> n;
    double range;
  };
  const std::vector<Sample>& kept() const { return kept_; }
  double median_range() const { return median_range_; }

 private:
  using Place = std::array<int64_t, 3>;
  struct Candidate {
    size_t sample;
    Place at;
    bool aligned;  // on the grid of blocks
  };
  void add_array(const ArrayFile& file, const std::string& name, int64_t validation);
  std::vector<Candidate> candidates(const std::vector<Sample>& samples, size_t wanted, bool aligned_only,
                                    std::mt19937_64& random);
  Candidate random_place(const std::vector<Sample>& samples, bool aligned, std::mt19937_64& random) const;
  // Copies a block, border repeated; returns its smallest and largest value.
  std::pair<float, float> copy(const Sample& s, const Place& at, float* to) const;
  void normalise(const Sample& s, float* values, double& offset, double& range,
                 std::mt19937_64& random) const;
  BlockBatch batch(int64_t count, std::mt19937_64& random, bool kept) const;

  std::string normalise_;
  std::array<int64_t, 3> block_{1, 1, 1};
  int64_t axes_ = 0;
  std::vector<Sample> trained_, kept_;
  std::vector<Candidate> train_places_, kept_places_;
  double blocks_for_each_ = 1;
  double median_range_ = 1;
};

}  // namespace h5neural::learn

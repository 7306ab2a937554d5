// swae_blocks.h: SWAE on a grid of blocks: a chunk of one to three axes is cut into blocks of one size, each
// is normalised by two numbers of its own, and its latents are coded as what the blocks before it do not
// suggest. Reading is swae_blocks.cc, writing swae_blocks_encode.cc; what a weights file holds is written in
// docs/weights-format.md.
//
// The latents section is one bit stream (entropy/bit_coder.h):
//   t (5 bits), gain (3 and 6 bits) and, where blocks are not normalised each by itself, offset / 2^t
//   (integer) and range (7 bits) of the chunk; then front by front (BlockGrid::fronts): of each block its
//   offset / 2^t, whether it has latents, and its range; then of each block that has them its latents.
//
//   latent = mean + q * step,  step = gain / range: the smaller a block's range, the coarser its latents
//   base = offset + (decoder(latents) * range + 2^12) >> 13
#pragma once
#include <array>
#include <string>
#include <vector>

#include "entropy/bit_coder.h"
#include "exact/backend.h"
#include "models/block_grid.h"
#include "models/latent_spread.h"
#include "models/model.h"
#include "weights/weights_file.h"

namespace h5neural {

// By which offset and range a block's values become the encoder's input. The reader is told both, so this
// matters to writers only, but for kNone: the chunk's own, the same for all blocks.
enum class Normalise : uint8_t {
  kMinMax,  // middle, largest - smallest
  kZScore,  // mean, 8 standard deviations
  kPosLog,  // smallest, largest - smallest; the programs take logarithms
  kNone
};

struct BlockLatents {
  int64_t offset = 0;      // in steps of 2^t
  int32_t range = 0;       // a code of log_value
  bool has = false;        // without latents the base is the offset
  std::vector<int32_t> q;  // [K], as coded
  std::vector<int32_t> z;  // [K], as the decoder takes them
};

struct BlocksSection {
  int t = 0, gain_mantissa = 0, gain_exponent = 0;
  int64_t offset = 0;  // of the chunk, where blocks have none of their own
  int32_t range = 0;
  std::vector<BlockLatents> blocks;

  // Latents' units to one step, for a block of this range.
  int64_t step(const BlockLatents& b) const {
    constexpr int64_t kLargest = int64_t{1} << 14;
    return std::clamp<int64_t>((int64_t{8 + gain_mantissa} << gain_exponent) / log_value(b.range), 1,
                               kLargest);
  }
  static constexpr int kMostGain = 48;  // of the exponent
};

// What adapts while a section is coded.
struct BlocksCoders {
  IntModel offset, range;
  std::array<BitModel, BlockGrid::kAxes + 1> has;  // by how many of the blocks before have latents
  SpreadCoder latents;
};

class SwaeBlocks final : public Model {
 public:
  explicit SwaeBlocks(const WeightsFile& file);  // throws Failure(H5N_ERR_CORRUPT)

  std::string name() const override { return name_; }
  std::string family() const override { return "swae"; }
  uint64_t hash() const override { return hash_; }
  bool serves(const Extents& chunk) const override;
  bool general() const override { return true; }
  void decode(ByteSpan section, const Extents& chunk, std::span<int32_t> base) const override;
  LatentArray latents(ByteSpan section, const Extents& chunk) const override;
  std::optional<Bytes> encode(std::span<const int32_t> field, const Extents& chunk,
                              int32_t bin) const override;

 private:
  static constexpr int kFraction = 13;  // of normalised values: (x - offset) / range in units of 2^-13
  static constexpr int64_t kMaxLattice = int64_t{1} << 30;
  static constexpr size_t kGroup = 1024;  // blocks of one run of a program

  // What is expected of a block before it is coded, from those before it.
  struct Expected {
    int64_t offset = 0;
    int32_t range = 0;
    size_t with_latents = 0;
  };
  Expected expected(const BlocksSection& s, const BlockGrid& grid, size_t b) const;
  // The context program's answers for the latents of the blocks `of`: means and spreads, [count, K] each.
  struct Context {
    Batch mean, spread;
  };
  Context context(const BlocksSection& s, const BlockGrid& grid, std::span<const size_t> of) const;
  void append_neighbour(const BlocksSection& s, const BlockLatents& own, const BlockLatents* other,
                        Batch& in) const;
  int32_t latent(int64_t mean, int64_t q, int64_t step, size_t place) const;  // what q stands for

  // ---- reading
  BlocksSection read(ByteSpan section, const BlockGrid& grid) const;
  void read_front(BitDecoder& in, BlocksCoders& c, const BlockGrid& grid, std::span<const size_t> front,
                  BlocksSection& s) const;
  void read_numbers(BitDecoder& in, BlocksCoders& c, const Expected& e, BlocksSection& s, size_t b) const;
  // The decoder's answers for the blocks `of`, all with latents: [count, points].
  Batch decoded(const BlocksSection& s, std::span<const size_t> of) const;
  void fill(const BlocksSection& s, const BlockGrid& grid, std::span<int32_t> base) const;
  static int32_t base_value(int64_t offset, int64_t range, int64_t y) {
    const int64_t n = offset + ((y * range + (int64_t{1} << (kFraction - 1))) >> kFraction);
    return static_cast<int32_t>(std::clamp(n, -kMaxLattice, kMaxLattice));
  }

  // ---- writing
  struct Trial {
    BlocksSection section;
    double bits = 0;  // of latents, about
    double cost = 0;  // of latents and corrections, about
  };
  BlocksSection survey(std::span<const int32_t> field, const BlockGrid& grid, int32_t bin) const;
  void survey_block(std::span<const int32_t> field, const BlockGrid& grid, BlocksSection& s, size_t b) const;
  // The encoder's latents of all blocks that may have some: [blocks, K].
  Batch encoded(std::span<const int32_t> field, const BlockGrid& grid, const BlocksSection& s) const;
  Trial quantise(std::span<const int32_t> field, const BlockGrid& grid, const Batch& latents, int32_t bin,
                 BlocksSection s) const;
  double quantise_front(std::span<const int32_t> field, const BlockGrid& grid, const Batch& latents,
                        int32_t bin, std::span<const size_t> front, Trial& t) const;
  double block_cost(std::span<const int32_t> field, const BlockGrid& grid, const BlocksSection& s, size_t b,
                    std::span<const int32_t> y, int32_t bin) const;
  std::optional<Trial> best_gain(std::span<const int32_t> field, const Extents& chunk, int32_t bin) const;
  Bytes write(const BlocksSection& s, const BlockGrid& grid) const;
  void write_front(BitEncoder& out, BlocksCoders& c, const BlockGrid& grid, std::span<const size_t> front,
                   const BlocksSection& s) const;

  std::string name_;
  uint64_t hash_;
  Extents block_;
  Normalise normalise_ = Normalise::kMinMax;
  Program encoder_, decoder_, context_;
  size_t latents_ = 0;
  int64_t gain_ = 0;  // the usual one, for bins of 16
};

}  // namespace h5neural

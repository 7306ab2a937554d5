// frames.h: the family of models that predict a frame of a series from decoded frames: from those before it
// (`predict`), or from its two neighbours at equal distance in time (`between`). A small convolutional
// network, run on tiles, for chunks of any extents [time, space...]. Knows nothing of how frames are coded.
// What a weights file of the family holds is written in docs/weights-format.md.
#pragma once
#include <memory>
#include <optional>

#include "exact/backend.h"
#include "models/model.h"
#include "weights/weights_file.h"

namespace h5neural {

constexpr int32_t kMostFrameInput = 32767, kMostFrameOutput = 1 << 20;
constexpr int kMostHistory = 4;

// How lattice values v become numbers x of the network, and what it gives, y, becomes lattice values:
//
//     x = clamp(((v - offset) * mantissa + 2^(shift - 1)) >> shift)
//     v = offset + ((y * floor(2^40 / mantissa) + 2^(39 - shift)) >> (40 - shift))
//
// (nothing is added before a shift of 0). Of one chunk; sent.
struct FrameScale {
  static constexpr int kMantissaBits = 13, kMostShift = 40;
  int32_t mantissa = 1 << kMantissaBits;  // 2^13 to 2^14 - 1
  int shift = 0;                          // 0 to kMostShift
  int32_t offset = 0;                     // at most 2^28 in size
  // Axes of a frame, bit 0 the slowest, along which points outside of it are those of the other end; else
  // they are mirrored.
  uint8_t wraps = 0;
};

class Frames final : public Model {
 public:
  // Throws Failure(H5N_ERR_CORRUPT) when the file's parts do not fit together.
  explicit Frames(const WeightsFile& file);

  std::string name() const override { return name_; }
  std::string family() const override { return "frames"; }
  uint64_t hash() const override { return hash_; }
  // Chunks [time, space...].
  bool serves(const Extents& extents) const override;
  bool general() const override { return true; }
  const Frames* frames() const override { return this; }
  std::optional<Bytes> encode(std::span<const int32_t>, const Extents&, int32_t) const override { return {}; }
  [[noreturn]] void decode(ByteSpan, const Extents&, std::span<int32_t>) const override;
  [[noreturn]] LatentArray latents(ByteSpan, const Extents&) const override;

  int rank() const { return rank_; }        // axes of a frame
  int history() const { return history_; }  // frames that a prediction sees
  bool has_between() const { return between_.has_value(); }
  int32_t unit() const { return unit_; }  // of a standard deviation of the chunk, about

  // `given`: frames of lattice values, each of extents n[0] ... n[rank - 1] in size; history() of them,
  // oldest first, or two for `between`. Fills `out` with values of at most 2^28 in size.
  using Extent = std::array<int64_t, 3>;
  void predict(const FrameScale& scale, const Extent& n, std::span<const std::span<const int32_t>> given,
               std::span<int32_t> out) const;
  void between(const FrameScale& scale, const Extent& n, std::span<const int32_t> before,
               std::span<const int32_t> after, std::span<int32_t> out) const;

 private:
  void check(const Program& program, size_t frames) const;
  [[noreturn]] void refuse(const char* problem) const;
  void run_tiles(const Program& program, const FrameScale& scale, const Extent& n,
                 std::span<const std::span<const int32_t>> given, std::span<int32_t> out) const;

  std::string name_;
  uint64_t hash_;
  Program predict_;
  std::optional<Program> between_;
  int rank_ = 2, history_ = 1;
  int64_t tile_ = 0, halo_ = 0;  // points along each axis; around a tile
  int32_t unit_ = 0;
};

std::shared_ptr<const Model> make_frames(const WeightsFile& file);

}  // namespace h5neural

// model.h: what every family of models offers the codec. A model turns a field on the integer lattice into a
// latents section, and a latents section into the base field, on the same lattice. It knows nothing of
// corrections, bounds in physical units, or HDF5. `decode` is integer arithmetic throughout; `encode` may use
// floats, since what it finds is transmitted.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "support/bytes.h"
#include "support/extents.h"

namespace h5neural {

struct WalkNetwork;

// A latents section as numbers. `grid`: how its vectors lie in the chunk (empty: one vector for all of it).
struct LatentArray {
  std::vector<uint64_t> grid;
  size_t numbers = 0;           // of each vector
  size_t latents = 0;           // the first of them; the others correct what the model makes of these
  std::vector<int32_t> values;  // [grid..., numbers], as the model's first program takes them
  // One for each vector: a lattice value is offset + scale * (what the model's last program gives).
  std::vector<double> scale, offset;
};

class Frames;

class Model {
 public:
  virtual ~Model() = default;
  virtual std::string name() const = 0;    // of the weights file, for people
  virtual std::string family() const = 0;  // "swae", ...
  virtual uint64_t hash() const = 0;       // first 64 bits of the weights' SHA-256, big endian

  // Cheap: whether this model can serve a chunk of these extents at all.
  virtual bool serves(const Extents& extents) const = 0;

  // Whether it serves chunks of any shape, and so takes time on fields it knows nothing of: the automatic
  // choice tries such a model at high efforts only.
  virtual bool general() const { return false; }

  // A network for the corrections (corrections/network.h), in place of latents and a base; null: the model
  // has latents.
  virtual const WalkNetwork* network() const { return nullptr; }
  // A model that predicts frames from decoded ones (frames.h) has no base of a whole chunk: encode gives
  // nothing, decode refuses. Null for the others.
  virtual const Frames* frames() const { return nullptr; }

  // Writer. `field`: the chunk on the lattice, |n| <= 2^30, specials filled in with a neighbouring value;
  // `bin`: the width of one quantisation bin (two bounds) in lattice units, >= 1, the accuracy that the
  // corrections will reach. Returns the latents section, or nothing when the model has nothing to offer for
  // this field.
  virtual std::optional<Bytes> encode(std::span<const int32_t> field, const Extents& extents,
                                      int32_t bin) const = 0;

  // Reader and writer. Fills `base`, one lattice value for each value of the chunk, |base| <= 2^30.
  // Throws Failure(H5N_ERR_CORRUPT) on a section that no encoder of this model writes.
  virtual void decode(ByteSpan latents, const Extents& extents, std::span<int32_t> base) const = 0;

  // For those who learn from latents: a section taken apart, nothing decoded. Throws as decode does.
  virtual LatentArray latents(ByteSpan section, const Extents& extents) const = 0;
};

}  // namespace h5neural

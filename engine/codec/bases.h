// bases.h: which models the writer tries on a chunk, and the fields that a walk or a transform may start
// from. Writer only.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "bounds/lattice.h"
#include "codec/parts.h"
#include "h5neural/h5neural.h"
#include "models/model.h"

namespace h5neural {

// From this effort models that serve any field are tried on each.
constexpr uint32_t kGeneralModelsFrom = 7;

// Where the base comes from: a model and its latents, or a reference and its bytes, or neither.
struct Base {
  const Model* model = nullptr;
  Bytes latents, reference{0};
};

// A model's field for the chunk, and about what it and the corrections after it will take.
struct Proposal {
  std::shared_ptr<const Model> model;
  Bytes latents;
  std::vector<int32_t> base;
  double bits = 0;
};

// Refers to the parameters.
class Bases {
 public:
  Bases(const h5n_params& params, const EncoderParts& parts, const Extents& extents)
      : params_(params), parts_(parts), extents_(extents.folded()) {}

  // The one that was asked for, or all; none where models are not wanted.
  std::vector<std::shared_ptr<const Model>> models() const;
  // Those that predict frames of such a chunk.
  std::vector<std::shared_ptr<const Frames>> frames() const;
  // Fields worth a whole coding, cheapest first. `field`: lattice points, specials filled in.
  std::vector<Proposal> proposals(const Lattice& lattice, const std::vector<int32_t>& field) const;

  // Whether ways without a model are tried at all. A model that was asked for knows of chunks of one size
  // when it pays; one for any chunk does not.
  bool compare_with_none() const;
  // Whether a model, which has a walk after it, may do better than a transform: one was asked for, or there
  // is one for chunks just like this.
  bool walks_promise() const;

  // Without axes of one point, as models see them.
  const Extents& extents() const { return extents_; }

 private:
  bool wanted() const { return parts_.models && params_.model != H5N_MODEL_NONE; }
  std::vector<std::shared_ptr<const Model>> with_base() const;

  const h5n_params& params_;
  EncoderParts parts_;
  Extents extents_;
};

// The target less a base, within what a transform takes: a model's field may lie far off.
std::vector<double> less(std::vector<double> target, std::span<const int32_t> base);

}  // namespace h5neural

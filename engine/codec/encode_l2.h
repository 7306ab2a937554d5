// encode_l2.h: the writer's way of a chunk under a bound on a mean square (psnr, nrmse, and block-nrmse for
// each patch): a search for the transform's step, or the walk's bound, with which it is just kept. Writer
// only.
#pragma once
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "codec/bases.h"
#include "codec/candidates.h"
#include "codec/ways.h"
#include "corrections/walk.h"
#include "transform/transform.h"

namespace h5neural {

// T: float or double.
template <class T>
class L2Encoder {
 public:
  // What the writer has at hand; all of it outlives this. `offer_walks`: offers all that codes a setting
  // under its pointwise bound.
  struct Writer {
    const Chunk<T>& chunk;
    Settings<T>& settings;
    const EncoderParts& parts;
    const Bases& bases;
    Ways& ways;
    Candidates<T>& candidates;
    std::function<void(const Setting&)> offer_walks;
  };
  explicit L2Encoder(Writer writer) : w_(std::move(writer)) {}

  void run();

 private:
  // The step of a transform whose RMSE just keeps the L2 bound.
  void search_transform(const Setting& s);
  // `target`: less the field of the base. Returns the last step.
  double search_plans(const Setting& s, const Lattice& lattice, const WalkInput& in,
                      const std::vector<double>& target, const Base& base);
  void search_plan(const Setting& s, const Lattice& lattice, const WalkInput& in, const Analysis& analysis,
                   const std::vector<double>& target, const Base& base, TransformChoice& choice);
  // Whether the walk comes near a transform for what it leaves, on a part of the field.
  bool walk_comes_near(const WalkInput& in, const std::vector<Schedule>& schedules,
                       const std::vector<double>& field, WaveletPlan plan,
                       const TransformChoice& choice) const;
  // What is left of frames predicted one after the other, in place of the field. `step`: to begin with.
  void search_frames(const Setting& s, const Lattice& lattice, const WalkInput& in,
                     const std::vector<double>& target, double step);
  TransformChoice choice_of(double step) const;
  // A transform's points; returns the error that they leave, of the one allowed.
  double offer(const Setting& s, const Lattice& lattice, const Bytes& section,
               const std::vector<int32_t>& points, const Base& base);
  // Coarse levels are predicted from by many: with the mean square to keep, their bins are better narrower
  // than those of the finest level, the more the coarser (a pointwise bound leaves no such choice).
  void search_walks(Setting& s);
  // Finds the pointwise bound whose RMSE just keeps the L2 bound, by the ratio of what was asked for to what
  // came out. Returns where it stopped.
  double search_bound(Setting& s, double bound);
  bool in_patches() const;

  Writer w_;
  std::optional<L2Error> errors_;
  double most_rmse_ = 0;        // of each of its patches
  bool walk_promises_ = false;  // whether it came near a transform
};

}  // namespace h5neural

// places.h: what a place has shown in the planes before. A stack of maps repeats itself place by place:
// coasts, mountains and the edges of the map ask for coefficients of their own. Along the slowest axis of the
// chunk a coset is taken in blocks of planes; each place learns, from the decoded planes of the blocks
// before, by how much its nearest neighbours should correct the prediction, and how large its residuals are.
// Nothing is sent for it. Reader and writer learn alike: integers only. Knows nothing of entropy coding.
#pragma once
#include <cstdint>
#include <vector>

#include "corrections/walk.h"
#include "kernels/places.h"

namespace h5neural {

constexpr int kLeastPlanes = 24;  // to learn from

// The slowest axis with more than one point: the one along which planes repeat.
int slowest_axis(const Index4& n);

// Whether the places of this coset learn: it has planes enough, and its level leaves their axis alone.
bool places_learn(const WalkInput& in, const LevelState& level, const CosetState& coset);

// The planes of a coset in blocks that grow by a quarter of what came before. The last entry is the number of
// planes.
std::vector<int> plane_blocks(int planes);

class Places {
 public:
  Places(const WalkInput& in, const LevelState& level, const CosetState& coset);

  // Adds what the places have learnt to the predictions of the planes [from, to), which are those of the
  // coset's predictor.
  void correct(CosetState& coset, int from, int to);
  // Context that the residuals of each place suggest, for planes of the block that comes next; kNoHistory
  // where nothing is known yet. [points of a plane]
  const std::vector<uint8_t>& history() const { return history_; }
  // Mixes that into the contexts of the planes [from, to), `blend` of 8 parts of it.
  void blend(CosetState& coset, int from, int to, int blend) const;
  // Takes over the planes [from, to): their quantised differences are known now.
  void learn(CosetState& coset, int from, int to);

  static constexpr uint8_t kNoHistory = 255;

 private:
  // Calls row(block, places) for each row of a plane, in the planes [from, to).
  template <class Row>
  void each_row(CosetState& coset, int from, int to, Row&& row);

  const LevelState& level_;
  int shift_;   // of lattice units to units of learning
  int origin_;  // of contexts
  int taps_ = 0;
  int axis_;
  int64_t plane_;  // points
  std::array<const int32_t*, kPlaceTaps> tap_{};
  std::vector<int64_t> sums_;
  std::vector<int32_t> weight_;
  PlaceArrays places_;               // these
  std::vector<int32_t> correction_;  // of the block at hand
  std::vector<uint8_t> history_;
};

// The context of a point and that of its place, mixed: `blend` of 8 parts of the latter.
inline uint8_t blended(uint8_t context, uint8_t history, int blend) {
  if (history == Places::kNoHistory) return context;
  return static_cast<uint8_t>((context * (8 - blend) + history * blend + 4) >> 3);
}

}  // namespace h5neural

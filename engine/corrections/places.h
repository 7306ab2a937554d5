// places.h: what a place has shown in the planes before. A stack of maps repeats itself place by place:
// coasts, mountains and the edges of the map ask for coefficients of their own. Along the slowest axis of the
// chunk a coset is taken in blocks of planes; each place learns, from the decoded planes of the blocks
// before, by how much its nearest neighbours should correct the prediction, and how large its residuals are.
// Nothing is sent for it. Reader and writer learn alike: integers only. Knows nothing of entropy coding.
#pragma once
#include <cstdint>
#include <vector>

#include "corrections/walk.h"

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
  void learn(const CosetState& coset, int from, int to);

  static constexpr uint8_t kNoHistory = 255;

 private:
  static constexpr int kMostTaps = 8;
  static constexpr int kSums = kMostTaps * (kMostTaps + 1) / 2;
  struct Place {
    std::array<int64_t, kSums> squares{};      // of neighbours: lower triangle
    std::array<int64_t, kMostTaps> towards{};  // neighbour times what was missing
    std::array<int32_t, kMostTaps> weight{};   // units of 2^-kWeightBits
    int64_t magnitude = 0, planes = 0;
  };
  void solve(Place& place) const;
  int32_t scaled(int64_t v) const;
  // Calls point(k, p, place) for each point of the planes [from, to): its number and its place in the arrays.
  template <class Point>
  void each(const CosetState& coset, int from, int to, Point&& point);

  const LevelState& level_;
  int shift_;   // of lattice units to units of learning, to the right where positive
  int origin_;  // of contexts
  int taps_ = 0;
  int axis_;
  int64_t plane_;  // points
  std::array<const int32_t*, kMostTaps> tap_{};
  std::vector<Place> places_;
  std::vector<int32_t> correction_;  // of the block at hand
  std::vector<uint8_t> history_;
};

// The context of a point and that of its place, mixed: `blend` of 8 parts of the latter.
inline uint8_t blended(uint8_t context, uint8_t history, int blend) {
  if (history == Places::kNoHistory) return context;
  return static_cast<uint8_t>((context * (8 - blend) + history * blend + 4) >> 3);
}

}  // namespace h5neural

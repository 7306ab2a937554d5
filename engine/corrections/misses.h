// misses.h: what the points of a coset were off by in the frames before: where the base of a series has erred
// it is likely to err again, a point further on too. Reader and writer learn alike; nothing is sent for it.
#pragma once
#include <cstdint>
#include <vector>

#include "corrections/walk.h"

namespace h5neural {

class Misses {
 public:
  static constexpr uint8_t kNone = 255;
  // Context that they suggest for each point; kNone where nothing is known yet.
  void suggest(const WalkInput& in, const LevelState& level, const CosetState& coset,
               std::vector<uint8_t>& contexts) const;
  // Takes over a frame whose quantised differences are known.
  void learn(const LevelState& level, const CosetState& coset);

 private:
  // Of magnitudes in sixteenths of a lattice unit; the last frame makes up half of it.
  std::vector<uint32_t> mean_;
};

}  // namespace h5neural

// geometry.h: what is the same for every coset of one shape: its neighbours and its kriging predictors.
// Chunks of a dataset, and levels of a chunk, ask for the same few again and again, so they are kept for the
// process. Knows nothing of values.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "corrections/kriging.h"
#include "corrections/stencil.h"

namespace h5neural {

class CosetGeometry {
 public:
  CosetGeometry(const Layout& layout, const Level& level, uint8_t axes, uint32_t known)
      : stencil(make_stencil(layout, level, axes, known)), weight_(level.weight) {}

  const Stencil stencil;

  // See kriging.h; solved when first asked for. May be called by many threads.
  const std::vector<int32_t>& kriging(int exponent, int nugget) const;

 private:
  std::array<uint8_t, kAxes> weight_;
  mutable std::mutex mutex_;
  mutable std::unique_ptr<Kriging> system_;
  mutable std::array<std::unique_ptr<std::vector<int32_t>>, kExponents * kNuggets> solved_;
};

// From the process's cache, or made and kept there. May be called by many threads.
std::shared_ptr<const CosetGeometry> coset_geometry(const Layout& layout, const Level& level, uint8_t axes,
                                                    uint32_t known);

}  // namespace h5neural

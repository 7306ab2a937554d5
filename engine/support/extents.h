// extents.h: the extents of a chunk, slowest axis first.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "h5neural/h5neural.h"

namespace h5neural {

struct Extents {
  int rank = 0;
  std::array<uint64_t, H5N_MAX_RANK> n{};
  uint64_t count() const {
    uint64_t c = 1;
    for (int a = 0; a < rank; ++a) c *= n[a];
    return c;
  }
  bool operator==(const Extents&) const = default;

  // Without the axes of one point: what a model sees, so that a chunk [1, 32, 32, 32] of a time series is a
  // field [32, 32, 32] to it. One axis stays.
  Extents folded() const {
    Extents f;
    for (int a = 0; a < rank; ++a) {
      if (n[a] != 1) f.n[f.rank++] = n[a];
    }
    if (f.rank == 0) f.n[f.rank++] = 1;
    return f;
  }
};

}  // namespace h5neural

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
};

}  // namespace h5neural

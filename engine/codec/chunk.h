// chunk.h: a chunk as the writer sees it: what was asked for, its values, and the same on a lattice.
#pragma once
#include <cstdint>
#include <vector>

#include "bounds/lattice.h"
#include "codec/setting.h"
#include "support/bytes.h"
#include "support/extents.h"

namespace h5neural {

// Modes whose bound is on a mean square, of the chunk or of each patch.
inline bool is_l2(const h5n_params& params) {
  return params.mode == H5N_PSNR || params.mode == H5N_NRMSE || params.mode == H5N_BLOCK_NRMSE;
}

// T: float or double. Refers to the parameters and the bytes.
template <class T>
struct Chunk {
  Chunk(const h5n_params& params, ByteSpan native);

  bool choose_lattice(const Setting& s, Lattice& lattice) const;
  // The chunk in lattice units about the origin, not rounded.
  std::vector<double> targets(const Setting& s, const Lattice& l) const;
  // What a model is shown: rounded, specials filled in from the value before.
  std::vector<int32_t> filled(const Setting& s, const std::vector<double>& target) const;

  const h5n_params& params;
  ByteSpan native;
  Extents extents;
  std::vector<T> values;
};

}  // namespace h5neural

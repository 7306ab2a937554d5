// weights_worth.h: whether weights that travel inside of a file pay for themselves in it. Knows HDF5 and the
// engine's C API.
#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "hdf5_file.h"

namespace h5neural::tool {

struct WeightsWorth {
  uint64_t hash = 0;
  uint64_t bytes = 0;   // of the weights
  uint64_t chunks = 0;  // that use them, of those that were asked
  int64_t saved = 0;    // bytes that these chunks would be larger without a model
  bool pays() const { return saved > 0 && static_cast<uint64_t>(saved) > bytes; }
};

// Adds what weights save in one dataset: `coded` is what `from` became. Only the weights that are in `worth`
// are asked for, by encoding their chunks without a model, and none of them any further once it pays. Throws
// ToolError.
void add_worth(const Dataset& from, const Dataset& coded, std::map<uint64_t, WeightsWorth>& worth);

// Why they were left out: a sentence with the remedy.
std::string left_out_text(const WeightsWorth& worth);

}  // namespace h5neural::tool

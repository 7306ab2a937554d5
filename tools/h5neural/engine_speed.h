// engine_speed.h: how fast the engine encodes and decodes chunks of a dataset on this machine, in this
// process, and how small they become. Knows HDF5 for reading the chunks; the engine by its C API.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "h5neural/h5neural.h"
#include "hdf5_file.h"

namespace h5neural::tool {

// Some of a dataset's chunks, evenly spread over it, as HDF5 hands them to the filter.
struct Sample {
  Extents chunk;
  h5n_params layout{};        // type, extents and fill value of a chunk
  uint64_t chunks = 0;        // of the whole dataset
  uint64_t raw_bytes = 0;     // of the whole dataset
  uint64_t sample_bytes = 0;  // of the values in `values` that lie inside of the dataset
  std::vector<std::vector<uint8_t>> values;
};
// About `bytes` of them, one at least. Throws ToolError.
Sample take_sample(const Dataset& dataset, const Extents& chunk, uint64_t bytes);

struct EngineSpeed {
  uint32_t effort = 0;
  unsigned cores = 1;
  double encode = 0, decode = 0;  // raw bytes per second, all cores together
  double cpu_share = 1;           // of the cores' time that encoding got, 0 to 1; the rest went to others
  uint64_t payload_bytes = 0;     // of the sample
  std::map<std::string, uint64_t> models;  // by name, "none" among them: chunks of the sample that use it
};
// With as many threads as `cores`, each of which has chunks of its own, as the ranks of a parallel program
// do. `asked` gives bound, model and effort. Throws ToolError.
EngineSpeed measure_engine(const Sample& sample, const h5n_params& asked, unsigned cores);

}  // namespace h5neural::tool

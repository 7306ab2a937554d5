// writer_bytes.h: what chunks of a training take as the writer writes them, with weights and without. Knows
// HDF5 and the engine's C API.
#pragma once
#include <cstdint>
#include <vector>

#include "h5neural/h5neural.h"
#include "training_data.h"

namespace h5neural::tool {

struct WriterSetting {
  uint32_t mode = 0;
  double bound = 0;
  unsigned effort = 5;
};

// Parameters of the engine for a chunk of a source.
h5n_params params_for(const TrainingSource& source, const WriterSetting& setting, uint64_t model);

// Payload bytes of at most `most` chunks of a part, evenly chosen, with the model of that hash.
std::vector<uint64_t> payload_bytes(const TrainingData& data, Part part, uint64_t most,
                                    const WriterSetting& setting, uint64_t model);

// Mean bytes when each chunk takes the smaller of both.
double mean_of_smaller(const std::vector<uint64_t>& with, const std::vector<uint64_t>& without);
double mean_of(const std::vector<uint64_t>& bytes);

}  // namespace h5neural::tool

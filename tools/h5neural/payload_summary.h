// payload_summary.h: what the payloads of a dataset say of themselves, chunk by chunk and added up. Decodes
// nothing.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "h5neural/h5neural.h"
#include "hdf5_file.h"

namespace h5neural::tool {

// One stored chunk.
struct ChunkSummary {
  Extents offset;
  uint64_t raw_bytes = 0;     // of its values that lie inside the dataset
  uint64_t stored_bytes = 0;  // in the file
  bool unfiltered = false;
  std::string problem;  // why `info` is missing
  std::optional<h5n_info>
      info;  // missing for chunks that are unfiltered, damaged, or packed again by another filter
};

struct DatasetSummary {
  uint64_t chunks = 0;                       // that fit into the dataset
  std::vector<ChunkSummary> stored;          // that are in the file
  uint64_t raw_bytes = 0, stored_bytes = 0;  // of the stored chunks
  uint64_t header_bytes = 0, latents_bytes = 0, corrections_bytes = 0, specials_bytes = 0, specials = 0;
  std::map<std::string, uint64_t> kinds, models;  // number of chunks of each
  uint64_t unfiltered = 0, damaged = 0;
};

// The dataset has our filter.
DatasetSummary summarise(const Dataset& dataset);

// Reads a payload's header; `problem` when there is none to be read.
std::optional<h5n_info> inspect(const StoredChunk& chunk, std::string& problem);

std::string kind_text(uint32_t kind);
// The name of a payload's model, else its hash, else "none".
std::string model_text(const h5n_info& info);

}  // namespace h5neural::tool

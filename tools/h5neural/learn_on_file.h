// learn_on_file.h: what `repack --learn` adds to repack: weights learned from the chunks that are about to be
// written, one for each size of chunk. Knows HDF5; writes no HDF5 file.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "output_file.h"
#include "training_data.h"
#include "writer_bytes.h"

namespace h5neural::tool {

// Datasets whose chunks are of one size, and what was learned from them.
struct LearnedGroup {
  Extents sample;                     // of a chunk, axes of one point aside
  std::vector<std::string> datasets;  // their paths
  std::string family, file, sha256;   // of the weights; empty: none pay, and `why` says more
  std::string why;
  uint64_t hash = 0, bytes = 0;
  uint64_t chunks = 0;             // that are smaller with them
  uint64_t without = 0, with = 0;  // payload bytes of all chunks of the datasets
  bool used = false;               // the weights are in the file
  double seconds = 0;
  bool learned() const { return !file.empty(); }
  bool pays() const { return learned() && without > with + bytes; }
};

// A dataset of the input, and the chunks it is to have.
struct FileSource {
  std::string path;
  Extents chunk;
};

// Learns from `input` within the time, shared among the groups by their bytes. The weights stand beside the
// unfinished `out` until remove_learned. Groups that nothing can be learned from say why.
std::vector<LearnedGroup> learn_on_file(const std::string& input, const std::vector<FileSource>& sources,
                                        const WriterSetting& setting, double seconds, OutputFile& out);
void remove_learned(const std::vector<LearnedGroup>& groups);

// "the weights of [32, 32, 32] chunks (linear, 19454 bytes) ...": what they brought, or why there are none.
std::string brought_text(const LearnedGroup& group);

}  // namespace h5neural::tool

// chunk_output.h: small HDF5 files made chunk by chunk from a compressed dataset: what export-latents and
// preview share. Knows HDF5.
#pragma once
#include <string>

#include "hdf5_file.h"

namespace h5neural::tool {

// The one dataset of FILE:/dataset, which has our filter, in its open file. Throws ToolError.
struct CompressedInput {
  Handle file;
  Dataset dataset;
  std::string name;  // FILE:/dataset
};
CompressedInput open_compressed(const std::string& target);

// How many chunks lie along each axis, and where the chunk that starts at `offset` is among them.
Extents chunk_grid(const Dataset& dataset);
Extents chunk_place(const Dataset& dataset, const Extents& offset);

// A dataset of a new file. Throws ToolError.
Handle make_dataset(hid_t file, const std::string& name, hid_t type, const Extents& extents,
                    hid_t properties = H5P_DEFAULT);
// Writes a block of `size` at `offset`, the corner of an array of `held` in memory.
void write_block(hid_t dataset, const Extents& offset, const Extents& size, const Extents& held,
                 hid_t memory_type, const void* values);
void write_text(hid_t object, const std::string& name, const std::string& text);
void write_numbers(hid_t object, const std::string& name, const Extents& numbers);

}  // namespace h5neural::tool

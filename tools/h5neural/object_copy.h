// object_copy.h: everything of an HDF5 file into another: groups, links of all kinds, named types, datasets,
// attributes, references, creation order. The one who calls says which datasets are written anew. Knows
// nothing of filters.
//
// Groups, links, attributes and references are carried over here; the values of datasets by H5Ocopy, raw, so
// that they need no filter. H5Ocopy cannot do it all: it empties references, and leaves those inside of
// variable-length values (the DIMENSION_LIST of every dimension scale) pointing into the old file.
#pragma once
#include <functional>
#include <set>
#include <string>

#include "hdf5_file.h"

namespace h5neural::tool {

// Where an object is to be made.
struct NewLink {
  hid_t parent;
  const char* name;
  hid_t properties;  // link creation: the encoding of the name
};

// Creates a dataset at `link` from the dataset `path` of the input, values included and
// attributes not, and returns true; or returns false, and it is copied as it is. `type`: the type to create
// it with (a named type of the output where it was one in the input).
using WriteDataset = std::function<bool(const std::string& path, hid_t type, const NewLink& link)>;

struct CopyCounts {
  uint64_t groups = 0, datasets = 0, types = 0, links = 0, attributes = 0;
  uint64_t lost_references = 0;  // to objects that no link leads to: they came out empty
};

// `output` has nothing in it yet. `left_out`: names of links of the root group that are not copied. Throws
// ToolError.
CopyCounts copy_objects(hid_t input, hid_t output, const std::set<std::string>& left_out,
                        const WriteDataset& write);

// A new, empty file with the creation properties of `input` (sizes, creation order of the root group) but a
// user block of `user_block` bytes, readable by every HDF5 that could read `input`. Throws ToolError.
Handle create_like(hid_t input, const std::string& path, uint64_t user_block);
uint64_t user_block_of(hid_t file);

}  // namespace h5neural::tool

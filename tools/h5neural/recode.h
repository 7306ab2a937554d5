// recode.h: one dataset written anew with h5neural's filter in the place of whatever it had. Knows HDF5 and
// the filter's id; the words come from request.h.
#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "hdf5_file.h"
#include "object_copy.h"

namespace h5neural::tool {

// Why a dataset cannot have the filter; empty when it can.
std::string why_not_served(const Dataset& dataset);

// The chunks to write: `asked` (clipped) when it has the dataset's rank, else the dataset's own, else such
// that a chunk fits the cache that HDF5 gives a dataset unless told otherwise (1 MiB).
Extents choose_chunk(const Dataset& dataset, const Extents& asked);

// Creates a dataset at `link` with the type, extents, fill value and object properties of `from`, and writes
// its values, each chunk once: a chunk that is written in parts is encoded as often, and its errors grow.
// Chunks that `from` does not store are not stored. Throws ToolError.
void recode(const Dataset& from, hid_t type, const NewLink& link, const Extents& chunk,
            const std::vector<unsigned>& words);

// What the filter of `coded`, a dataset of our own, would have stored for the chunk of `from` at `offset`,
// had it been told to use the model of that hash. Throws ToolError.
std::vector<uint8_t> payload_with_model(const Dataset& from, const Dataset& coded, const Extents& offset,
                                        uint64_t model);

// What the filter of `coded`, a dataset of our own, would have stored for the chunk of `from` at `offset`,
// had it been told to use no model. Throws ToolError.
std::vector<uint8_t> payload_without_model(const Dataset& from, const Dataset& coded, const Extents& offset);

// recode once more: `coded` is what recode made of `from`. Its payloads are taken over, but for those that
// are smaller with the model of that hash. Returns what they were and are. Throws ToolError.
struct Smaller {
  uint64_t chunks = 0;             // that take the model
  uint64_t before = 0, after = 0;  // bytes of all payloads
};
Smaller recode_smaller(const Dataset& from, const Dataset& coded, hid_t type, const NewLink& link,
                       const std::vector<unsigned>& words, uint64_t model);

// The payloads of `coded`, as they are, in a new dataset like `from`. Throws ToolError.
void take_over(const Dataset& from, const Dataset& coded, hid_t type, const NewLink& link,
               const std::vector<unsigned>& words);

// recode once more: `coded` is what recode made of `from`. Its payloads are taken over as they are, but for
// those that need weights of `without`: these chunks are coded anew, without a model. Throws ToolError.
void recode_without(const Dataset& from, const Dataset& coded, hid_t type, const NewLink& link,
                    const std::vector<unsigned>& words, const std::set<uint64_t>& without);

}  // namespace h5neural::tool

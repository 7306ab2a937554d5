// hdf5_file.h: HDF5 files as the subcommands see them: handles that close themselves, datasets with their
// filters, chunks as they are stored. Knows HDF5; knows of h5neural only its filter id.
#pragma once
#include <hdf5.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace h5neural::tool {

// An HDF5 identifier, closed with what opened it.
class Handle {
 public:
  Handle() = default;
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  operator hid_t() const { return id_; }
  bool valid() const { return id_ >= 0; }

 private:
  hid_t id_ = -1;
  herr_t (*close_)(hid_t) = nullptr;
};

// Makes HDF5 keep its errors for hdf5_error instead of printing them, and look for plugins in this install
// after the places that the user named. Call before anything else of HDF5.
void start_hdf5();
// The same without our own plugin folder: what another program would see.
void silence_hdf5();

// The sentence that says most about the last failure of HDF5: a filter's own, else the innermost.
std::string hdf5_error();

// FILE, or FILE:/dataset
struct Target {
  std::string file, dataset;  // dataset is empty for the whole file
};
Target parse_target(const std::string& text);

using Extents = std::vector<hsize_t>;

struct Filter {
  H5Z_filter_t id;
  unsigned flags;
  std::vector<unsigned> words;  // cd_values
  std::string name;             // may be empty
};

enum class Element { kFloat32, kFloat64, kOther };

struct Dataset {
  Handle id;
  std::string path, type_text;  // type_text: "float32", "big-endian float64", "int16", ...
  Element element = Element::kOther;
  size_t element_bytes = 0;
  bool plain = true;       // the values are of one size and hold no references to elsewhere in the file
  Extents extents, chunk;  // chunk is empty unless the layout is chunked
  std::vector<Filter> filters;
  uint64_t stored_bytes = 0;
  std::optional<std::vector<uint8_t>> fill;  // the fill value that the user defined, in native bytes

  uint64_t count() const;      // values
  const Filter* ours() const;  // h5neural's entry in the pipeline, or nullptr
};

// Opens for reading. `cache`: bytes of chunks that each dataset keeps, for reading in another shape than that
// of the chunks; 0: HDF5's own. Throws ToolError.
Handle open_file(const std::string& path, size_t cache = 0);
Handle open_file_to_write(const std::string& path);
// Paths of all datasets, sorted; of one, when target.dataset names it. Throws ToolError.
std::vector<std::string> list_datasets(hid_t file, const Target& target);
Dataset open_dataset(hid_t file, const std::string& path);

// Where an open object stands in its file: its identity, whichever path led to it.
haddr_t address_of(hid_t object);

// A chunk as it stands in the file.
struct StoredChunk {
  std::vector<uint8_t> bytes;  // as our filter wrote them (a checksum behind it is taken off)
  uint64_t file_bytes = 0;     // with what other filters added
  bool unfiltered = false;     // HDF5 noted that our filter did not run on it
  std::string problem;         // not empty: `bytes` are not what our filter wrote
};
// The chunk that starts at `offset`; nothing when it is not stored. The dataset has our filter. Throws
// ToolError.
std::optional<StoredChunk> read_stored_chunk(const Dataset& dataset, const Extents& offset);

// Reads the block at `offset` of `size` into `out`, as native values of memory_type. Throws ToolError.
void read_block(const Dataset& dataset, const Extents& offset, const Extents& size, hid_t memory_type,
                void* out);

// The same into a whole chunk of extents `chunk`, C order, as HDF5 hands it to filters: beyond the dataset's
// edge stands the fill value. Throws ToolError.
void read_whole_chunk(const Dataset& dataset, const Extents& offset, const Extents& chunk, hid_t memory_type,
                      std::vector<uint8_t>& out);

// Steps through the blocks of an array in C order: `offset` is set to the start of the next block. Start with
// an empty offset; false when there is none left. Arrays of rank 0 have one block.
bool next_block(const Extents& extents, const Extents& block, Extents& offset);
// The part of a block that lies inside the array.
Extents clip_block(const Extents& extents, const Extents& block, const Extents& offset);

// "1,32,32,32", as given to `option`; empty for "". Throws ToolError.
Extents parse_extents(const std::string& option, const std::string& text);
// "[8, 256, 256]"
std::string extents_text(const Extents& extents);

}  // namespace h5neural::tool

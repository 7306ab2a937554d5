// hdf5_file.cc: see hdf5_file.h.
#include "hdf5_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "filter_id.h"
#include "install.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxWords = 64;       // cd_values of any filter that are listed
constexpr size_t kCacheSlots = 10007;  // a prime, as HDF5 asks for
constexpr size_t kChecksumBytes = 4;   // fletcher32 puts them behind the chunk

herr_t remember_error(unsigned, const H5E_error2_t* error, void* data) {
  auto& text = *static_cast<std::string*>(data);
  if (error->desc == nullptr) return 0;
  // The walk goes from the innermost call outwards; a filter's own sentence is worth more than HDF5's.
  const std::string desc = error->desc;
  const bool of_filter = desc.starts_with("h5neural:");
  if (text.empty() || (of_filter && !text.starts_with("h5neural:"))) text = desc;
  return 0;
}

herr_t collect_dataset(hid_t, const char* name, const H5O_info_t* info, void* data) {
  if (info->type == H5O_TYPE_DATASET)
    static_cast<std::vector<std::string>*>(data)->push_back(std::string("/") + name);
  return 0;
}

void describe_type(hid_t type, Dataset& d) {
  const H5T_class_t kind = H5Tget_class(type);
  const bool big = H5Tget_order(type) == H5T_ORDER_BE;
  d.element_bytes = H5Tget_size(type);
  if (kind == H5T_FLOAT) {
    const bool ieee = H5Tequal(type, H5T_IEEE_F32LE) > 0 || H5Tequal(type, H5T_IEEE_F32BE) > 0 ||
                      H5Tequal(type, H5T_IEEE_F64LE) > 0 || H5Tequal(type, H5T_IEEE_F64BE) > 0;
    if (ieee) d.element = d.element_bytes == 4 ? Element::kFloat32 : Element::kFloat64;
    d.type_text = fmt::format("{}float{}", big ? "big-endian " : "", d.element_bytes * 8);
  } else if (kind == H5T_INTEGER) {
    d.type_text = fmt::format("{}{}int{}", big ? "big-endian " : "",
                              H5Tget_sign(type) == H5T_SGN_NONE ? "u" : "", d.element_bytes * 8);
  } else {
    static constexpr std::array kNames{"integer",  "float",           "time",     "string",
                                       "bitfield", "opaque",          "compound", "reference",
                                       "enum",     "variable-length", "array"};
    const auto n = static_cast<size_t>(kind);
    d.type_text = n < kNames.size() ? kNames[n] : "unknown type";
    d.plain = H5Tdetect_class(type, H5T_VLEN) <= 0 && H5Tdetect_class(type, H5T_REFERENCE) <= 0 &&
              H5Tis_variable_str(type) <= 0;
  }
}

void describe_layout(hid_t dcpl, Dataset& d) {
  if (H5Pget_layout(dcpl) == H5D_CHUNKED) {
    d.chunk.resize(d.extents.size());
    H5Pget_chunk(dcpl, static_cast<int>(d.chunk.size()), d.chunk.data());
  }
  for (int i = 0; i < std::max(H5Pget_nfilters(dcpl), 0); ++i) {
    Filter f{};
    std::array<char, 128> name{};
    size_t n = kMaxWords;
    unsigned config = 0;
    f.words.resize(kMaxWords);
    f.id = H5Pget_filter2(dcpl, static_cast<unsigned>(i), &f.flags, &n, f.words.data(), name.size() - 1,
                          name.data(), &config);
    f.words.resize(std::min(n, kMaxWords));
    f.name = name.data();
    d.filters.push_back(std::move(f));
  }
}

void describe_fill(hid_t dcpl, Dataset& d) {
  H5D_fill_value_t status = H5D_FILL_VALUE_UNDEFINED;
  if (d.element == Element::kOther || H5Pfill_value_defined(dcpl, &status) < 0 ||
      status != H5D_FILL_VALUE_USER_DEFINED) {
    return;
  }
  std::vector<uint8_t> value(d.element_bytes);
  const hid_t native = d.element == Element::kFloat32 ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
  if (H5Pget_fill_value(dcpl, native, value.data()) >= 0) d.fill = std::move(value);
}

// What other filters put around the payload is taken off where that is plain.
void unwrap(const Dataset& dataset, uint32_t skipped, StoredChunk& chunk) {
  size_t own = 0;
  while (dataset.filters[own].id != H5NEURAL_FILTER_ID) ++own;
  chunk.unfiltered = (skipped >> own & 1) != 0;
  for (size_t i = dataset.filters.size(); i-- > 0;) {
    const Filter& f = dataset.filters[i];
    if (i == own || (skipped >> i & 1) != 0) continue;
    if (i > own && f.id == H5Z_FILTER_FLETCHER32 && chunk.bytes.size() >= kChecksumBytes) {
      chunk.bytes.resize(chunk.bytes.size() - kChecksumBytes);
      continue;
    }
    chunk.problem = fmt::format("another filter ({} {}) changed the payload", f.id, f.name);
    return;
  }
}

}  // namespace

void silence_hdf5() { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

void start_hdf5() {
  silence_hdf5();
  const fs::path plugin = own_plugin_folder();
  if (plugin.empty()) return;
  // HDF5 stops at the first folder of its path that is missing, as its built-in one often is.
  const char* const named = std::getenv("HDF5_PLUGIN_PATH");
  if (named != nullptr && named[0] != '\0') {
    H5PLappend(plugin.c_str());
  } else {
    H5PLprepend(plugin.c_str());
  }
}

std::string hdf5_error() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, remember_error, &text);
  return text.empty() ? "HDF5 gives no reason" : text;
}

Target parse_target(const std::string& text) {
  const size_t at = text.rfind(":/");
  std::error_code none;
  if (at == text.npos || at == 0 || fs::exists(text, none)) return {text, ""};
  return {text.substr(0, at), text.substr(at + 1)};
}

uint64_t Dataset::count() const {
  uint64_t n = 1;
  for (const hsize_t e : extents) n *= e;
  return n;
}

const Filter* Dataset::ours() const {
  const auto found = std::find_if(filters.begin(), filters.end(),
                                  [](const Filter& f) { return f.id == H5NEURAL_FILTER_ID; });
  return found == filters.end() ? nullptr : &*found;
}

Handle open_file(const std::string& path, size_t cache) {
  std::error_code none;
  if (!fs::exists(path, none)) fail("{}: no such file", path);
  const Handle fapl(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  if (cache > 0) H5Pset_cache(fapl, 0, kCacheSlots, cache, 1.0);
  Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, fapl), H5Fclose);
  if (!file.valid()) {
    unsigned major = 0, minor = 0, release = 0;
    H5get_libversion(&major, &minor, &release);
    fail("{}: HDF5 {}.{}.{} cannot open it ({}); check that it is an HDF5 file that no program writes now",
         path, major, minor, release, hdf5_error());
  }
  return file;
}

Handle open_file_to_write(const std::string& path) {
  Handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
  if (!file.valid()) fail("{} cannot be opened for writing ({})", path, hdf5_error());
  return file;
}

std::vector<std::string> list_datasets(hid_t file, const Target& target) {
  std::vector<std::string> found;
  if (target.dataset.empty()) {
    if (H5Ovisit1(file, H5_INDEX_NAME, H5_ITER_INC, collect_dataset, &found) < 0) {
      fail("{}: its groups cannot be read ({})", target.file, hdf5_error());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  const Handle dataset(H5Dopen2(file, target.dataset.c_str(), H5P_DEFAULT), H5Dclose);
  if (!dataset.valid()) {
    fail("{}: there is no dataset {}; `h5neural info {}` lists them", target.file, target.dataset,
         target.file);
  }
  return {target.dataset};
}

Dataset open_dataset(hid_t file, const std::string& path) {
  Dataset d;
  d.path = path;
  d.id = Handle(H5Dopen2(file, path.c_str(), H5P_DEFAULT), H5Dclose);
  if (!d.id.valid()) fail("dataset {} cannot be opened ({})", path, hdf5_error());
  const Handle type(H5Dget_type(d.id), H5Tclose);
  const Handle space(H5Dget_space(d.id), H5Sclose);
  const Handle dcpl(H5Dget_create_plist(d.id), H5Pclose);
  const int rank = H5Sget_simple_extent_ndims(space);
  if (!type.valid() || !dcpl.valid() || rank < 0) fail("dataset {} cannot be read ({})", path, hdf5_error());
  d.extents.resize(static_cast<size_t>(rank));
  if (rank > 0) H5Sget_simple_extent_dims(space, d.extents.data(), nullptr);
  if (H5Sget_simple_extent_type(space) == H5S_NULL) d.extents = {0};
  d.stored_bytes = H5Dget_storage_size(d.id);
  describe_type(type, d);
  describe_layout(dcpl, d);
  describe_fill(dcpl, d);
  return d;
}

haddr_t address_of(hid_t object) {
  H5O_info_t info{};
  return H5Oget_info(object, &info) < 0 ? HADDR_UNDEF : info.addr;
}

std::optional<StoredChunk> read_stored_chunk(const Dataset& dataset, const Extents& offset) {
  // Asked by its place: HDF5 answers with size 0 or with an error for a chunk that is not stored.
  unsigned mask = 0;
  haddr_t address = HADDR_UNDEF;
  hsize_t size = 0;
  if (H5Dget_chunk_info_by_coord(dataset.id, offset.data(), &mask, &address, &size) < 0) {
    fail("{}: the chunk at {} cannot be found ({})", dataset.path, extents_text(offset), hdf5_error());
  }
  if (address == HADDR_UNDEF || size == 0) return std::nullopt;
  StoredChunk chunk;
  chunk.bytes.resize(size);
  chunk.file_bytes = size;
  uint32_t skipped = 0;
  if (H5Dread_chunk(dataset.id, H5P_DEFAULT, offset.data(), &skipped, chunk.bytes.data()) < 0) {
    fail("{}: the chunk at {} cannot be read ({})", dataset.path, extents_text(offset), hdf5_error());
  }
  unwrap(dataset, skipped, chunk);
  return chunk;
}

void read_block(const Dataset& dataset, const Extents& offset, const Extents& size, hid_t memory_type,
                void* out) {
  const Handle file_space(H5Dget_space(dataset.id), H5Sclose);
  Handle memory_space;
  if (size.empty()) {
    memory_space = Handle(H5Screate(H5S_SCALAR), H5Sclose);
  } else {
    memory_space = Handle(H5Screate_simple(static_cast<int>(size.size()), size.data(), nullptr), H5Sclose);
    H5Sselect_hyperslab(file_space, H5S_SELECT_SET, offset.data(), nullptr, size.data(), nullptr);
  }
  if (H5Dread(dataset.id, memory_type, memory_space, file_space, H5P_DEFAULT, out) < 0) {
    fail("{}: the block at {} cannot be read ({})", dataset.path, extents_text(offset), hdf5_error());
  }
}

void read_whole_chunk(const Dataset& dataset, const Extents& offset, const Extents& chunk, hid_t memory_type,
                      std::vector<uint8_t>& out) {
  const size_t element = H5Tget_size(memory_type);
  const Handle memory(H5Screate_simple(static_cast<int>(chunk.size()), chunk.data(), nullptr), H5Sclose);
  out.assign(static_cast<size_t>(H5Sget_simple_extent_npoints(memory)) * element, 0);
  const Extents size = clip_block(dataset.extents, chunk, offset), zero(chunk.size(), 0);
  if (size != chunk && dataset.fill) {
    const Handle dcpl(H5Dget_create_plist(dataset.id), H5Pclose);
    std::vector<uint8_t> fill(element);
    if (H5Pget_fill_value(dcpl, memory_type, fill.data()) >= 0) {
      for (size_t i = 0; i < out.size(); ++i) out[i] = fill[i % element];
    }
  }
  const Handle file_space(H5Dget_space(dataset.id), H5Sclose);
  H5Sselect_hyperslab(file_space, H5S_SELECT_SET, offset.data(), nullptr, size.data(), nullptr);
  H5Sselect_hyperslab(memory, H5S_SELECT_SET, zero.data(), nullptr, size.data(), nullptr);
  if (H5Dread(dataset.id, memory_type, memory, file_space, H5P_DEFAULT, out.data()) < 0) {
    fail("{}: the chunk at {} cannot be read ({})", dataset.path, extents_text(offset), hdf5_error());
  }
}

bool next_block(const Extents& extents, const Extents& block, Extents& offset) {
  if (std::find(extents.begin(), extents.end(), 0) != extents.end()) return false;
  if (offset.empty()) {
    offset.assign(std::max<size_t>(extents.size(), 1), 0);
    return true;
  }
  for (size_t a = extents.size(); a-- > 0;) {
    offset[a] += block[a];
    if (offset[a] < extents[a]) return true;
    offset[a] = 0;
  }
  return false;
}

Extents clip_block(const Extents& extents, const Extents& block, const Extents& offset) {
  Extents size(extents.size());
  for (size_t a = 0; a < size.size(); ++a) size[a] = std::min(block[a], extents[a] - offset[a]);
  return size;
}

Extents parse_extents(const std::string& option, const std::string& text) {
  Extents extents;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    hsize_t n = 0;
    const auto parsed = std::from_chars(text.data() + at, text.data() + end, n);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + end || n == 0) {
      fail("{} {} cannot be read; give whole numbers above 0, such as 1,32,32,32", option, text);
    }
    extents.push_back(n);
    at = end + 1;
  }
  return extents;
}

std::string extents_text(const Extents& extents) { return fmt::format("[{}]", fmt::join(extents, ", ")); }

}  // namespace h5neural::tool

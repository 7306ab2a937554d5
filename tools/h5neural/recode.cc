// recode.cc: see recode.h.
#include "recode.h"

#include <algorithm>
#include <functional>

#include "cd_values.h"
#include "filter_id.h"
#include "h5neural/h5neural.h"
#include "payload_summary.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

constexpr uint64_t kDefaultChunkBytes = uint64_t{1} << 20;

uint64_t product(const Extents& e) {
  uint64_t n = 1;
  for (const hsize_t v : e) n *= v;
  return n;
}

// The object properties of the old dataset that do not belong to its layout or filters.
Handle properties_like(hid_t old, hid_t type, const Extents& chunk, const std::vector<unsigned>& words,
                       const std::string& path) {
  Handle dcpl(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5D_fill_value_t fill = H5D_FILL_VALUE_DEFAULT;
  H5Pfill_value_defined(old, &fill);
  bool fine = true;
  if (fill == H5D_FILL_VALUE_USER_DEFINED) {
    std::vector<uint8_t> value(H5Tget_size(type));
    fine =
        H5Pget_fill_value(old, type, value.data()) >= 0 && H5Pset_fill_value(dcpl, type, value.data()) >= 0;
  } else if (fill == H5D_FILL_VALUE_UNDEFINED) {
    fine = H5Pset_fill_value(dcpl, type, nullptr) >= 0;
  }
  H5D_fill_time_t when = H5D_FILL_TIME_IFSET;
  if (H5Pget_fill_time(old, &when) >= 0) H5Pset_fill_time(dcpl, when);
  unsigned flags = 0, most = 0, least = 0;
  if (H5Pget_attr_creation_order(old, &flags) >= 0) H5Pset_attr_creation_order(dcpl, flags);
  if (H5Pget_attr_phase_change(old, &most, &least) >= 0) H5Pset_attr_phase_change(dcpl, most, least);
  hbool_t times = true;
  if (H5Pget_obj_track_times(old, &times) >= 0) H5Pset_obj_track_times(dcpl, times);
  fine = fine && H5Pset_chunk(dcpl, static_cast<int>(chunk.size()), chunk.data()) >= 0;
  H5Pset_alloc_time(dcpl, H5D_ALLOC_TIME_INCR);
  if (H5Pget_layout(old) == H5D_CHUNKED && H5Pget_chunk_opts(old, &flags) >= 0 && flags != 0)
    H5Pset_chunk_opts(dcpl, flags);
  fine = fine && H5Pset_filter(dcpl, H5NEURAL_FILTER_ID, H5Z_FLAG_MANDATORY, words.size(), words.data()) >= 0;
  if (!fine) fail("{}: its properties cannot be taken over ({})", path, hdf5_error());
  return dcpl;
}

// Whether the block at `offset` has values of its own in a dataset of chunks like the new ones.
bool is_stored(const Dataset& from, const Extents& offset) {
  unsigned mask = 0;
  haddr_t address = HADDR_UNDEF;
  hsize_t size = 0;
  if (H5Dget_chunk_info_by_coord(from.id, offset.data(), &mask, &address, &size) < 0) return true;
  return address != HADDR_UNDEF;
}

bool never_written(const Dataset& from) {
  H5D_space_status_t status = H5D_SPACE_STATUS_ERROR;
  return H5Dget_space_status(from.id, &status) >= 0 && status == H5D_SPACE_STATUS_NOT_ALLOCATED;
}

void write_block(hid_t to, const std::string& path, const Extents& offset, const Extents& size,
                 hid_t memory_type, const void* values) {
  const Handle file_space(H5Dget_space(to), H5Sclose);
  const Handle memory(H5Screate_simple(static_cast<int>(size.size()), size.data(), nullptr), H5Sclose);
  H5Sselect_hyperslab(file_space, H5S_SELECT_SET, offset.data(), nullptr, size.data(), nullptr);
  if (H5Dwrite(to, memory_type, memory, file_space, H5P_DEFAULT, values) < 0) {
    fail("{}: the chunk at {} cannot be written ({})", path, extents_text(offset), hdf5_error());
  }
}

// A dataset at `link` like `from`, with the filter, and no values yet.
Handle create_coded(const Dataset& from, hid_t type, const NewLink& link, const Extents& chunk,
                    const std::vector<unsigned>& words) {
  const Handle old(H5Dget_create_plist(from.id), H5Pclose);
  const Handle dcpl = properties_like(old, type, chunk, words, from.path);
  const Handle space(H5Dget_space(from.id), H5Sclose);
  Handle to(H5Dcreate2(link.parent, link.name, type, space, link.properties, dcpl, H5P_DEFAULT), H5Dclose);
  if (!to.valid()) fail("{}: it cannot be created with the filter ({})", from.path, hdf5_error());
  return to;
}

}  // namespace

std::string why_not_served(const Dataset& d) {
  if (d.element == Element::kOther) return fmt::format("{}; float32 and float64 are served", d.type_text);
  if (d.extents.empty()) return "one value only";
  if (d.extents.size() > H5N_MAX_RANK)
    return fmt::format("rank {}; 1 to {} are served", d.extents.size(), H5N_MAX_RANK);
  const Handle dcpl(H5Dget_create_plist(d.id), H5Pclose);
  if (dcpl.valid() && H5Pget_layout(dcpl) == H5D_VIRTUAL)
    return "a virtual dataset, whose values are elsewhere";
  return {};
}

Extents choose_chunk(const Dataset& d, const Extents& asked) {
  if (asked.empty() && !d.chunk.empty()) return d.chunk;
  Extents chunk = asked.empty() ? d.extents : asked;
  if (!asked.empty()) {
    for (size_t a = 0; a < chunk.size(); ++a)
      chunk[a] = std::min(chunk[a], std::max<hsize_t>(d.extents[a], 1));
    return chunk;
  }
  for (hsize_t& n : chunk) n = std::max<hsize_t>(n, 1);
  while (product(chunk) * d.element_bytes > kDefaultChunkBytes) {
    hsize_t& longest = *std::max_element(chunk.begin(), chunk.end());  // alike extents code best
    longest = (longest + 1) / 2;
  }
  return chunk;
}

void recode(const Dataset& from, hid_t type, const NewLink& link, const Extents& chunk,
            const std::vector<unsigned>& words) {
  const Handle to = create_coded(from, type, link, chunk, words);
  if (never_written(from)) return;
  const hid_t memory_type = from.element == Element::kFloat32 ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
  std::vector<uint8_t> values(product(chunk) * from.element_bytes);
  const bool alike = chunk == from.chunk;
  for (Extents offset; next_block(from.extents, chunk, offset);) {
    if (alike && !is_stored(from, offset)) continue;
    const Extents size = clip_block(from.extents, chunk, offset);
    read_block(from, offset, size, memory_type, values.data());
    write_block(to, from.path, offset, size, memory_type, values.data());
  }
}

std::vector<uint8_t> payload_with_model(const Dataset& from, const Dataset& coded, const Extents& offset,
                                        uint64_t model) {
  const std::vector<unsigned>& words = coded.ours()->words;
  h5n_params params{};
  Message why;
  if (cdv_read_stored(words.data(), words.size(), &params, &why) != 0) fail("{}: {}", coded.path, why.text);
  params.model = model;
  const Handle type(H5Dget_type(coded.id), H5Tclose);
  std::vector<uint8_t> values;
  read_whole_chunk(from, offset, coded.chunk, type, values);
  void* bytes = nullptr;
  size_t size = 0;
  h5n_error error{};
  if (h5n_encode(&params, values.data(), values.size(), &bytes, &size, &error) != H5N_OK)
    fail("{}, chunk at {}: {}", from.path, extents_text(offset), error.message);
  const auto* const first = static_cast<const uint8_t*>(bytes);
  std::vector<uint8_t> payload(first, first + size);
  h5n_free(bytes);
  return payload;
}

std::vector<uint8_t> payload_without_model(const Dataset& from, const Dataset& coded, const Extents& offset) {
  return payload_with_model(from, coded, offset, H5N_MODEL_NONE);
}

namespace {

// The payload for a chunk, from the one that is stored.
using Change = std::function<std::vector<uint8_t>(const StoredChunk& stored, const Extents& offset)>;

void recode_chunks(const Dataset& from, const Dataset& coded, hid_t type, const NewLink& link,
                   const std::vector<unsigned>& words, const Change& change) {
  const Handle to = create_coded(from, type, link, coded.chunk, words);
  for (Extents offset; next_block(coded.extents, coded.chunk, offset);) {
    const auto stored = read_stored_chunk(coded, offset);
    if (!stored) continue;
    const std::vector<uint8_t> payload = change(*stored, offset);
    const uint32_t skipped = stored->unfiltered ? 1 : 0;  // a mask: ours is the only filter
    if (H5Dwrite_chunk(to, H5P_DEFAULT, skipped, offset.data(), payload.size(), payload.data()) < 0)
      fail("{}: the chunk at {} cannot be written ({})", from.path, extents_text(offset), hdf5_error());
  }
}

}  // namespace

void recode_without(const Dataset& from, const Dataset& coded, hid_t type, const NewLink& link,
                    const std::vector<unsigned>& words, const std::set<uint64_t>& without) {
  recode_chunks(from, coded, type, link, words, [&](const StoredChunk& stored, const Extents& offset) {
    std::string
        none;  // a chunk that is no payload (an edge that HDF5 was told not to filter) is taken over too
    const auto info = inspect(stored, none);
    return info && without.contains(info->model) ? payload_without_model(from, coded, offset) : stored.bytes;
  });
}

void take_over(const Dataset& from, const Dataset& coded, hid_t type, const NewLink& link,
               const std::vector<unsigned>& words) {
  recode_chunks(from, coded, type, link, words,
                [](const StoredChunk& stored, const Extents&) { return stored.bytes; });
}

Smaller recode_smaller(const Dataset& from, const Dataset& coded, hid_t type, const NewLink& link,
                       const std::vector<unsigned>& words, uint64_t model) {
  Smaller s;
  recode_chunks(from, coded, type, link, words, [&](const StoredChunk& stored, const Extents& offset) {
    std::vector<uint8_t> payload = stored.bytes;
    if (!stored.unfiltered) {
      std::vector<uint8_t> with = payload_with_model(from, coded, offset, model);
      if (with.size() < payload.size()) {
        payload = std::move(with);
        ++s.chunks;
      }
    }
    s.before += stored.bytes.size();
    s.after += payload.size();
    return payload;
  });
  return s;
}

}  // namespace h5neural::tool

// chunk_output.cc: see chunk_output.h.
#include "chunk_output.h"

#include <fmt/format.h>

#include "tool_error.h"

namespace h5neural::tool {

CompressedInput open_compressed(const std::string& target) {
  const Target t = parse_target(target);
  if (t.dataset.empty()) fail("say which dataset: {}:/dataset", t.file);
  CompressedInput in;
  in.name = target;
  in.file = open_file(t.file);
  in.dataset = open_dataset(in.file, list_datasets(in.file, t).front());
  if (in.dataset.ours() == nullptr || in.dataset.chunk.empty()) {
    fail("{} is not compressed by h5neural; `h5neural repack` does it", target);
  }
  if (in.dataset.element == Element::kOther)
    fail("{} holds {}, which h5neural never writes", target, in.dataset.type_text);
  return in;
}

Extents chunk_grid(const Dataset& d) {
  Extents grid(d.extents.size());
  for (size_t a = 0; a < grid.size(); ++a) grid[a] = (d.extents[a] + d.chunk[a] - 1) / d.chunk[a];
  return grid;
}

Extents chunk_place(const Dataset& d, const Extents& offset) {
  Extents place(offset.size());
  for (size_t a = 0; a < place.size(); ++a) place[a] = offset[a] / d.chunk[a];
  return place;
}

Handle make_dataset(hid_t file, const std::string& name, hid_t type, const Extents& extents,
                    hid_t properties) {
  const Handle space(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), H5Sclose);
  Handle dataset(H5Dcreate2(file, name.c_str(), type, space, H5P_DEFAULT, properties, H5P_DEFAULT), H5Dclose);
  if (!dataset.valid()) fail("the dataset {} cannot be made ({})", name, hdf5_error());
  return dataset;
}

void write_block(hid_t dataset, const Extents& offset, const Extents& size, const Extents& held,
                 hid_t memory_type, const void* values) {
  const Handle file_space(H5Dget_space(dataset), H5Sclose);
  const Handle memory(H5Screate_simple(static_cast<int>(held.size()), held.data(), nullptr), H5Sclose);
  const Extents zero(held.size(), 0);
  H5Sselect_hyperslab(file_space, H5S_SELECT_SET, offset.data(), nullptr, size.data(), nullptr);
  H5Sselect_hyperslab(memory, H5S_SELECT_SET, zero.data(), nullptr, size.data(), nullptr);
  if (H5Dwrite(dataset, memory_type, memory, file_space, H5P_DEFAULT, values) < 0) {
    fail("the block at {} cannot be written ({})", extents_text(offset), hdf5_error());
  }
}

void write_text(hid_t object, const std::string& name, const std::string& text) {
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const char* const characters = text.c_str();
  const Handle attribute(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  if (H5Awrite(attribute, type, &characters) < 0)
    fail("the attribute {} cannot be written ({})", name, hdf5_error());
}

void write_numbers(hid_t object, const std::string& name, const Extents& numbers) {
  const hsize_t count = numbers.size();
  const Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose);
  const Handle attribute(H5Acreate2(object, name.c_str(), H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT),
                         H5Aclose);
  if (H5Awrite(attribute, H5T_NATIVE_HSIZE, numbers.data()) < 0) {
    fail("the attribute {} cannot be written ({})", name, hdf5_error());
  }
}

}  // namespace h5neural::tool

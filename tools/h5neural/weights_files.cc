// weights_files.cc: see weights_files.h.
#include "weights_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tool_error.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMostBytes = uint64_t{512} << 20;  // of one weights file
constexpr uint64_t kSmallestBlock = 1024;
constexpr size_t kMagicBytes = 16;  // of a record

bool is_sha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// The record of where weights are.
FileBytes record_of(const std::vector<CarriedWeights>& weights) {
  std::vector<h5n_carried> entries(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    std::memcpy(entries[i].sha256, weights[i].sha256.c_str(), weights[i].sha256.size() + 1);
    entries[i].offset = weights[i].offset;
    entries[i].length = weights[i].length;
  }
  FileBytes record(H5N_CARRIED_RECORD_BYTES);
  size_t used = 0;
  h5n_error error{};
  if (h5n_carried_record(entries.data(), static_cast<uint32_t>(entries.size()), record.data(), &used,
                         &error) != H5N_OK) {
    fail("{}", error.message);
  }
  record.resize(used);
  return record;
}

herr_t collect_name(hid_t, const char* name, const H5L_info_t* info, void* data) {
  if (info->type == H5L_TYPE_HARD) static_cast<std::vector<std::string>*>(data)->push_back(name);
  return 0;
}

}  // namespace

std::vector<h5n_weights> all_weights() {
  std::vector<h5n_weights> all;
  h5n_weights weights{};
  for (uint32_t i = 0; h5n_weights_get(i, &weights) != 0; ++i) all.push_back(weights);
  return all;
}

std::optional<h5n_weights> find_weights(const std::function<bool(const h5n_weights&)>& wanted) {
  const std::vector<h5n_weights> all = all_weights();
  const auto found = std::find_if(all.begin(), all.end(), wanted);
  return found == all.end() ? std::nullopt : std::optional(*found);
}

h5n_weights use_weights_file(const std::string& path) {
  const auto same = [&path](const h5n_weights& w) {
    std::error_code none;
    return fs::equivalent(w.source, path, none);
  };
  auto found = find_weights(same);
  if (!found) {
    const char* const others = std::getenv("H5NEURAL_WEIGHTS_PATH");
    const std::string absolute = fs::absolute(path).string();
    setenv("H5NEURAL_WEIGHTS_PATH", (absolute + (others != nullptr ? std::string(":") + others : "")).c_str(),
           1);
    found = find_weights(same);
  }
  if (!found) fail("{}: no such weights file; a path with ':' in it cannot be searched", path);
  if (found->problem[0] != '\0') fail("the weights {} are refused: {}", path, found->problem);
  return *found;
}

std::optional<uint64_t> hash_of_digits(const std::string& text) {
  if (text.size() < 16 || text.size() > 64 || text.find_first_not_of("0123456789abcdefABCDEF") != text.npos) {
    return std::nullopt;
  }
  return std::strtoull(text.substr(0, 16).c_str(), nullptr, 16);
}

namespace {

// The weights of a family, where no weights have its name: those of the first place of the search order that
// has some, and there is one only. Nothing where there are none.
std::optional<h5n_weights> weights_of_family(const std::string& family) {
  if (find_weights([&](const h5n_weights& w) { return family == w.name; })) return std::nullopt;
  std::vector<h5n_weights> found;
  std::string names;
  find_weights([&](const h5n_weights& w) {
    if (family != w.family || w.problem[0] != '\0') return false;
    if (!found.empty() && fs::path(w.source).parent_path() != fs::path(found[0].source).parent_path())
      return true;
    if (std::none_of(found.begin(), found.end(), [&](const auto& f) { return f.hash == w.hash; })) {
      found.push_back(w);
      names.append(" ").append(w.name);
    }
    return false;
  });
  if (found.size() > 1) fail("several weights are of family {}:{}; name one of them", family, names);
  return found.empty() ? std::nullopt : std::optional(found.front());
}

}  // namespace

h5n_weights weights_called(const std::string& name) {
  std::error_code none;
  if (fs::is_regular_file(name, none)) return use_weights_file(name);
  if (const auto family = weights_of_family(name)) return *family;
  std::string known;
  const auto digits = hash_of_digits(name);
  const auto found = find_weights([&](const h5n_weights& w) {
    known += std::string(" ") + w.name;
    return name == w.name || (digits && *digits == w.hash);
  });
  if (!found) {
    fail(
        "no weights are called {}; give auto, none, a name (installed are:{}), 16 or more digits of their "
        "SHA-256, or "
        "their file",
        name, known.empty() ? " none" : known);
  }
  if (found->problem[0] != '\0') fail("the weights {} are refused: {}", name, found->problem);
  return *found;
}

FileBytes read_weights_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  const auto size = static_cast<int64_t>(in.tellg());
  if (!in || size < 0) fail("{} cannot be read; check its permissions", path);
  if (static_cast<uint64_t>(size) > kMostBytes) fail("{} is over 512 MiB; no weights are that large", path);
  FileBytes bytes(static_cast<size_t>(size));
  in.seekg(0);
  if (!in.read(reinterpret_cast<char*>(bytes.data()), size)) fail("{} cannot be read to its end", path);
  return bytes;
}

std::string sha256_of(const FileBytes& bytes) {
  char digits[65];
  h5n_sha256(bytes.data(), bytes.size(), digits);
  return digits;
}

uint64_t CarriedWeights::hash() const { return hash_of_digits(sha256).value_or(0); }

std::vector<CarriedWeights> list_carried(hid_t file) {
  std::vector<CarriedWeights> found;
  if (H5Lexists(file, kCarriedGroup, H5P_DEFAULT) <= 0) return found;
  const Handle group(H5Gopen2(file, kCarriedGroup, H5P_DEFAULT), H5Gclose);
  std::vector<std::string> names;
  if (!group.valid() || H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, nullptr, collect_name, &names) < 0)
    return found;
  for (const std::string& name : names) {
    if (!is_sha256(name)) continue;
    const Handle dataset(H5Dopen2(group, name.c_str(), H5P_DEFAULT), H5Dclose);
    if (!dataset.valid()) continue;
    const Handle type(H5Dget_type(dataset), H5Tclose);
    const Handle space(H5Dget_space(dataset), H5Sclose);
    const hssize_t length = H5Sget_simple_extent_npoints(space);
    const haddr_t offset = H5Dget_offset(dataset);
    if (H5Tequal(type, H5T_STD_U8LE) <= 0 || H5Sget_simple_extent_ndims(space) != 1 || length <= 0 ||
        static_cast<uint64_t>(length) > kMostBytes || offset == HADDR_UNDEF) {
      continue;
    }
    found.push_back({name, offset, static_cast<uint64_t>(length)});
  }
  return found;
}

FileBytes read_carried(hid_t file, const CarriedWeights& weights) {
  hsize_t size = 0;
  if (H5Fget_filesize(file, &size) < 0 || weights.length > size)
    fail("the weights {} are cut off", weights.sha256);
  const std::string path = fmt::format("/{}/{}", kCarriedGroup, weights.sha256);
  const Handle dataset(H5Dopen2(file, path.c_str(), H5P_DEFAULT), H5Dclose);
  FileBytes bytes(weights.length);
  if (!dataset.valid() ||
      H5Dread(dataset, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()) < 0) {
    fail("the weights {} cannot be read ({})", path, hdf5_error());
  }
  if (sha256_of(bytes) != weights.sha256) {
    fail("the weights {} have not the SHA-256 that their name says; restore the file from a copy", path);
  }
  return bytes;
}

void add_carried(hid_t file, const std::string& sha256, const std::string& name, const FileBytes& bytes) {
  const bool there = H5Lexists(file, kCarriedGroup, H5P_DEFAULT) > 0;
  const Handle group(there ? H5Gopen2(file, kCarriedGroup, H5P_DEFAULT)
                           : H5Gcreate2(file, kCarriedGroup, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                     H5Gclose);
  const Handle dcpl(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_layout(dcpl, H5D_CONTIGUOUS);
  H5Pset_alloc_time(dcpl, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(dcpl, H5D_FILL_TIME_NEVER);
  const hsize_t length = bytes.size();
  const Handle space(H5Screate_simple(1, &length, nullptr), H5Sclose);
  const Handle dataset(H5Dcreate2(group, sha256.c_str(), H5T_STD_U8LE, space, H5P_DEFAULT, dcpl, H5P_DEFAULT),
                       H5Dclose);
  bool fine = dataset.valid() &&
              H5Dwrite(dataset, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()) >= 0;
  if (fine && !name.empty()) {  // for people who look at the file
    const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
    H5Tset_size(type, name.size());
    const Handle scalar(H5Screate(H5S_SCALAR), H5Sclose);
    const Handle attribute(H5Acreate2(dataset, "name", type, scalar, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    fine = H5Awrite(attribute, type, name.data()) >= 0;
  }
  if (!fine) fail("the weights {} cannot be put into the file ({})", sha256, hdf5_error());
}

uint64_t user_block_for(uint64_t kept, size_t count) {
  const size_t weights = std::clamp<size_t>(count, 1, H5N_MOST_CARRIED);
  const uint64_t record = record_of(std::vector<CarriedWeights>(weights, {std::string(64, '0')})).size();
  return std::max(kSmallestBlock, 2 * std::bit_ceil(std::max<uint64_t>(kept, record)));
}

FileBytes foreign_user_block(const std::string& path, uint64_t user_block) {
  FileBytes bytes(user_block);
  std::ifstream in(path, std::ios::binary);
  if (!in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(user_block))) {
    fail("the user block of {} cannot be read", path);
  }
  const FileBytes ours = record_of({{std::string(64, '0')}});
  const auto half = bytes.begin() + static_cast<ptrdiff_t>(user_block / 2);
  if (user_block >= kSmallestBlock && std::equal(ours.begin(), ours.begin() + kMagicBytes, half)) {
    bytes.resize(user_block / 2);
    if (std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; })) bytes.clear();
  }
  return bytes;
}

void write_user_block(const std::string& path, uint64_t user_block, const FileBytes& kept,
                      const std::vector<CarriedWeights>& weights) {
  if (user_block == 0) return;
  FileBytes block(user_block);
  std::copy(kept.begin(), kept.end(), block.begin());
  if (!weights.empty()) {
    const FileBytes record = record_of(weights);
    std::copy(record.begin(), record.end(), block.begin() + static_cast<ptrdiff_t>(user_block / 2));
  }
  std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
  out.write(reinterpret_cast<const char*>(block.data()), static_cast<std::streamsize>(block.size()));
  out.flush();
  if (!out) fail("the user block of {} cannot be written; check the disk's space", path);
}

}  // namespace h5neural::tool

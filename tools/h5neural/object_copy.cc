// object_copy.cc: see object_copy.h. Objects are known by their address in the input, so that what several
// links lead to is copied once, and references find what they meant. First all objects and links, then
// attributes and references, whose targets exist by then.
#include "object_copy.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "tool_error.h"

namespace h5neural::tool {
namespace {

constexpr uint64_t kBlockBytes = uint64_t{16} << 20;  // of datasets of references, at a time

void check(bool fine, const std::string& what) {
  if (!fine) fail("{} cannot be copied ({})", what, hdf5_error());
}

bool has_references(hid_t type) { return H5Tdetect_class(type, H5T_REFERENCE) > 0; }

std::string joined(const std::string& group, const std::string& name) {
  return group == "/" ? "/" + name : group + "/" + name;
}

// Links of a group or attributes of an object, by creation where that is known, else by name.
H5_index_t index_for(unsigned flags) {
  return (flags & H5P_CRT_ORDER_TRACKED) != 0 ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
}

struct Link {
  std::string name;
  H5L_info_t info;
};

herr_t collect_link(hid_t, const char* name, const H5L_info_t* info, void* data) {
  static_cast<std::vector<Link>*>(data)->push_back({name, *info});
  return 0;
}

herr_t collect_name(hid_t, const char* name, const H5A_info_t*, void* data) {
  static_cast<std::vector<std::string>*>(data)->push_back(name);
  return 0;
}

// Memory that HDF5 filled: strings and sequences in it are given back.
class Values {
 public:
  Values(hid_t type, hid_t space, size_t bytes) : type_(type), space_(space), bytes_(bytes) {}
  Values(const Values&) = delete;
  Values& operator=(const Values&) = delete;
  ~Values() {
    if (H5Tdetect_class(type_, H5T_VLEN) > 0 || H5Tdetect_class(type_, H5T_STRING) > 0)
      H5Dvlen_reclaim(type_, space_, H5P_DEFAULT, bytes_.data());
  }
  uint8_t* data() { return bytes_.data(); }

 private:
  hid_t type_, space_;
  std::vector<uint8_t> bytes_;
};

class Copier {
 public:
  Copier(hid_t input, hid_t output, const std::set<std::string>& left_out, const WriteDataset& write)
      : in_(input), out_(output), left_out_(left_out), write_(write) {}

  CopyCounts run() {
    const Handle root(H5Gopen2(in_, "/", H5P_DEFAULT), H5Gclose);
    check(root.valid(), "/");
    copy_types();
    remember(address_of(root), "/");
    groups_.emplace_back("/");
    while (!groups_.empty()) {
      const std::string path = std::move(groups_.front());
      groups_.pop_front();
      fill_group(path);
    }
    if (!types_.empty()) H5Ldelete(out_, type_folder_.c_str(), H5P_DEFAULT);
    for (const std::string& path : with_references_) fill_references(path);
    for (const std::string& path : order_) copy_attributes(path);
    return counts_;
  }

 private:
  void remember(haddr_t address, const std::string& path) {
    copied_[address] = path;
    order_.push_back(path);
  }

  // ---- named types: first all of them, in a folder that is removed in the end, since what has such a type
  // may come before the link to it
  static herr_t collect_type(hid_t, const char* name, const H5O_info_t* info, void* data) {
    if (info->type == H5O_TYPE_NAMED_DATATYPE)
      (*static_cast<std::map<haddr_t, std::string>*>(data))[info->addr] = std::string("/") + name;
    return 0;
  }

  void copy_types() {
    std::map<haddr_t, std::string> found;
    check(H5Ovisit1(in_, H5_INDEX_NAME, H5_ITER_INC, collect_type, &found) >= 0,
          "the input's list of objects");
    if (found.empty()) return;
    type_folder_ = "/.types of the copy";
    while (H5Lexists(in_, type_folder_.c_str(), H5P_DEFAULT) > 0) type_folder_ += "_";
    const Handle folder(H5Gcreate2(out_, type_folder_.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                        H5Gclose);
    check(folder.valid(), "the named types");
    const Handle ocpypl(H5Pcreate(H5P_OBJECT_COPY), H5Pclose);
    H5Pset_copy_object(ocpypl, H5O_COPY_WITHOUT_ATTR_FLAG);
    for (const auto& [address, path] : found) {
      const std::string name = fmt::format("{}", types_.size());
      check(H5Ocopy(in_, path.c_str(), folder, name.c_str(), ocpypl, H5P_DEFAULT) >= 0, path);
      types_[address] = joined(type_folder_, name);
    }
  }

  // The type to create something with in the output.
  Handle output_type(hid_t type) const {
    if (H5Tcommitted(type) > 0) {
      const auto found = types_.find(address_of(type));
      if (found != types_.end()) {
        // After the folder is gone the type is known by the path of its copy.
        const auto copy = copied_.find(found->first);
        const std::string& path = copy != copied_.end() ? copy->second : found->second;
        Handle named(H5Topen2(out_, path.c_str(), H5P_DEFAULT), H5Tclose);
        if (named.valid()) return named;
      }
    }
    return {H5Tcopy(type), H5Tclose};
  }

  // ---- groups and links
  void fill_group(const std::string& path) {
    const Handle from(H5Gopen2(in_, path.c_str(), H5P_DEFAULT), H5Gclose);
    const Handle to(H5Gopen2(out_, path.c_str(), H5P_DEFAULT), H5Gclose);
    check(from.valid() && to.valid(), path);
    const Handle properties(H5Gget_create_plist(from), H5Pclose);
    unsigned flags = 0;
    H5Pget_link_creation_order(properties, &flags);
    std::vector<Link> links;
    check(H5Literate(from, index_for(flags), H5_ITER_INC, nullptr, collect_link, &links) >= 0, path);
    ++counts_.groups;
    for (const Link& link : links) {
      if (path == "/" && left_out_.contains(link.name)) continue;
      copy_link(from, to, path, link);
    }
  }

  void copy_link(hid_t from, hid_t to, const std::string& group, const Link& link) {
    const std::string path = joined(group, link.name);
    const Handle lcpl(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
    H5Pset_char_encoding(lcpl, link.info.cset);
    ++counts_.links;
    if (link.info.type != H5L_TYPE_HARD) {
      copy_value_link(from, to, link, path, lcpl);
      return;
    }
    const auto known = copied_.find(link.info.u.address);
    if (known != copied_.end()) {
      check(H5Lcreate_hard(out_, known->second.c_str(), to, link.name.c_str(), lcpl, H5P_DEFAULT) >= 0, path);
      return;
    }
    copy_object(from, to, link, path, lcpl);
    remember(link.info.u.address, path);
  }

  static void copy_value_link(hid_t from, hid_t to, const Link& link, const std::string& path, hid_t lcpl) {
    std::vector<char> value(link.info.u.val_size + 1);
    const char* const name = link.name.c_str();
    check(H5Lget_val(from, name, value.data(), value.size(), H5P_DEFAULT) >= 0, path);
    herr_t done = -1;
    if (link.info.type == H5L_TYPE_SOFT) {
      done = H5Lcreate_soft(value.data(), to, name, lcpl, H5P_DEFAULT);
    } else if (link.info.type == H5L_TYPE_EXTERNAL) {
      const char *file = nullptr, *object = nullptr;
      unsigned flags = 0;
      check(H5Lunpack_elink_val(value.data(), link.info.u.val_size, &flags, &file, &object) >= 0, path);
      done = H5Lcreate_external(file, object, to, name, lcpl, H5P_DEFAULT);
    } else {
      done = H5Lcreate_ud(to, name, link.info.type, value.data(), link.info.u.val_size, lcpl, H5P_DEFAULT);
    }
    check(done >= 0, path);
  }

  void copy_object(hid_t from, hid_t to, const Link& link, const std::string& path, hid_t lcpl) {
    const char* const name = link.name.c_str();
    const Handle object(H5Oopen(from, name, H5P_DEFAULT), H5Oclose);
    check(object.valid(), path);
    switch (H5Iget_type(object)) {
      case H5I_GROUP: {
        const Handle gcpl(H5Gget_create_plist(object), H5Pclose);
        const Handle made(H5Gcreate2(to, name, lcpl, gcpl, H5P_DEFAULT), H5Gclose);
        check(made.valid(), path);
        groups_.push_back(path);
        break;
      }
      case H5I_DATATYPE: {
        const std::string& at = types_.at(link.info.u.address);
        check(H5Lcreate_hard(out_, at.c_str(), to, name, lcpl, H5P_DEFAULT) >= 0, path);
        ++counts_.types;
        break;
      }
      case H5I_DATASET:
        copy_dataset(object, from, to, name, path, lcpl);
        ++counts_.datasets;
        break;
      default:
        fail("{} is of a kind of object that this version does not know; use h5repack and `h5neural flags`",
             path);
    }
    copy_comment(object, to, name);
  }

  static void copy_comment(hid_t object, hid_t to, const char* name) {
    const ssize_t length = H5Oget_comment(object, nullptr, 0);
    if (length <= 0) return;
    std::vector<char> text(static_cast<size_t>(length) + 1);
    H5Oget_comment(object, text.data(), text.size());
    H5Oset_comment_by_name(to, name, text.data(), H5P_DEFAULT);
  }

  // ---- datasets
  void copy_dataset(hid_t dataset, hid_t from, hid_t to, const char* name, const std::string& path,
                    hid_t lcpl) {
    const Handle type(H5Dget_type(dataset), H5Tclose);
    check(type.valid(), path);
    const Handle made_with = output_type(type);
    if (write_(path, made_with, {to, name, lcpl})) return;
    const Handle dcpl(H5Dget_create_plist(dataset), H5Pclose);
    const bool elsewhere = H5Pget_layout(dcpl) == H5D_VIRTUAL || H5Pget_external_count(dcpl) > 0;
    if (has_references(type) && !elsewhere) {
      check_references(type, path);
      const Handle space(H5Dget_space(dataset), H5Sclose);
      const Handle made(H5Dcreate2(to, name, made_with, space, lcpl, dcpl, H5P_DEFAULT), H5Dclose);
      check(made.valid(), path);
      with_references_.push_back(path);
      return;
    }
    const Handle ocpypl(H5Pcreate(H5P_OBJECT_COPY), H5Pclose);
    unsigned flags = H5O_COPY_WITHOUT_ATTR_FLAG;
    if (H5Tcommitted(type) > 0 && types_.contains(address_of(type))) {
      flags |= H5O_COPY_MERGE_COMMITTED_DTYPE_FLAG;
      H5Padd_merge_committed_dtype_path(ocpypl, types_.at(address_of(type)).c_str());
    }
    H5Pset_copy_object(ocpypl, flags);
    check(H5Ocopy(from, name, to, name, ocpypl, lcpl) >= 0, path);
  }

  // ---- attributes
  static unsigned attribute_order(hid_t object) {
    unsigned flags = 0;
    const H5I_type_t kind = H5Iget_type(object);
    const Handle plist(kind == H5I_GROUP     ? H5Gget_create_plist(object)
                       : kind == H5I_DATASET ? H5Dget_create_plist(object)
                                             : H5Tget_create_plist(object),
                       H5Pclose);
    if (plist.valid()) H5Pget_attr_creation_order(plist, &flags);
    return flags;
  }

  void copy_attributes(const std::string& path) {
    const Handle from(H5Oopen(in_, path.c_str(), H5P_DEFAULT), H5Oclose);
    const Handle to(H5Oopen(out_, path.c_str(), H5P_DEFAULT), H5Oclose);
    check(from.valid() && to.valid(), path);
    std::vector<std::string> names;
    check(
        H5Aiterate2(from, index_for(attribute_order(from)), H5_ITER_INC, nullptr, collect_name, &names) >= 0,
        "the attributes of " + path);
    for (const std::string& name : names)
      copy_attribute(from, to, name, fmt::format("attribute {} of {}", name, path));
  }

  void copy_attribute(hid_t from, hid_t to, const std::string& name, const std::string& what) {
    const Handle old(H5Aopen(from, name.c_str(), H5P_DEFAULT), H5Aclose);
    check(old.valid(), what);
    const Handle type(H5Aget_type(old), H5Tclose);
    const Handle space(H5Aget_space(old), H5Sclose);
    const Handle acpl(H5Aget_create_plist(old), H5Pclose);
    const Handle made_with = output_type(type);
    const Handle made(H5Acreate2(to, name.c_str(), made_with, space, acpl, H5P_DEFAULT), H5Aclose);
    check(made.valid(), what);
    ++counts_.attributes;
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    if (count <= 0) return;
    const Handle memory(H5Tcopy(type), H5Tclose);
    Values values(memory, space, static_cast<size_t>(count) * H5Tget_size(memory));
    check(H5Aread(old, memory, values.data()) >= 0, what);
    if (has_references(type)) {
      check_references(type, what);
      translate_all(memory, values.data(), static_cast<size_t>(count));
    }
    check(H5Awrite(made, memory, values.data()) >= 0, what);
  }

  // ---- references
  // References of HDF5 1.12 are no plain numbers; this library's 1.10 interface cannot carry them over.
  static void check_references(hid_t type, const std::string& what) {
    const H5T_class_t kind = H5Tget_class(type);
    if (kind == H5T_REFERENCE) {
      if (H5Tequal(type, H5T_STD_REF_OBJ) <= 0 && H5Tequal(type, H5T_STD_REF_DSETREG) <= 0) {
        fail(
            "{} holds references of a kind that only HDF5 1.12 and later know; use h5repack -f with the "
            "words of "
            "`h5neural flags`",
            what);
      }
    } else if (kind == H5T_COMPOUND) {
      for (int m = 0; m < H5Tget_nmembers(type); ++m) {
        const Handle member(H5Tget_member_type(type, static_cast<unsigned>(m)), H5Tclose);
        check_references(member, what);
      }
    } else if (kind == H5T_ARRAY || kind == H5T_VLEN) {
      const Handle element(H5Tget_super(type), H5Tclose);
      check_references(element, what);
    }
  }

  // What is known of a type, so that millions of elements are walked without asking HDF5 each time.
  struct Part {
    enum Kind { kNone, kObject, kRegion, kMembers, kArray, kSequence } kind = kNone;
    size_t offset = 0;           // in the compound value that it is a member of
    size_t size = 0, count = 1;  // count: elements of an array
    std::vector<Part> members;   // of a compound value; one, the element, for arrays and sequences
  };

  static Part examine(hid_t type) {
    Part p;
    p.size = H5Tget_size(type);
    if (!has_references(type)) return p;
    switch (H5Tget_class(type)) {
      case H5T_REFERENCE:
        p.kind = H5Tequal(type, H5T_STD_REF_OBJ) > 0 ? Part::kObject : Part::kRegion;
        break;
      case H5T_COMPOUND:
        p.kind = Part::kMembers;
        for (int m = 0; m < H5Tget_nmembers(type); ++m) {
          const auto n = static_cast<unsigned>(m);
          const Handle member(H5Tget_member_type(type, n), H5Tclose);
          if (!has_references(member)) continue;
          p.members.push_back(examine(member));
          p.members.back().offset = H5Tget_member_offset(type, n);
        }
        break;
      case H5T_ARRAY:
      case H5T_VLEN: {
        p.kind = H5Tget_class(type) == H5T_ARRAY ? Part::kArray : Part::kSequence;
        const Handle element(H5Tget_super(type), H5Tclose);
        p.members.push_back(examine(element));
        if (p.kind == Part::kArray) p.count = p.size / std::max<size_t>(p.members[0].size, 1);
        break;
      }
      default:
        break;
    }
    return p;
  }

  void translate_all(hid_t type, uint8_t* data, size_t count) {
    const Part part = examine(type);
    for (size_t i = 0; i < count; ++i) translate(part, data + i * part.size);
  }

  void translate(const Part& part, uint8_t* at) {
    switch (part.kind) {
      case Part::kObject:
        translate_object(at);
        break;
      case Part::kRegion:
        translate_region(at);
        break;
      case Part::kMembers:
        for (const Part& member : part.members) translate(member, at + member.offset);
        break;
      case Part::kArray:
        for (size_t i = 0; i < part.count; ++i) translate(part.members[0], at + i * part.members[0].size);
        break;
      case Part::kSequence: {
        hvl_t sequence;
        std::memcpy(&sequence, at, sizeof sequence);
        for (size_t i = 0; i < sequence.len; ++i)
          translate(part.members[0], static_cast<uint8_t*>(sequence.p) + i * part.members[0].size);
        break;
      }
      case Part::kNone:
        break;
    }
  }

  // The path in the output of what a reference means; empty when there is none.
  std::string target_of(H5R_type_t kind, const void* reference) {
    const Handle object(H5Rdereference2(in_, H5P_DEFAULT, kind, reference), H5Oclose);
    const auto found = object.valid() ? copied_.find(address_of(object)) : copied_.end();
    if (found != copied_.end()) return found->second;
    ++counts_.lost_references;
    return {};
  }

  template <size_t N>
  static bool is_empty(const std::array<uint8_t, N>& bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
  }

  void translate_object(uint8_t* at) {
    std::array<uint8_t, sizeof(hobj_ref_t)> old{};
    std::memcpy(old.data(), at, old.size());
    if (is_empty(old)) return;
    std::memset(at, 0, old.size());
    const std::string path = target_of(H5R_OBJECT, old.data());
    if (!path.empty())
      check(H5Rcreate(at, out_, path.c_str(), H5R_OBJECT, -1) >= 0, "a reference to " + path);
  }

  void translate_region(uint8_t* at) {
    std::array<uint8_t, sizeof(hdset_reg_ref_t)> old{};
    std::memcpy(old.data(), at, old.size());
    if (is_empty(old)) return;
    std::memset(at, 0, old.size());
    const std::string path = target_of(H5R_DATASET_REGION, old.data());
    if (path.empty()) return;
    const Handle space(H5Rget_region(in_, H5R_DATASET_REGION, old.data()), H5Sclose);
    check(space.valid() && H5Rcreate(at, out_, path.c_str(), H5R_DATASET_REGION, space) >= 0,
          "a reference to a region of " + path);
  }

  // The values of a dataset of references, some rows of its slowest axis at a time.
  void fill_references(const std::string& path) {
    const Dataset from = open_dataset(in_, path);
    const Handle to(H5Dopen2(out_, path.c_str(), H5P_DEFAULT), H5Dclose);
    const Handle type(H5Dget_type(from.id), H5Tclose);
    const Handle memory(H5Tcopy(type), H5Tclose);
    check(to.valid() && memory.valid(), path);
    const size_t bytes = H5Tget_size(memory);
    Extents block = from.extents;
    if (!block.empty()) {
      const uint64_t row = std::max<uint64_t>(from.count() / std::max<uint64_t>(block[0], 1), 1) * bytes;
      block[0] = std::clamp<uint64_t>(kBlockBytes / row, 1, std::max<uint64_t>(block[0], 1));
    }
    for (Extents offset; next_block(from.extents, block, offset);) {
      const Extents size = clip_block(from.extents, block, offset);
      fill_block(from, to, memory, offset, size, bytes);
      if (size.empty()) break;
    }
  }

  void fill_block(const Dataset& from, hid_t to, hid_t memory, const Extents& offset, const Extents& size,
                  size_t bytes) {
    uint64_t count = 1;
    for (const hsize_t n : size) count *= n;
    const Handle file_space(H5Dget_space(from.id), H5Sclose);
    const Handle space(size.empty() ? H5Screate(H5S_SCALAR)
                                    : H5Screate_simple(static_cast<int>(size.size()), size.data(), nullptr),
                       H5Sclose);
    if (!size.empty())
      H5Sselect_hyperslab(file_space, H5S_SELECT_SET, offset.data(), nullptr, size.data(), nullptr);
    Values values(memory, space, count * bytes);
    check(H5Dread(from.id, memory, space, file_space, H5P_DEFAULT, values.data()) >= 0, from.path);
    translate_all(memory, values.data(), count);
    check(H5Dwrite(to, memory, space, file_space, H5P_DEFAULT, values.data()) >= 0, from.path);
  }

  hid_t in_, out_;
  const std::set<std::string>& left_out_;
  const WriteDataset& write_;
  std::map<haddr_t, std::string> copied_;  // address in the input -> path, the same in both files
  std::map<haddr_t, std::string> types_;   // address in the input -> path in the folder of types
  std::string type_folder_;
  std::vector<std::string> order_;  // of all objects
  std::vector<std::string> with_references_;
  std::deque<std::string> groups_;  // made and not filled yet
  CopyCounts counts_;
};

}  // namespace

CopyCounts copy_objects(hid_t input, hid_t output, const std::set<std::string>& left_out,
                        const WriteDataset& write) {
  return Copier(input, output, left_out, write).run();
}

uint64_t user_block_of(hid_t file) {
  const Handle fcpl(H5Fget_create_plist(file), H5Pclose);
  hsize_t bytes = 0;
  if (!fcpl.valid() || H5Pget_userblock(fcpl, &bytes) < 0)
    fail("the user block cannot be read ({})", hdf5_error());
  return bytes;
}

Handle create_like(hid_t input, const std::string& path, uint64_t user_block) {
  const Handle fcpl(H5Fget_create_plist(input), H5Pclose);
  const Handle root(H5Gopen2(input, "/", H5P_DEFAULT), H5Gclose);
  const Handle gcpl(H5Gget_create_plist(root), H5Pclose);
  H5F_info2_t info{};
  check(fcpl.valid() && gcpl.valid() && H5Fget_info2(input, &info) >= 0, "the file's properties");
  unsigned links = 0, attributes = 0, most = 0, least = 0;
  H5Pget_link_creation_order(gcpl, &links);
  H5Pget_attr_creation_order(gcpl, &attributes);
  H5Pset_link_creation_order(fcpl, links);
  H5Pset_attr_creation_order(fcpl, attributes);
  if (H5Pget_link_phase_change(gcpl, &most, &least) >= 0) H5Pset_link_phase_change(fcpl, most, least);
  if (H5Pget_attr_phase_change(gcpl, &most, &least) >= 0) H5Pset_attr_phase_change(fcpl, most, least);
  H5Pset_userblock(fcpl, user_block);
  const Handle fapl(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  // Files of the newer kind may hold what the older kind cannot (large attributes); older ones stay as they
  // are.
  H5Pset_libver_bounds(fapl, info.super.version >= 2 ? H5F_LIBVER_V18 : H5F_LIBVER_EARLIEST,
                       H5F_LIBVER_LATEST);
  Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, fcpl, fapl), H5Fclose);
  if (!file.valid()) fail("{} cannot be written ({})", path, hdf5_error());
  return file;
}

}  // namespace h5neural::tool

// safetensors.cc: see safetensors.h.
#include "weights/safetensors.h"

#include <algorithm>
#include <array>

#include "exact/json.h"

namespace h5neural {
namespace {

constexpr uint64_t kMaxHeader = uint64_t{4} << 20;
constexpr size_t kMaxTensors = 4096;
constexpr size_t kMaxRank = 8;

struct TypeSize {
  const char* name;
  uint64_t bytes;
};
constexpr std::array<TypeSize, 11> kTypes = {{{"I8", 1},
                                              {"U8", 1},
                                              {"BOOL", 1},
                                              {"I16", 2},
                                              {"U16", 2},
                                              {"F16", 2},
                                              {"BF16", 2},
                                              {"I32", 4},
                                              {"F32", 4},
                                              {"I64", 8},
                                              {"F64", 8}}};

[[noreturn]] void refuse(const std::string& name, const std::string& problem) {
  throw Failure(H5N_ERR_CORRUPT,
                "h5neural: " + name + " is refused: " + problem + "; get the file again from where it came");
}

uint64_t type_size(const std::string& type) {
  const auto* const it =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeSize& t) { return type == t.name; });
  return it == kTypes.end() ? 0 : it->bytes;
}

SafetensorsEntry parse_entry(const Json& j, const std::string& key, ByteSpan data, const std::string& name) {
  const std::string what = name + ", tensor '" + key + "'";
  SafetensorsEntry e;
  e.type = json_string(j, "dtype", what);
  uint64_t bytes = type_size(e.type);
  if (bytes == 0) refuse(what, "type '" + e.type + "' is unknown");
  for (const int64_t n : json_ints(j, "shape", kMaxRank, 0, INT64_MAX, what)) {
    e.shape.push_back(static_cast<uint64_t>(n));
    if (n != 0 && bytes > data.size() / static_cast<uint64_t>(n)) refuse(what, "it is larger than the file");
    bytes *= static_cast<uint64_t>(n);
  }
  const auto at = json_ints(j, "data_offsets", 2, 0, static_cast<int64_t>(data.size()), what);
  if (at.size() != 2 || at[0] > at[1] || static_cast<uint64_t>(at[1] - at[0]) != bytes) {
    refuse(what, "its offsets do not fit its shape");
  }
  e.bytes = data.subspan(static_cast<size_t>(at[0]), bytes);
  return e;
}

}  // namespace

Safetensors parse_safetensors(ByteSpan file, const std::string& name) {
  if (file.size() < 8) refuse(name, "it is too short for a safetensors file");
  const uint64_t length = ByteReader(file).get<uint64_t>();
  if (length > kMaxHeader || length > file.size() - 8) refuse(name, "its header's length is wrong");
  const ByteSpan text = file.subspan(8, length), data = file.subspan(8 + length);
  const Json header = parse_json_object({reinterpret_cast<const char*>(text.data()), text.size()}, name);
  if (header.size() > kMaxTensors)
    refuse(name, "it has more than " + std::to_string(kMaxTensors) + " tensors");
  Safetensors out;
  std::vector<std::pair<size_t, size_t>> spans;  // begin, end
  for (const auto& [key, value] : header.items()) {
    if (key == "__metadata__") {
      if (!value.is_object()) refuse(name, "its metadata is not an object");
      for (const auto& [k, v] : value.items()) out.metadata[k] = json_string(value, k.c_str(), name);
      continue;
    }
    const SafetensorsEntry& e = out.tensors[key] = parse_entry(value, key, data, name);
    const auto begin = static_cast<size_t>(e.bytes.data() - data.data());
    spans.emplace_back(begin, begin + e.bytes.size());
  }
  std::sort(spans.begin(), spans.end());
  size_t end = 0;
  for (const auto& [b, e] : spans) {
    if (b != end) refuse(name, "its tensors overlap or leave gaps");
    end = e;
  }
  if (end != data.size()) refuse(name, "its tensors do not fill the file");
  return out;
}

Bytes write_safetensors(const Safetensors& contents) {
  Json header = Json::object();
  if (!contents.metadata.empty()) header["__metadata__"] = contents.metadata;
  size_t at = 0;
  for (const auto& [key, e] : contents.tensors) {
    header[key] = {{"dtype", e.type}, {"shape", e.shape}, {"data_offsets", {at, at + e.bytes.size()}}};
    at += e.bytes.size();
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  ByteWriter w;
  w.put<uint64_t>(text.size());
  w.bytes({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  for (const auto& [key, e] : contents.tensors) w.bytes(e.bytes);
  return w.take();
}

}  // namespace h5neural

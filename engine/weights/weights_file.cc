// weights_file.cc: see weights_file.h.
#include "weights/weights_file.h"

#include "weights/safetensors.h"

namespace h5neural {
namespace {

constexpr const char* kFormat = "h5neural-weights-1";

[[noreturn]] void refuse(const std::string& source, const std::string& problem) {
  throw Failure(H5N_ERR_CORRUPT, "h5neural: " + source + " is refused: " + problem +
                                     "; get the weights file again from where it came");
}

Tensor integer_tensor(const SafetensorsEntry& e, const std::string& what) {
  Tensor t;
  if (e.type == "I8") {
    t.type = TensorType::kInt8;
  } else if (e.type == "I16") {
    t.type = TensorType::kInt16;
  } else if (e.type == "I32") {
    t.type = TensorType::kInt32;
  } else {
    refuse(what, "type '" + e.type + "' is none of I8, I16, I32");
  }
  for (const uint64_t n : e.shape) {
    if (n == 0 || n > UINT32_MAX) refuse(what, "an extent is 0 or too large");
    t.shape.push_back(static_cast<uint32_t>(n));
  }
  if (t.shape.empty()) refuse(what, "it has no shape");
  t.bytes = e.bytes;
  return t;
}

}  // namespace

WeightsFile::WeightsFile(ByteSpan bytes, const Sha256& digest, const std::string& source)
    : hash_(short_hash(digest)) {
  Safetensors s = parse_safetensors(bytes, source);
  const auto text = [&](const char* key) {
    const auto it = s.metadata.find(key);
    if (it == s.metadata.end()) refuse(source, "its metadata has no '" + std::string(key) + "'");
    return it->second;
  };
  if (const std::string format = text("format"); format != kFormat) {
    refuse(source, "its format is '" + format.substr(0, 64) + "', and this version reads " + kFormat);
  }
  name_ = text("name");
  family_ = text("family");
  config_ = text("config");
  if (name_.empty() || name_.size() > 63 || family_.empty() || family_.size() > 31) {
    refuse(source, "its name or family is empty or too long");
  }
  for (const auto& [key, entry] : s.tensors) {
    std::string what = source;
    what.append(", tensor '").append(key).append("'");
    tensors_[key] = integer_tensor(entry, what);
  }
  constexpr std::string_view kPrefix = "program.";
  for (auto& [key, value] : s.metadata) {
    if (key.starts_with(kPrefix)) programs_[key.substr(kPrefix.size())] = std::move(value);
  }
}

const Tensor* WeightsFile::find(const std::string& tensor) const {
  const auto it = tensors_.find(tensor);
  return it == tensors_.end() ? nullptr : &it->second;
}

Program WeightsFile::program(const std::string& program) const {
  const auto it = programs_.find(program);
  if (it == programs_.end()) refuse("weights '" + name_ + "'", "program '" + program + "' is missing");
  return parse_program(program, it->second, [&](const std::string& t) { return find(t); });
}

}  // namespace h5neural

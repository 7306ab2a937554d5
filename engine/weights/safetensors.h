// safetensors.h: the container of weights and of training arrays: a length, a JSON header, raw little-endian
// arrays (github.com/huggingface/safetensors, format of 2022). Parsed as if a stranger had made it. Knows
// nothing of programs.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "support/bytes.h"

namespace h5neural {

struct SafetensorsEntry {
  std::string type;  // "I8", "F32", ...
  std::vector<uint64_t> shape;
  ByteSpan bytes;  // of the size that type and shape ask for
};

struct Safetensors {
  std::map<std::string, std::string> metadata;
  std::map<std::string, SafetensorsEntry> tensors;
};

// Views into `file`, which outlives the result. The arrays follow one another without gaps and fill the file.
// Throws Failure(H5N_ERR_CORRUPT) with a sentence; `name` is how messages call the file.
Safetensors parse_safetensors(ByteSpan file, const std::string& name);

// The file that parse_safetensors reads back. Arrays are laid out in the order of their names, the header is
// padded to a multiple of 8 bytes with spaces: equal contents give equal bytes.
Bytes write_safetensors(const Safetensors& contents);

}  // namespace h5neural

// measure_parts.cc: sizes of one chunk with parts of the writer left out; tools/measure-parts runs it. Reads
// the values from a file of plain little-endian floats, so that it needs no HDF5.
//
//   measure_parts FILE f32|f64 EXTENTS MODE BOUND EFFORT [PART ...]    e.g.  field.bin f32 38x76x38 1 0.001 5
//
// Prints a line for each part, or those named: its name and the bytes of the payload without it; "all" first.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "codec/decode.h"
#include "codec/encode.h"
#include "support/failure.h"

namespace {

using h5neural::EncoderParts;

struct Part {
  const char* name;
  bool EncoderParts::*part;
};
constexpr Part kParts[] = {
    {"order", &EncoderParts::order},
    {"axes", &EncoderParts::axes},
    {"fit", &EncoderParts::fit},
    {"kriging", &EncoderParts::kriging},
    {"contexts", &EncoderParts::contexts},
    {"tables", &EncoderParts::tables},
    {"reference", &EncoderParts::reference},
    {"repeats", &EncoderParts::repeats},
    {"masks", &EncoderParts::masks},
    {"transform", &EncoderParts::transform},
    {"narrowing", &EncoderParts::narrowing},
    {"models", &EncoderParts::models},
};

h5n_params read_params(char** argument) {
  h5n_params p{};
  p.type = std::string(argument[0]) == "f64" ? H5N_FLOAT64 : H5N_FLOAT32;
  const std::string extents = argument[1];
  for (size_t at = 0; at < extents.size() && p.rank < H5N_MAX_RANK;) {
    size_t used = 0;
    p.dims[p.rank++] = std::stoull(extents.substr(at), &used);
    at += used + 1;
  }
  p.mode = static_cast<uint32_t>(std::stoul(argument[2]));
  p.bound = std::stod(argument[3]);
  p.effort = static_cast<uint32_t>(std::stoul(argument[4]));
  return p;
}

int measure(char** argument, const std::vector<std::string>& wanted) {
  std::ifstream in(argument[1], std::ios::binary);
  if (!in) {
    std::fprintf(stderr, "measure_parts: cannot read %s\n", argument[1]);
    return 2;
  }
  const std::vector<uint8_t> chunk{std::istreambuf_iterator<char>(in), {}};
  const h5n_params params = read_params(argument + 2);
  const auto report = [&](const char* name, const EncoderParts& parts) {
    const h5neural::Bytes payload = h5neural::encode_chunk(params, chunk, parts);
    std::vector<uint8_t> back(chunk.size());
    h5neural::decode_payload(h5neural::parse_payload(payload), back);  // throws where it does not decode
    std::printf("%s %zu\n", name, payload.size());
  };
  report("all", {});
  for (const Part& p : kParts) {
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), p.name) == wanted.end()) continue;
    EncoderParts parts;
    parts.*p.part = false;
    report(p.name, parts);
  }
  return 0;
}

}  // namespace

int main(int count, char** argument) {
  if (count < 7) {
    std::fputs("usage: measure_parts FILE f32|f64 EXTENTS MODE BOUND EFFORT [PART ...]\n", stderr);
    return 2;
  }
  try {
    return measure(argument, {argument + 7, argument + count});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "measure_parts: %s\n", e.what());
    return 1;
  }
}

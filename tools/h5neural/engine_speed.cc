// engine_speed.cc: see engine_speed.h.
#include "engine_speed.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "machine_speed.h"
#include "payload_summary.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

constexpr uint64_t kMostChunkBytes = uint64_t{1} << 30;  // a chunk in memory, once for each core

struct FreePayload {
  void operator()(void* p) const { h5n_free(p); }
};

struct Payload {
  std::unique_ptr<void, FreePayload> bytes;
  size_t size = 0;
};

Payload encode(const h5n_params& params, const std::vector<uint8_t>& chunk) {
  void* bytes = nullptr;
  Payload p;
  h5n_error error{};
  if (h5n_encode(&params, chunk.data(), chunk.size(), &bytes, &p.size, &error) != H5N_OK)
    fail("{}", error.message);
  p.bytes.reset(bytes);
  return p;
}

void decode(const Payload& payload, std::vector<uint8_t>& chunk) {
  h5n_error error{};
  if (h5n_decode(payload.bytes.get(), payload.size, chunk.data(), chunk.size(), &error) != H5N_OK)
    fail("{}", error.message);
}

std::string model_of(const Payload& payload) {
  h5n_info info{};
  h5n_error error{};
  if (h5n_inspect(payload.bytes.get(), payload.size, &info, &error) != H5N_OK) fail("{}", error.message);
  return model_text(info);
}

h5n_params layout_of(const Dataset& d, const Extents& chunk) {
  h5n_params p{};
  p.type = d.element == Element::kFloat32 ? H5N_FLOAT32 : H5N_FLOAT64;
  p.rank = static_cast<uint32_t>(chunk.size());
  std::copy(chunk.begin(), chunk.end(), p.dims);
  if (d.fill) {
    p.has_fill = 1;
    if (p.type == H5N_FLOAT32) {
      uint32_t bits = 0;
      std::memcpy(&bits, d.fill->data(), sizeof bits);
      p.fill = bits;
    } else {
      std::memcpy(&p.fill, d.fill->data(), sizeof p.fill);
    }
  }
  return p;
}

// The bytes of a chunk; 0 when they are more than this machine should be asked to hold.
uint64_t bytes_of(const Extents& chunk, uint64_t element) {
  uint64_t bytes = element;
  for (const hsize_t n : chunk) {
    if (n == 0 || n > kMostChunkBytes / bytes) return 0;
    bytes *= n;
  }
  return bytes;
}

uint64_t inside(const Extents& extents, uint64_t element) {
  uint64_t bytes = element;
  for (const hsize_t n : extents) bytes *= n;
  return bytes;
}

}  // namespace

Sample take_sample(const Dataset& d, const Extents& chunk, uint64_t bytes) {
  Sample s;
  s.chunk = chunk;
  s.layout = layout_of(d, chunk);
  s.raw_bytes = d.count() * d.element_bytes;
  if (s.raw_bytes == 0) fail("{} holds no values; name a dataset with some", d.path);
  const uint64_t chunk_bytes = bytes_of(chunk, d.element_bytes);
  if (chunk_bytes == 0) {
    fail("{}: a chunk {} is more than {} MiB; give a smaller --chunk", d.path, extents_text(chunk),
         kMostChunkBytes >> 20);
  }
  s.chunks = 1;
  for (size_t a = 0; a < chunk.size(); ++a) s.chunks *= (d.extents[a] + chunk[a] - 1) / chunk[a];
  const uint64_t wanted = std::clamp<uint64_t>(bytes / chunk_bytes, 1, s.chunks);
  const hid_t native = d.element == Element::kFloat32 ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
  for (uint64_t k = 0; k < wanted; ++k) {
    // The middle of each of as many parts, so that one chunk is not one of the edge. No product that wraps.
    const uint64_t part = s.chunks / wanted, rest = s.chunks % wanted;
    uint64_t index = k * part + std::min(k, rest) + part / 2;
    Extents offset(chunk.size());
    for (size_t a = chunk.size(); a-- > 0;) {
      const uint64_t along = (d.extents[a] + chunk[a] - 1) / chunk[a];
      offset[a] = index % along * chunk[a];
      index /= along;
    }
    s.values.emplace_back();
    read_whole_chunk(d, offset, chunk, native, s.values.back());
    s.sample_bytes += inside(clip_block(d.extents, chunk, offset), d.element_bytes);
  }
  return s;
}

EngineSpeed measure_engine(const Sample& sample, const h5n_params& asked, unsigned cores) {
  h5n_params params = sample.layout;
  params.mode = asked.mode;
  params.bound = asked.bound;
  params.model = asked.model;
  params.effort = asked.effort;
  const size_t count = sample.values.size();
  std::vector<Payload> payloads(count);
  std::vector<std::vector<uint8_t>> decoded(cores, std::vector<uint8_t>(sample.values[0].size()));
  payloads[0] = encode(params, sample.values[0]);  // not timed: here weights are loaded and kernels chosen
  decode(payloads[0], decoded[0]);

  // Every thread handles the whole sample, each beginning at another chunk, the first keeping the payloads.
  double wall = 0;
  const double used_before = processor_seconds();
  const double encoding = median_seconds([&] {
    const double seconds = seconds_in_parallel(cores, [&](unsigned thread) {
      for (size_t i = 0; i < count; ++i) {
        const size_t k = (i + thread * count / cores) % count;
        Payload made = encode(params, sample.values[k]);
        if (thread == 0) payloads[k] = std::move(made);
      }
    });
    wall += seconds;
    return seconds;
  });
  const double used = processor_seconds() - used_before;
  const double decoding = median_seconds([&] {
    return seconds_in_parallel(cores, [&](unsigned thread) {
      for (size_t i = 0; i < count; ++i)
        decode(payloads[(i + thread * count / cores) % count], decoded[thread]);
    });
  });

  EngineSpeed speed;
  speed.effort = params.effort;
  speed.cores = cores;
  speed.cpu_share = std::min(1.0, used / (wall * cores));
  for (const Payload& p : payloads) {
    speed.payload_bytes += p.size;
    ++speed.models[model_of(p)];
  }
  const double bytes = static_cast<double>(sample.sample_bytes) * cores;
  speed.encode = bytes / encoding;
  speed.decode = bytes / decoding;
  return speed;
}

}  // namespace h5neural::tool

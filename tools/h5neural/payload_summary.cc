// payload_summary.cc: see payload_summary.h.
#include "payload_summary.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace h5neural::tool {
namespace {

void add_up(const ChunkSummary& chunk, DatasetSummary& total) {
  total.raw_bytes += chunk.raw_bytes;
  total.stored_bytes += chunk.stored_bytes;
  if (chunk.unfiltered) ++total.unfiltered;
  if (!chunk.problem.empty()) ++total.damaged;
  if (!chunk.info) return;
  const h5n_info& info = *chunk.info;
  total.header_bytes += info.header_bytes;
  total.latents_bytes += info.latents_bytes;
  total.corrections_bytes += info.corrections_bytes;
  total.specials_bytes += info.specials_bytes;
  total.specials += info.specials;
  ++total.kinds[kind_text(info.kind)];
  ++total.models[model_text(info)];
}

}  // namespace

std::string kind_text(uint32_t kind) {
  static constexpr std::array kNames{"raw", "lossless", "walk", "constant", "repeats", "transform", "frames"};
  return kind < kNames.size() ? kNames[kind] : fmt::format("kind {}", kind);
}

std::string model_text(const h5n_info& info) {
  if (info.model == 0) return "none";
  const auto hash = fmt::format("{:016x}", info.model);
  return info.model_name[0] != '\0' ? fmt::format("{} ({})", info.model_name, hash)
                                    : hash + " (not installed)";
}

std::optional<h5n_info> inspect(const StoredChunk& chunk, std::string& problem) {
  problem = chunk.problem;
  if (chunk.unfiltered || !problem.empty()) return std::nullopt;
  h5n_info info{};
  h5n_error error{};
  if (h5n_inspect(chunk.bytes.data(), chunk.bytes.size(), &info, &error) == H5N_OK) return info;
  problem = error.message;
  return std::nullopt;
}

DatasetSummary summarise(const Dataset& dataset) {
  DatasetSummary total;
  for (Extents offset; next_block(dataset.extents, dataset.chunk, offset);) {
    ++total.chunks;
    const auto stored = read_stored_chunk(dataset, offset);
    if (!stored) continue;
    ChunkSummary chunk;
    chunk.offset = offset;
    chunk.raw_bytes = dataset.element_bytes;
    for (const hsize_t n : clip_block(dataset.extents, dataset.chunk, offset)) chunk.raw_bytes *= n;
    chunk.stored_bytes = stored->file_bytes;
    chunk.unfiltered = stored->unfiltered;
    chunk.info = inspect(*stored, chunk.problem);
    add_up(chunk, total);
    total.stored.push_back(std::move(chunk));
  }
  return total;
}

}  // namespace h5neural::tool

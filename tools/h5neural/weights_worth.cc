// weights_worth.cc: see weights_worth.h.
#include "weights_worth.h"

#include <fmt/format.h>

#include "payload_summary.h"
#include "recode.h"
#include "weights_files.h"

namespace h5neural::tool {

void add_worth(const Dataset& from, const Dataset& coded, std::map<uint64_t, WeightsWorth>& worth) {
  for (Extents offset; next_block(coded.extents, coded.chunk, offset);) {
    const auto stored = read_stored_chunk(coded, offset);
    if (!stored) continue;
    std::string problem;
    const auto info = inspect(*stored, problem);
    const auto found = info ? worth.find(info->model) : worth.end();
    if (found == worth.end() || found->second.pays()) continue;
    ++found->second.chunks;
    found->second.saved += static_cast<int64_t>(payload_without_model(from, coded, offset).size()) -
                           static_cast<int64_t>(stored->bytes.size());
  }
}

std::string left_out_text(const WeightsWorth& w) {
  const auto known = find_weights([&w](const h5n_weights& k) { return k.hash == w.hash; });
  return fmt::format(
      "the weights {}{:016x} do not pay for themselves: they save {} bytes in {} chunks and take {}; these "
      "chunks are coded without them (--embed=always puts them in)",
      known && known->name[0] != '\0' ? fmt::format("{} ", known->name) : "", w.hash, w.saved, w.chunks,
      w.bytes);
}

}  // namespace h5neural::tool

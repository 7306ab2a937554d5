// corrections.cc: see corrections.h.
#include "models/corrections.h"

#include <algorithm>

#include "exact/json.h"
#include "support/failure.h"

namespace h5neural {
namespace {

constexpr uint64_t kMostWork = 1 << 20;  // multiply-accumulates, and elements of values, of a point
constexpr const char* kNoLatents = "a corrections network has no latents";

void check(const WalkNetwork& n, const std::string& what) {
  const auto demand = [&](bool fits, const char* problem) {
    if (!fits) {
      throw Failure(H5N_ERR_CORRUPT, "h5neural: " + what + " are refused: " + problem +
                                         "; get the weights file again from where it came");
    }
  };
  const Program& p = n.program;
  demand(p.inputs == 1 && p.outputs.size() == 1, "its network has another form");
  demand(p.macs <= kMostWork && p.activations <= kMostWork, "its network is too much work for a point");
  const Value &in = p.values[0], &out = p.values[p.outputs[0]];
  const auto count = static_cast<size_t>(network_inputs(n.shape));
  demand(in.count() == count && out.count() == kNetworkOutputs, "its network has other inputs or outputs");
  for (size_t e = 0; e < count; ++e) {
    const auto [lo, hi] = network_input_range(n.shape, static_cast<int>(e));
    demand(in.lo[e] <= lo && in.hi[e] >= hi, "its network does not take all that it may be shown");
  }
  demand(out.lo[0] >= -kNetworkMostMove && out.hi[0] <= kNetworkMostMove &&
             out.lo[1] >= -kNetworkMostChange && out.hi[1] <= kNetworkMostChange,
         "its network's outputs are not limited");
}

}  // namespace

CorrectionsModel::CorrectionsModel(const WeightsFile& file) : name_(file.name()), hash_(file.hash()) {
  const std::string what = "weights '" + name_ + "'";
  const Json config = parse_json_object(file.config(), what);
  NetworkShape& s = network_.shape;
  s.pairs = static_cast<int>(json_int(config, "pairs", 1, kMaxPairs, what));
  s.differences = static_cast<int>(json_int(config, "differences", 0, kMaxPairs, what));
  s.magnitudes = static_cast<int>(json_int(config, "magnitudes", 0, kContextPairs, what));
  s.from_context = static_cast<int>(json_int(config, "from_context", 0, kContexts - 1, what));
  network_.program = file.program("refine");
  check(network_, what);
}

void CorrectionsModel::decode(ByteSpan latents, const Extents&, std::span<int32_t> base) const {
  if (!latents.empty()) fail_corrupt(kNoLatents);
  std::fill(base.begin(), base.end(), 0);
}

LatentArray CorrectionsModel::latents(ByteSpan section, const Extents&) const {
  if (!section.empty()) fail_corrupt(kNoLatents);
  return {};
}

std::shared_ptr<const Model> make_corrections(const WeightsFile& file) {
  return std::make_shared<CorrectionsModel>(file);
}

}  // namespace h5neural

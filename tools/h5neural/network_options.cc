// network_options.cc: see network_options.h. An option of the worker needs one line here to be reached.
#include "network_options.h"

#include <algorithm>

namespace h5neural::tool {

void NetworkOptions::declare(CLI::App& sub) {
  const auto option = [&](const char* key, const char* text) {
    sub.add_option(key, given_[key], text)->group("A network for blocks (swae, --form block)");
  };
  option("--net", "mlp (default), conv, or conv-bn (batch norm, folded when exported)");
  option("--width", "Times the published numbers of channels or hidden units (default: 1)");
  option("--loss", "bytes (default: what a payload costs), mse, log, relative, robust");
  option("--wasserstein", "Weight of the sliced Wasserstein distance of the latents to N(0, I)");
  option("--normalise", "none (default: by the chunk), minmax, zscore, pos_log: by each block");
  option("--precision", "Weights: int8 (default), int16, fp8");
  option("--search", "Numbers of latents to try, as in 4,8,16; the best is kept");
}

bool NetworkOptions::empty() const {
  return std::ranges::all_of(given_, [](const auto& o) { return o.second.empty(); });
}

std::vector<std::string> NetworkOptions::arguments() const {
  std::vector<std::string> args;
  for (const auto& [key, value] : given_) {
    if (!value.empty()) args.insert(args.end(), {key, value});
  }
  return args;
}

}  // namespace h5neural::tool

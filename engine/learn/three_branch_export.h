// three_branch_export.h: a trained three-branch autoencoder as integer programs and arrays of a weights file.
#pragma once
#include "learn/three_branch_net.h"
#include "models/latent_coder.h"

namespace h5neural::learn {

// How often each symbol came in each context: [tables][symbols].
using SymbolCounts = std::vector<std::vector<double>>;

// The context model in integers, and the thresholds between its tables.
LatentContexts integer_contexts(const ThreeBranchNet& net, int64_t first_gain, int64_t gains);
const std::vector<int32_t>& size_thresholds();
constexpr size_t kLatentSymbols = 64;

// A weights file of the gains first_gain ... first_gain + gains - 1.
WeightsWriter three_branch_weights(ThreeBranchNet& net, int64_t first_gain, int64_t gains,
                                   const SymbolCounts& counts, const std::string& name);

}  // namespace h5neural::learn

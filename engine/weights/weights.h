// weights.h: where models come from. Search order: compiled in, H5NEURAL_WEIGHTS_PATH, the user's data folder
// ($XDG_DATA_HOME/h5neural/weights), the install's share/h5neural/weights (found from the engine's own
// place), the files that this process has open (carried.h). The automatic choice of a writer leaves the last
// out: a file that happens to be open must not decide what another one needs.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "models/model.h"

namespace h5neural {

// The model whose weights' SHA-256 starts with `hash`. Throws Failure(H5N_ERR_NO_MODEL) with the hash, the
// places searched and the remedy; Failure(H5N_ERR_CORRUPT) when the file was found and refused.
std::shared_ptr<const Model> find_model(uint64_t hash);

// Every model that the search order finds and that is usable, for the writer's automatic choice. Loaded once.
std::vector<std::shared_ptr<const Model>> all_models();

// For h5n_weights_get: everything the search order finds, usable or not.
struct WeightsEntry {
  std::string sha256, name, family, source, problem;
  uint64_t hash = 0;
};
std::vector<WeightsEntry> list_weights();

}  // namespace h5neural

// places.h: the folders that weights are looked for in, in order. Knows nothing of what the files hold.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace h5neural {

// The folders and files named by H5NEURAL_WEIGHTS_PATH (separated by ':'), $XDG_DATA_HOME/h5neural/weights
// (or
// ~/.local/share/h5neural/weights), and share/h5neural/weights of the install that this engine belongs to. A
// place is listed whether it exists or not: messages name them all.
std::vector<std::filesystem::path> weights_places();

// The weights files (*.safetensors) of all places, sorted by name within each place. Never throws for the
// disk's sake.
std::vector<std::filesystem::path> weights_paths();

}  // namespace h5neural

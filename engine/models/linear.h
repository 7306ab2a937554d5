// linear.h: the family of linear models: the base of a chunk, or of each of its blocks, is a sum of basis
// fields (Karhunen and Loeve, 1946; proper orthogonal decomposition, Lumley, 1967), each times one latent.
// The basis stands in the weights file as the walk codes it. What such a file holds is written in
// docs/weights-format.md.
#pragma once
#include <memory>

#include "models/model.h"
#include "weights/weights_file.h"

namespace h5neural {

// Of a basis field: its points fit this many bits, as do their negatives.
constexpr int kLinearBits = 15;
constexpr size_t kMostLinearModes = 255;
constexpr size_t kMostLinearBlock = 4096;  // points of a block, where chunks are cut into blocks
constexpr uint64_t kMostLinearNumbers = uint64_t{1} << 24;  // of all basis fields together
constexpr int kMostLinearExponent = 15;

// Decodes the basis. Throws Failure(H5N_ERR_CORRUPT) when the file's parts do not fit together, or ask for
// more than the limits above.
std::shared_ptr<const Model> make_linear(const WeightsFile& file);

}  // namespace h5neural

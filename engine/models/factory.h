// factory.h: a weights file to the model that it holds.
#pragma once
#include <memory>

#include "models/model.h"
#include "weights/weights_file.h"

namespace h5neural {

// Throws Failure(H5N_ERR_CORRUPT) for a family that this version does not know, or programs that cannot be
// proved.
std::shared_ptr<const Model> make_model(const WeightsFile& file);

}  // namespace h5neural

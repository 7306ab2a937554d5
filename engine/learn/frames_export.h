// frames_export.h: trained networks of family frames as integer programs of a weights file.
#pragma once
#include <string>

#include "learn/export.h"
#include "learn/frames_net.h"

namespace h5neural::learn {

// For tiles of `tile` points along each axis, a multiple of the coarsest cell. `between`: null, or of the
// same halo. `periodic`: what they learned from was, along both axes.
WeightsWriter frames_weights(const FramesNet& predict, const FramesNet* between, int64_t tile, bool periodic,
                             const std::string& name);

}  // namespace h5neural::learn

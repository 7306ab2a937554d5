// frames_export.h: a trained network of family frames as an integer program of a weights file.
#pragma once
#include <string>

#include "learn/export.h"
#include "learn/frames_net.h"

namespace h5neural::learn {

// For tiles of `tile` points along each axis, a multiple of the coarsest cell. `periodic`: what it learned
// from was, along both axes.
WeightsWriter frames_weights(const FramesNet& net, int64_t tile, bool periodic, const std::string& name);

}  // namespace h5neural::learn

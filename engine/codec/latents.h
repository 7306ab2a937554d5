// latents.h: what a payload's latents are, in the unit of the data. Decodes nothing.
#pragma once
#include "models/model.h"
#include "payload/header.h"

namespace h5neural {

// Scale and offset are those of values, not of lattice points. A payload without a model, or
// whose model is a network for the corrections, gives no vectors.
// Throws Failure.
LatentArray payload_latents(const Payload& payload);

}  // namespace h5neural

// params.h: what a caller may ask for.
#pragma once
#include "h5neural/h5neural.h"

namespace h5neural {

// Throws Failure with a sentence that names the parameter and what is served, or the weights that are
// missing.
void check_params(const h5n_params& p);

}  // namespace h5neural

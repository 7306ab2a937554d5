// network_choice.h: how far a coset follows a network. Writer only.
#pragma once
#include "corrections/network.h"

namespace h5neural {

// What costs least by the entropy of each context, over a part of the points; not to ask where nothing pays.
// `target`: of each point of the coset; `per_bin`: bins to a lattice unit; `origin`: context_origin().
NetworkChoice choose_network(const NetworkView& said, const CosetState& coset, const double* target,
                             double per_bin, int origin);

}  // namespace h5neural

// outliers.h: what brings the points of a transform that came out beyond a pointwise bound back inside it, in
// whole bins (after SPERR: Li, Lindstrom, Clyne 2023). Nearly all are zero; how rough the decoded field is
// around a point says how likely it is to need one. Knows nothing of the transform.
#pragma once
#include <span>
#include <vector>

#include "corrections/residual.h"
#include "corrections/side.h"
#include "corrections/walk.h"

namespace h5neural {

// Writer: corrects `decoded`, so that every point is within half a bin of `target` (but for the `skip`ped
// ones). in.step_bits: the bin is 2^step_bits lattice units.
void encode_outliers(BitEncoder& side, ResidualEncoder& residuals, const WalkInput& in,
                     std::span<const double> target, std::span<const uint8_t> chosen,
                     std::vector<int32_t>& decoded);
// Reader; throws fail_corrupt on damaged input.
void decode_outliers(BitDecoder& side, ResidualDecoder& residuals, const WalkInput& in,
                     std::span<int32_t> decoded);

}  // namespace h5neural

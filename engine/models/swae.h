// swae.h: the family of small autoencoders with sliced-Wasserstein latents (after Kolouri et al., 2019, and
// their use on BSSN fields), in two forms: one latent vector for a whole chunk (swae_chunk.cc), and blocks of
// 5^3 as published (swae_block.cc). What a weights file of the family holds is written in
// docs/weights-format.md.
#pragma once
#include <memory>

#include "models/model.h"
#include "weights/weights_file.h"

namespace h5neural {

// Throws Failure(H5N_ERR_CORRUPT) when the file's programs do not fit together.
std::shared_ptr<const Model> make_swae(const WeightsFile& file);

// The forms; make_swae chooses by the file's config.
std::shared_ptr<const Model> make_swae_chunk(const WeightsFile& file);
std::shared_ptr<const Model> make_swae_blocks(const WeightsFile& file);
std::shared_ptr<const Model> make_swae_block(const WeightsFile& file);

}  // namespace h5neural

// factory.cc: see factory.h. A new family adds one line here.
#include "models/factory.h"

#include "models/corrections.h"
#include "models/frames.h"
#include "models/latent_frames.h"
#include "models/linear.h"
#include "models/swae.h"
#include "models/three_branch.h"

namespace h5neural {

std::shared_ptr<const Model> make_model(const WeightsFile& file) {
  if (file.family() == "swae") return make_swae(file);
  if (file.family() == "linear") return make_linear(file);
  if (file.family() == "three-branch") return make_three_branch(file);
  if (file.family() == "corrections") return make_corrections(file);
  if (file.family() == "frames") return make_frames(file);
  for (const char* family : {"vae", "contextual", "dcae", "diffusion"}) {
    if (file.family() == family) return make_latent_frames(file);
  }
  throw Failure(H5N_ERR_CORRUPT, "h5neural: the weights '" + file.name() + "' are of family '" +
                                     file.family() +
                                     "', which this version does not know; install a newer h5neural");
}

}  // namespace h5neural

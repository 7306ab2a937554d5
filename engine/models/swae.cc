// swae.cc: see swae.h.
#include "models/swae.h"

#include "exact/json.h"

namespace h5neural {

std::shared_ptr<const Model> make_swae(const WeightsFile& file) {
  const std::string what = "weights '" + file.name() + "'";
  const std::string form = json_string(parse_json_object(file.config(), what), "form", what);
  if (form == "chunk") return make_swae_chunk(file);
  if (form == "blocks") return make_swae_blocks(file);
  if (form == "block") return make_swae_block(file);
  throw Failure(H5N_ERR_CORRUPT, "h5neural: " + what +
                                     " are of a form of swae that this version does not know; install "
                                     "a newer h5neural");
}

}  // namespace h5neural

// params.cc: see params.h.
#include "codec/params.h"

#include <cmath>
#include <string>

#include "support/failure.h"
#include "weights/weights.h"

namespace h5neural {
namespace {

[[noreturn]] void refuse(int32_t status, const std::string& what) {
  throw Failure(status, "h5neural: " + what);
}

}  // namespace

void check_params(const h5n_params& p) {
  if (p.mode > H5N_BLOCK_NRMSE) {
    refuse(H5N_ERR_UNSUPPORTED,
           "bound mode " + std::to_string(p.mode) +
               " is unknown; use 0 lossless, 1 abs, 2 rel, 3 ratio, 4 psnr, 5 nrmse or 6 block nrmse");
  }
  if (p.type != H5N_FLOAT32 && p.type != H5N_FLOAT64) {
    refuse(H5N_ERR_UNSUPPORTED,
           "only IEEE float32 and float64 are served; store other types with another filter");
  }
  if (p.rank < 1 || p.rank > H5N_MAX_RANK) {
    refuse(H5N_ERR_UNSUPPORTED, "rank " + std::to_string(p.rank) + " is not served; use rank 1 to 8");
  }
  if (p.effort > 9)
    refuse(H5N_ERR_ARGUMENT, "effort " + std::to_string(p.effort) + " is out of range; use 0 to 9");
  uint64_t bytes = p.type == H5N_FLOAT32 ? 4 : 8;
  for (uint32_t a = 0; a < p.rank; ++a) {
    if (p.dims[a] == 0 || p.dims[a] > UINT32_MAX || (bytes *= p.dims[a]) > UINT32_MAX) {
      refuse(H5N_ERR_ARGUMENT, "a chunk must hold 1 value to 4 GiB; choose other chunk extents");
    }
  }
  if (p.model != H5N_MODEL_AUTO && p.model != H5N_MODEL_NONE) {
    find_model(p.model);  // throws with its hash and the places searched: better now than at the first chunk
  }
  if (p.mode == H5N_LOSSLESS) return;
  if (!std::isfinite(p.bound) || p.bound <= 0) {
    refuse(H5N_ERR_ARGUMENT,
           "the bound must be a finite number above 0; for no loss ask for the lossless mode");
  }
  if (p.mode == H5N_RATIO && p.bound >= 1) {
    refuse(H5N_ERR_ARGUMENT, "a pointwise relative bound must be below 1; use abs or rel");
  }
}

}  // namespace h5neural

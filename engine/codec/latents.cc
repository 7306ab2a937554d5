// latents.cc: see latents.h.
#include "codec/latents.h"

#include "bounds/lattice.h"
#include "weights/weights.h"

namespace h5neural {

LatentArray payload_latents(const Payload& p) {
  if (p.model == 0 || (p.kind != H5N_KIND_WALK && p.kind != H5N_KIND_TRANSFORM)) return {};
  const auto model = find_model(p.model);
  const Extents extents = p.extents.folded();
  if (!model->serves(extents)) fail_corrupt("its model does not serve these extents");
  if (model->frames() != nullptr) return {};
  if (model->network() != nullptr) return model->latents(p.latents, extents);
  ByteReader r(p.corrections);
  const Lattice lattice = Lattice::read(r);
  if (lattice.domain != Lattice::kLinear) fail_corrupt("its model is on the bits of values");
  LatentArray a = model->latents(p.latents, extents);
  // A lattice point n is the value (n + origin) * unit.
  for (double& scale : a.scale) scale *= lattice.unit;
  for (double& offset : a.offset) offset = (offset + static_cast<double>(lattice.origin)) * lattice.unit;
  return a;
}

}  // namespace h5neural

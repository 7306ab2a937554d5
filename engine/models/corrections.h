// corrections.h: the family of corrections networks: no latents and no base, but a small network that the
// walk asks about its points (corrections/network.h). What a weights file of the family holds is written in
// docs/weights-format.md.
#pragma once
#include <memory>

#include "corrections/network.h"
#include "models/model.h"
#include "weights/weights_file.h"

namespace h5neural {

class CorrectionsModel final : public Model {
 public:
  // Throws Failure(H5N_ERR_CORRUPT) when the program does not fit what the walk would show it.
  explicit CorrectionsModel(const WeightsFile& file);

  std::string name() const override { return name_; }
  std::string family() const override { return "corrections"; }
  uint64_t hash() const override { return hash_; }
  bool serves(const Extents& extents) const override { return extents.count() != 0; }
  bool general() const override { return true; }
  const WalkNetwork* network() const override { return &network_; }
  // There are none: always nothing; a section that is not empty is refused.
  std::optional<Bytes> encode(std::span<const int32_t>, const Extents&, int32_t) const override { return {}; }
  void decode(ByteSpan latents, const Extents& extents, std::span<int32_t> base) const override;
  LatentArray latents(ByteSpan section, const Extents& extents) const override;

 private:
  std::string name_;
  uint64_t hash_;
  WalkNetwork network_;
};

std::shared_ptr<const Model> make_corrections(const WeightsFile& file);

}  // namespace h5neural

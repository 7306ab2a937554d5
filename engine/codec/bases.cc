// bases.cc: see bases.h.
#include "codec/bases.h"

#include <algorithm>

#include "corrections/grid.h"
#include "models/residual_cost.h"
#include "weights/weights.h"

namespace h5neural {

// Of models' fields, those whose estimate is at most this many times the best one are coded.
constexpr double kProposalNear = 1.15;

std::vector<std::shared_ptr<const Model>> Bases::models() const {
  if (!wanted()) return {};
  if (params_.model != H5N_MODEL_AUTO) return {find_model(params_.model)};
  if (params_.effort == 0) return {};
  auto models = all_models();
  std::erase_if(models,
                [this](const auto& m) { return m->general() && params_.effort < kGeneralModelsFrom; });
  return models;
}

std::vector<std::shared_ptr<const Frames>> Bases::frames() const {
  std::vector<std::shared_ptr<const Frames>> all;
  for (const auto& model : models()) {
    if (model->frames() != nullptr && model->serves(extents_)) all.emplace_back(model, model->frames());
  }
  return all;
}

std::vector<std::shared_ptr<const Model>> Bases::with_base() const {
  auto all = models();
  std::erase_if(all, [this](const auto& m) {
    return m->network() != nullptr || m->frames() != nullptr || !m->serves(extents_);
  });
  return all;
}

std::vector<Proposal> Bases::proposals(const Lattice& lattice, const std::vector<int32_t>& field) const {
  std::vector<Proposal> all;
  const int32_t bin = 1 << lattice.step_bits;
  for (const auto& model : with_base()) {
    auto latents = model->encode(field, extents_, bin);
    if (!latents) continue;
    Proposal p{model, std::move(*latents), std::vector<int32_t>(field.size())};
    model->decode(p.latents, extents_, p.base);
    std::vector<int32_t> rest(field.size());
    for (size_t k = 0; k < rest.size(); ++k) rest[k] = limited_difference(field[k], p.base[k]);
    p.bits = 8 * double(p.latents.size()) + corrections_estimate(rest, extents_, bin);
    all.push_back(std::move(p));
    std::ranges::sort(all, {}, &Proposal::bits);
    const size_t most = params_.effort < 7 ? 2 : params_.effort < 9 ? 3 : all.size();
    if (all.size() > most) all.pop_back();
  }
  std::erase_if(all, [&](const Proposal& p) { return p.bits > kProposalNear * all.front().bits; });
  return all;
}

bool Bases::compare_with_none() const {
  if (params_.model == H5N_MODEL_AUTO || !wanted()) return true;
  return parts_.none && find_model(params_.model)->general();
}

bool Bases::walks_promise() const {
  if (!wanted() || params_.effort == 0) return false;
  if (params_.model != H5N_MODEL_AUTO) return find_model(params_.model)->frames() == nullptr;
  return std::ranges::any_of(all_models(),
                             [&](const auto& m) { return !m->general() && m->serves(extents_); });
}

std::vector<double> less(std::vector<double> target, std::span<const int32_t> base) {
  for (size_t k = 0; k < target.size(); ++k)
    target[k] = std::clamp<double>(target[k] - base[k], -kLatticeMax, kLatticeMax);
  return target;
}

}  // namespace h5neural

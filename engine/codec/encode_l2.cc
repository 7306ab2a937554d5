// encode_l2.cc: see encode_l2.h. Floats are free here.
#include "codec/encode_l2.h"

#include <algorithm>
#include <cmath>

#include "codec/frame_transform.h"
#include "codec/l2_search.h"
#include "corrections/box.h"
#include "support/short_double.h"
#include "transform/plans.h"

namespace h5neural {
namespace {

// A search ends at this many times the size of the best.
constexpr double kHopeless = 1.2;
// A step of the transform in bins, and what a bit is worth in squared steps: measured best on the average of
// all fields (docs/notes/transform.md).
constexpr double kL2Step = 2, kL2Lambda = 0.11;
// L2 bounds on patches. The bin of corrections and the pointwise bound that a search for walks begins with,
// in RMSE; readers may add up squares in another order.
constexpr double kPatchBound = 0.99, kPatchWalk = 1.5, kPatchSlack = 1 - 1e-12;
// A part does not show what mending the worst patches takes: from this effort walks are tried in any case.
constexpr uint32_t kPatchWalkFrom = 5;

}  // namespace

template <class T>
void L2Encoder<T>::run() {
  Setting s = w_.settings.plain();
  if (w_.settings.range() == 0) return;
  errors_.emplace(in_patches() ? Patches::of(w_.chunk.extents) : Patches::whole(w_.chunk.extents),
                  w_.chunk.values.size(), s.specials.classes);
  const double nrmse =
      w_.chunk.params.mode == H5N_PSNR ? std::pow(10.0, -w_.chunk.params.bound / 20) : w_.chunk.params.bound;
  most_rmse_ = nrmse * w_.settings.range() * (in_patches() ? kPatchSlack : 1);
  w_.candidates.keep_rmse(*errors_, most_rmse_);
  s.bound = s.abs_bound = short_double_above(most_rmse_ * (in_patches() ? kPatchBound : std::sqrt(3.0)));
  if (w_.parts.transform) {
    search_transform(s);
    if (const auto m = w_.settings.masked(s)) search_transform(*m);
    if (!w_.candidates.empty() && !w_.bases.walks_promise() &&
        (w_.chunk.params.effort < 3 || !walk_promises_))
      return;
  }
  if (!in_patches()) return search_walks(s);
  s.bound = s.abs_bound = short_double_above(kPatchWalk * most_rmse_);
  search_walks(s);
  if (!w_.candidates.empty()) return;
  s.bound = s.abs_bound = short_double_below(most_rmse_);  // no value is further off than any patch may be
  w_.offer_walks(s);
}

template <class T>
void L2Encoder<T>::search_transform(const Setting& s) {
  Lattice lattice;
  if (s.low == s.high || !w_.chunk.choose_lattice(s, lattice)) return;
  WalkInput in;
  in.n = fold(w_.chunk.extents);
  in.step_bits = lattice.step_bits;
  in.skip = s.specials.classes;
  const std::vector<double> target = w_.chunk.targets(s, lattice);
  const double step = search_plans(s, lattice, in, target, {});
  for (const Proposal& p : w_.bases.proposals(lattice, w_.chunk.filled(s, target))) {
    in.base = p.base;
    search_plans(s, lattice, in, less(target, p.base), {p.model.get(), p.latents, {}});
  }
  if (!in_patches()) search_frames(s, lattice, in, target, step);
}

template <class T>
double L2Encoder<T>::search_plans(const Setting& s, const Lattice& lattice, const WalkInput& in,
                                  const std::vector<double>& target, const Base& base) {
  const std::vector<double> field = smooth_over(in.n, target, in.skip);
  const std::vector<Schedule> schedules =
      propose_schedules(in.n, target, {in.skip.begin(), in.skip.end()}, usual_error(in));
  TransformChoice choice = choice_of(std::ldexp(kL2Step, lattice.step_bits));
  WaveletPlan best;
  for (const WaveletPlan& plan : choose_plans(in, schedules, field, choice, w_.ways.plan_effort())) {
    search_plan(s, lattice, in, analyse(plan, field), target, base, choice);
    if (best.stages.empty()) best = plan;
  }
  // Near the end of its search both are known: a part tells whether the walk can come near.
  const uint32_t always_from = in_patches() ? kPatchWalkFrom : 7;
  walk_promises_ = walk_promises_ || w_.chunk.params.effort >= always_from ||
                   walk_comes_near(in, schedules, field, best, choice);
  return choice.step;
}

template <class T>
void L2Encoder<T>::search_plan(const Setting& s, const Lattice& lattice, const WalkInput& in,
                               const Analysis& analysis, const std::vector<double>& target, const Base& base,
                               TransformChoice& choice) {
  const L2Task task{in, analysis, target, [&](const Bytes& section, std::vector<int32_t>& points) {
                      add_base(in.base, points);
                      return offer(s, lattice, section, points, base);
                    }};
  if (in_patches()) {
    search_patches(task, *errors_, most_rmse_ / lattice.unit, w_.candidates.bar(), choice);
  } else {
    search_step(task, choice);
  }
}

template <class T>
bool L2Encoder<T>::walk_comes_near(const WalkInput& in, const std::vector<Schedule>& schedules,
                                   const std::vector<double>& field, WaveletPlan plan,
                                   const TransformChoice& choice) const {
  constexpr double kNear = 1.3, kShare = 1.0 / 8, kLeastPoints = 16384;
  const Box box(in.n, std::max(kLeastPoints, kShare * double(field.size())));
  const std::vector<double> part = box.cut<double>(field, in.n);
  const std::vector<uint8_t> skip = box.cut(in.skip, in.n);
  WalkInput cut;
  cut.n = plan.n = box.n;
  cut.step_bits = in.step_bits;
  cut.skip = skip;
  const auto price = [&](const Bytes& section, const std::vector<int32_t>& decoded) {
    double squares = 0;
    for (size_t k = 0; k < part.size(); ++k) {
      if (skip.empty() || skip[k] == 0) squares += (part[k] - decoded[k]) * (part[k] - decoded[k]);
    }
    return 8 * double(section.size()) + squares / (choice.step * choice.step * choice.lambda);
  };
  std::vector<int32_t> decoded;
  CoefficientMemory memory;
  const Bytes wave = encode_transform(cut, analyse(plan, part), choice, part, memory, decoded);
  const double of_wave = price(wave, decoded);
  Schedule schedule = cropped(schedules.front(), box.n);
  for (size_t l = 0; l < schedule.levels.size(); ++l) {
    schedule.levels[l].finer = static_cast<uint8_t>(std::min<size_t>(kMaxFiner, 2 * l));
  }
  WalkEffort quick = w_.ways.effort();
  quick.samples = std::min(quick.samples, 700);
  const Bytes walk = encode_walk(cut, schedule, part, quick, decoded);
  return price(walk, decoded) < kNear * of_wave;
}

template <class T>
void L2Encoder<T>::search_frames(const Setting& s, const Lattice& lattice, const WalkInput& in,
                                 const std::vector<double>& target, double step) {
  for (const auto& model : w_.bases.frames()) {
    const std::vector<int32_t> field = w_.chunk.filled(s, target);
    const FrameTransformTask task{
        {*model, w_.bases.extents(), in, target, field},
        w_.ways.plan_effort(),
        [&](const Bytes& latents, const Bytes& section, std::vector<int32_t>& points) {
          return offer(s, lattice, section, points, {model.get(), latents, {}});
        }};
    search_frame_transform(task, choice_of(step));
  }
}

template <class T>
TransformChoice L2Encoder<T>::choice_of(double step) const {
  TransformChoice choice;
  choice.lambda = kL2Lambda;
  choice.spare = w_.ways.effort().spare;
  choice.step = step;
  return choice;
}

template <class T>
double L2Encoder<T>::offer(const Setting& s, const Lattice& lattice, const Bytes& section,
                           const std::vector<int32_t>& points, const Base& base) {
  // The largest error stands in the header as the pointwise bound.
  Setting found = s;
  found.bound = found.abs_bound = short_double_above(w_.candidates.largest_error(s, lattice, points));
  w_.candidates.begin_round();
  w_.candidates.offer(found, lattice, points, H5N_KIND_TRANSFORM, section, base);
  return w_.candidates.round().rmse / most_rmse_;
}

template <class T>
void L2Encoder<T>::search_walks(Setting& s) {
  double bound = s.bound;
  for (const unsigned finer : {2u, 1u, 3u}) {  // quarter octaves a level
    if (finer != 2 && w_.chunk.params.effort < 7) break;
    w_.ways.finer = w_.parts.narrowing ? finer : 0;
    bound = search_bound(s, bound);
  }
}

template <class T>
double L2Encoder<T>::search_bound(Setting& s, double bound) {
  for (int round = 0; round < 5; ++round) {
    s.bound = s.abs_bound = short_double_above(bound);
    w_.candidates.begin_round();
    w_.offer_walks(s);
    if (w_.candidates.round().rmse <= 0) return bound;
    const double factor = most_rmse_ / w_.candidates.round().rmse;
    if (factor >= 1 && factor < 1.01) return bound;
    // Too far behind what there is already.
    if (factor < 1.25 && double(w_.candidates.round().bytes) > kHopeless * double(w_.candidates.bar()))
      return bound;
    bound *= std::clamp(factor * 0.998, 0.5, 4.0);
  }
  return bound;
}

template <class T>
bool L2Encoder<T>::in_patches() const {
  return w_.chunk.params.mode == H5N_BLOCK_NRMSE;
}

template class L2Encoder<float>;
template class L2Encoder<double>;

}  // namespace h5neural

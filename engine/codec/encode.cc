// encode.cc: the writer's way of a chunk: specials set aside -> lattice -> candidates (models, schedules, no
// model, lossless, raw) -> the smallest -> verified with the reader's own code before it leaves. Floats are
// free here; what they decide is transmitted.
#include "codec/encode.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "bounds/lattice.h"
#include "codec/decode.h"
#include "codec/exact_bytes.h"
#include "codec/frame_series.h"
#include "codec/frame_transform.h"
#include "codec/l2_search.h"
#include "codec/params.h"
#include "codec/setting.h"
#include "corrections/box.h"
#include "corrections/choose_schedule.h"
#include "corrections/places.h"
#include "corrections/reference.h"
#include "corrections/repeats.h"
#include "corrections/walk.h"
#include "models/model.h"
#include "models/residual_cost.h"
#include "payload/header.h"
#include "specials/specials.h"
#include "support/parallel.h"
#include "support/short_double.h"
#include "transform/plans.h"
#include "transform/transform.h"
#include "weights/weights.h"
#include "worker/client.h"

namespace h5neural {
namespace {

// From this effort every schedule codes the whole chunk, below it the one that codes a part of it best.
constexpr uint32_t kAllSchedulesFrom = 8;
// From this effort each schedule is tried with straight ends as well.
constexpr uint32_t kStraightFrom = 5;
// From this effort models that serve any field are tried on each.
constexpr uint32_t kGeneralModelsFrom = 7;
// A network in the walk is tried where the walk takes at most this many times the bytes of the best.
constexpr double kNetworkNear = 1.15;
// Of models' fields, those whose estimate is at most this many times the best one are coded.
constexpr double kProposalNear = 1.15;
// A search ends at this many times the size of the best.
constexpr double kHopeless = 1.2;
// A step of the transform in bins, and what a bit is worth in squared steps: measured best on the average of
// all fields (docs/notes/transform.md).
constexpr double kPointwiseStep = 1.4, kPointwiseLambda = 0.08, kL2Step = 2, kL2Lambda = 0.11;
// L2 bounds on patches. The bin of corrections and the pointwise bound that a search for walks begins with,
// in RMSE; readers may add up squares in another order.
constexpr double kPatchBound = 0.99, kPatchWalk = 1.5, kPatchSlack = 1 - 1e-12;
// A part does not show what mending the worst patches takes: from this effort walks are tried in any case.
constexpr uint32_t kPatchWalkFrom = 5;
// From this effort places may learn from plane to plane.
constexpr uint32_t kPlacesFrom = 3;

template <class T>
class Encoder {
 public:
  Encoder(const h5n_params& params, ByteSpan native, const EncoderParts& parts)
      : params_(params),
        native_(native),
        parts_(parts),
        values_(native.size() / sizeof(T)),
        settings_(params, values_) {
    extents_.rank = static_cast<int>(params.rank);
    std::copy_n(params.dims, params.rank, extents_.n.begin());
    std::memcpy(values_.data(), native.data(), native.size());
  }

  Bytes run() {
    const bool helped = search();
    if (!best_.empty() && !verified()) {
      if (helped) {  // once more, all of it by ourselves
        distrust_worker();
        return Encoder(params_, native_, parts_).run();
      }
      // A payload that the reader does not bring back inside the bound would be a defect of ours: kept
      // exactly instead.
      best_.clear();
    }
    Bytes exact = exact_payload();
    return best_.empty() || exact.size() < best_.size() ? exact : std::move(best_);
  }

 private:
  // Finds the smallest candidate. Returns whether a worker had a part in it: only here may it have one.
  bool search() {
    const WorkerScope worker;
    if (params_.mode == H5N_PSNR || params_.mode == H5N_NRMSE || in_patches()) {
      search_l2();
    } else {
      encode_with(settings_.plain());
    }
    return worker.used();
  }

  // ---- candidates
  // ---------------------------------------------------------------------------------------------

  std::optional<Setting> masked(const Setting& s) const {
    return parts_.masks ? settings_.masked(s) : std::nullopt;
  }

  void encode_with(const Setting& s) {
    encode_setting(s);
    if (const auto m = masked(s)) encode_setting(*m);
  }

  void encode_setting(const Setting& s) {
    if (s.low == s.high) {
      offer_constant(s);
      return;
    }
    Lattice lattice;
    if (!choose_lattice(s, lattice)) return;
    const std::vector<double> target = targets(s, lattice);
    const Index4 n = fold(extents_);
    WalkInput in;
    in.n = n;
    in.step_bits = lattice.step_bits;
    in.skip = s.specials.classes;
    const Audition schedules = likely_schedules(in, target, target);
    smallest_walk_ = {};
    const bool plain = compares_with_none();
    if (plain) offer_plain(s, lattice, in, schedules, target);
    // A model that was asked for and has nothing to offer must not cost more than none.
    if (!offer_models(s, lattice, in, schedules.best, target) && !plain)
      offer_plain(s, lattice, in, schedules, target);
    if (parts_.samples != nullptr) take_samples(in, target);
    offer_networks(s, lattice, in, target);
  }

  // A model that was asked for knows of chunks of one size when it pays; one for any chunk does not.
  bool compares_with_none() const {
    if (params_.model == H5N_MODEL_AUTO || params_.model == H5N_MODEL_NONE || !parts_.models) return true;
    return parts_.none && find_model(params_.model)->general();
  }

  void take_samples(WalkInput in, const std::vector<double>& target) const {
    if (!smallest_walk_) return;
    in.base = smallest_walk_->field;
    in.learns = smallest_walk_->learns;
    in.network = parts_.network;
    WalkEffort w = effort();
    w.samples_out = parts_.samples;
    std::vector<int32_t> decoded;
    encode_walk(in, smallest_walk_->schedule, target, w, decoded);
  }

  // The schedules that are worth a whole coding. `rest`: the target less the base.
  Audition likely_schedules(const WalkInput& in, const std::vector<double>& target,
                            const std::vector<double>& rest) const {
    const std::vector<Schedule> all = proposed(in, rest);
    if (params_.effort >= kAllSchedulesFrom || (all.size() == 1 && params_.effort == 0)) return {all, 0};
    // An L2 bound is searched for by coding: what wins on the part at one bound may not at the next.
    const bool closest = params_.effort < 6 && !l2_;
    const double margin = params_.effort < 5 ? -1 : closest ? 0 : params_.effort < 7 ? 0.04 : 0.1;
    return choose_schedules(in, all, target, part_of(in, target, all.front().wraps), quick_effort(), margin);
  }

  std::vector<Schedule> proposed(const WalkInput& in, const std::vector<double>& rest) const {
    std::vector<Schedule> all =
        parts_.axes ? propose_schedules(in.n, rest, {in.skip.begin(), in.skip.end()}, usual_error(in))
                    : std::vector<Schedule>{all_axes_alike(in.n)};
    if (!parts_.order) {
      for (Schedule& schedule : all) schedule = axis_by_axis(schedule);
    }
    for (Schedule& schedule : all) {
      for (size_t l = 0; l < schedule.levels.size(); ++l) {
        schedule.levels[l].finer = static_cast<uint8_t>(std::min<size_t>(kMaxFiner, l * finer_));
      }
    }
    // How values go on beyond the ends is a guess: straight on is always tried as well.
    for (size_t k = 0, n = all.size(); k < n && params_.effort >= kStraightFrom; ++k) {
      Schedule straight = straightened(all[k]);
      if (straight != all[k]) all.push_back(std::move(straight));
    }
    return all;
  }

  // The part of the chunk on which ways to code it are compared.
  Box part_of(const WalkInput& in, const std::vector<double>& target, uint8_t wraps) const {
    constexpr double kLeastPoints = 10000, kMostPoints = 65536;
    const double share = params_.effort < 3 ? 1.0 / 16 : 1.0 / 4;
    Box box(in.n, std::clamp(share * double(target.size()), kLeastPoints, kMostPoints), wraps);
    box.seek(in, target);
    return box;
  }

  WalkEffort quick_effort() const {
    WalkEffort w = effort();
    w.samples = std::min(w.samples, 1000);
    w.pool = 5 * w.samples;
    w.every_kriging = false;
    w.rounds = 1;
    return w;
  }

  WalkEffort effort() const {
    WalkEffort w = walk_effort(params_.effort);
    w.fitted = w.fitted && parts_.fit;
    w.any_kriging = parts_.kriging;
    w.contexts = parts_.contexts;
    w.tables = parts_.tables;
    return w;
  }

  // Where the base comes from: a model and its latents, or a reference and its bytes, or neither.
  struct Base {
    const Model* model = nullptr;
    Bytes latents, reference{0};
  };

  void offer_plain(const Setting& s, const Lattice& lattice, const WalkInput& in, const Audition& schedules,
                   const std::vector<double>& target) {
    const size_t walk = offer_walks(s, lattice, in, schedules.best, target, {});
    if (params_.effort == 0) return;
    if (parts_.reference) offer_reference(s, lattice, in, target, {schedules.bytes, walk});
    if (parts_.repeats) offer_repeats(s);
    if (parts_.transform && !l2_) offer_transform(s, lattice, in, schedules, target, {});
  }

  // What a walk takes on the part and on the whole, by which to judge others from what they take on the part;
  // nothing is known where `part` is 0.
  struct Measure {
    size_t part = 0, whole = 0;
    // Whether a candidate of `fixed` bytes, and `of_part` where the walk takes `part`, cannot come near.
    bool hopeless(size_t fixed, size_t of_part) const {
      constexpr double kNear = 1.05;
      if (part == 0 || of_part == 0) return false;
      const double expected = double(fixed) + double(of_part) * double(whole) / double(part);
      return expected > double(whole) * (kNear + 3 * chance_between(std::min(part, of_part)));
    }
  };

  // A wavelet beside the walk, under a pointwise bound. `target`: less the field of the base.
  void offer_transform(const Setting& s, const Lattice& lattice, const WalkInput& in,
                       const Audition& schedules, const std::vector<double>& target, const Base& base) {
    if (params_.mode == H5N_LOSSLESS || lattice.step_bits == 0) return;
    TransformChoice choice;
    choice.pointwise = true;
    choice.step = std::ldexp(kPointwiseStep, lattice.step_bits);
    choice.lambda = kPointwiseLambda;
    choice.spare = effort().spare;
    if (schedules.bytes != 0) {
      const Box box = part_of(in, target, schedules.best.front().wraps);
      const size_t of_part = transform_of_part(Part(in, target, box), schedules.best, choice);
      if (Measure{schedules.bytes, schedules.bytes}.hopeless(0, of_part)) return;
    }
    const std::vector<double> field = smooth_over(in.n, target, in.skip);
    for (const WaveletPlan& plan : choose_plans(in, schedules.best, field, choice, plan_effort())) {
      std::vector<int32_t> points;
      CoefficientMemory memory;
      const Bytes section = encode_transform(in, analyse(plan, field), choice, target, memory, points);
      add_base(in.base, points);
      finish_lattice(s, lattice, points, H5N_KIND_TRANSFORM, section, base);
    }
  }

  // Bytes of a part under the plan that looks best there.
  static size_t transform_of_part(const Part& part, std::vector<Schedule> schedules,
                                  const TransformChoice& choice) {
    for (Schedule& schedule : schedules) schedule = cropped(schedule, part.in.n);
    const std::vector<double> field = smooth_over(part.in.n, part.field, part.skip);
    const WaveletPlan plan = choose_plans(part.in, schedules, field, choice, {1, 1, 1}).front();
    std::vector<int32_t> points;
    CoefficientMemory memory;
    return encode_transform(part.in, analyse(plan, field), choice, part.field, memory, points).size();
  }

  PlanEffort plan_effort() const {
    if (params_.effort < 3) return {1.0 / 8, 1, 1};
    if (params_.effort < 7) return {1.0 / 4, 4, 1};
    return params_.effort < 9 ? PlanEffort{1.0 / 2, 6, 1} : PlanEffort{1.0, 6, 2};
  }

  std::vector<std::shared_ptr<const Model>> models_to_try() const {
    if (params_.model != H5N_MODEL_AUTO) return {find_model(params_.model)};
    if (params_.effort == 0) return {};
    auto models = all_models();
    std::erase_if(models,
                  [this](const auto& m) { return m->general() && params_.effort < kGeneralModelsFrom; });
    return models;
  }

  // A model's field for the chunk, and about what it and the corrections after it will take.
  struct Proposal {
    std::shared_ptr<const Model> model;
    Bytes latents;
    std::vector<int32_t> base;
    double bits = 0;
  };

  // Those worth a whole coding, cheapest first.
  std::vector<Proposal> proposals(const Lattice& lattice, const std::vector<int32_t>& field) const {
    std::vector<Proposal> all;
    const Extents extents = extents_.folded();
    const int32_t bin = 1 << lattice.step_bits;
    for (const auto& model : models_with_base()) {
      auto latents = model->encode(field, extents, bin);
      if (!latents) continue;
      Proposal p{model, std::move(*latents), std::vector<int32_t>(field.size())};
      model->decode(p.latents, extents, p.base);
      std::vector<int32_t> rest(field.size());
      for (size_t k = 0; k < rest.size(); ++k) rest[k] = limited_difference(field[k], p.base[k]);
      p.bits = 8 * double(p.latents.size()) + corrections_estimate(rest, extents, bin);
      all.push_back(std::move(p));
      std::ranges::sort(all, {}, &Proposal::bits);
      const size_t most = params_.effort < 7 ? 2 : params_.effort < 9 ? 3 : all.size();
      if (all.size() > most) all.pop_back();
    }
    std::erase_if(all, [&](const Proposal& p) { return p.bits > kProposalNear * all.front().bits; });
    return all;
  }

  // Models whose field a walk or a transform may start from.
  std::vector<std::shared_ptr<const Model>> models_with_base() const {
    if (!parts_.models || params_.model == H5N_MODEL_NONE) return {};
    auto models = models_to_try();
    std::erase_if(models, [this](const auto& m) {
      return m->network() != nullptr || m->frames() != nullptr || !m->serves(extents_.folded());
    });
    return models;
  }

  // Tries every schedule, so that the automatic choice is never larger than the same model by name. Returns
  // whether there was anything to offer.
  bool offer_models(const Setting& s, const Lattice& lattice, WalkInput in,
                    const std::vector<Schedule>& schedules, const std::vector<double>& target) {
    if (params_.model == H5N_MODEL_NONE || !parts_.models || lattice.domain != Lattice::kLinear) return false;
    const std::vector<std::shared_ptr<const Model>> models = models_to_try();
    if (models.empty()) return false;
    const std::vector<int32_t> field = filled(s, target);
    bool offered = false;
    for (const Proposal& p : proposals(lattice, field)) {
      in.base = p.base;
      offered = true;
      offer_walks(s, lattice, in, schedules, target, {p.model.get(), p.latents, Bytes{0}});
      if (parts_.transform && !l2_ && params_.effort > 0)
        offer_transform(s, lattice, in, {schedules, 0}, less(target, p.base), {p.model.get(), p.latents, {}});
    }
    in.base = {};
    for (const auto& model : models) {
      if (model->frames() == nullptr || !model->serves(extents_.folded())) continue;
      offer_frames(s, lattice, in, *model->frames(), extents_.folded(), target, field);
      offered = true;
    }
    return offered;
  }

  // Within what a transform takes: a model's field may lie far off.
  static std::vector<double> less(std::vector<double> target, std::span<const int32_t> base) {
    for (size_t k = 0; k < target.size(); ++k)
      target[k] = std::clamp<double>(target[k] - base[k], -kLatticeMax, kLatticeMax);
    return target;
  }

  // The smallest walk once more, with a network in it.
  void offer_networks(const Setting& s, const Lattice& lattice, WalkInput in,
                      const std::vector<double>& target) {
    if (params_.model == H5N_MODEL_NONE || !parts_.models || !smallest_walk_) return;
    const SmallestWalk walk = std::move(*smallest_walk_);
    if (params_.model == H5N_MODEL_AUTO && double(walk.bytes) > kNetworkNear * double(bar())) return;
    in.base = walk.field;
    in.learns = walk.learns;
    for (const auto& model : models_to_try()) {
      in.network = model->network();
      if (in.network == nullptr) continue;
      offer_walks(s, lattice, in, {walk.schedule}, target, {model.get(), {}, walk.reference});
    }
  }

  void offer_frames(const Setting& s, const Lattice& lattice, const WalkInput& in, const Frames& model,
                    const Extents& extents, const std::vector<double>& target,
                    const std::vector<int32_t>& field) {
    const FrameSeriesTask task{
        model,
        extents,
        in,
        target,
        field,
        effort(),
        quick_effort(),
        params_.effort >= kGeneralModelsFrom,
        [&](const WalkInput& part, const std::vector<double>& rest) { return proposed(part, rest); }};
    for (const FrameSeriesCoded& c : encode_frame_series(task))
      finish_lattice(s, lattice, c.points, H5N_KIND_FRAMES, c.corrections, {&model, c.latents, {}});
  }

  // `walk`: without one.
  void offer_reference(const Setting& s, const Lattice& lattice, WalkInput in,
                       const std::vector<double>& target, const Measure& walk) {
    const auto axis = reference_axis(in, target);
    if (!axis) return;
    Base base;
    ByteWriter w;
    std::vector<int32_t> field;
    const Bytes section = encode_reference(in, *axis, target, effort(), field);
    if (section.size() >= bar()) return;  // the rest cannot make up for it
    w.put(static_cast<uint8_t>(*axis + 1));
    w.varint(section.size());
    w.bytes(section);
    base.reference = w.take();
    in.base = field;
    const Audition schedules = likely_schedules(in, target, less(target, field));
    const int slowest = slowest_axis(in.n);
    const bool learns = *axis == slowest && in.n[slowest] >= kLeastPlanes && params_.effort >= kPlacesFrom;
    if (walk.hopeless(section.size(), schedules.bytes)) return;
    offer_walks(s, lattice, in, schedules.best, target, base);
    if (!learns) return;
    in.learns = true;
    base.reference.front() |= kPlacesLearn;
    offer_walks(s, lattice, in, schedules.best, target, base);
  }

  // Lattice points as they are, bins one lattice unit wide; nothing where few of them are equal or come
  // again.
  struct Repeated {
    Lattice lattice;
    std::vector<int32_t> points;
  };
  std::optional<Repeated> repeated(const Setting& s) const {
    constexpr double kWorthTrying = 0.25;
    Repeated r;
    Lattice& lattice = r.lattice;
    if (params_.mode == H5N_LOSSLESS || !choose_lattice(s, lattice)) return {};
    if (lattice.domain == Lattice::kLinear) {
      lattice.unit = std::ldexp(lattice.unit, lattice.step_bits);
      lattice.origin = static_cast<int64_t>(std::nearbyint((s.low / 2 + s.high / 2) / lattice.unit));
    } else {
      lattice.bit_unit <<= lattice.step_bits;
      lattice.origin = (ordered_bits(static_cast<T>(s.low)) / 2 + ordered_bits(static_cast<T>(s.high)) / 2) /
                       lattice.bit_unit;
    }
    lattice.step_bits = 0;
    r.points = filled(s, targets(s, lattice));
    return repeated_share(r.points, extents_) < kWorthTrying ? std::nullopt : std::optional(std::move(r));
  }

  void offer_repeats(const Setting& s) {
    const auto r = repeated(s);
    if (!r) return;
    const Bytes section = encode_repeats(r->points, extents_, static_cast<int>(params_.effort), bar());
    if (!section.empty()) finish_lattice(s, r->lattice, r->points, H5N_KIND_REPEATS, section, {});
  }

  bool choose_lattice(const Setting& s, Lattice& lattice) const {
    if (params_.mode == H5N_LOSSLESS || params_.mode == H5N_RATIO) {
      const double reach = std::ldexp(s.bound, std::numeric_limits<T>::digits - 1);
      return bits_lattice(ordered_bits(static_cast<T>(s.low)), ordered_bits(static_cast<T>(s.high)),
                          static_cast<uint64_t>(reach), lattice);
    }
    const T largest = static_cast<T>(std::max(std::abs(s.low), std::abs(s.high)));
    const T above = std::nextafter(largest, std::numeric_limits<T>::infinity());
    const double half_ulp =
        std::isfinite(above) ? (double(above) - double(largest)) / 2 : double(largest) * 1e-7;
    return linear_lattice(s.low, s.high, s.bound, half_ulp, lattice);
  }

  // The chunk in lattice units about the origin, not rounded.
  std::vector<double> targets(const Setting& s, const Lattice& l) const {
    std::vector<double> t(values_.size());
    for (size_t k = 0; k < t.size(); ++k) {
      if (!s.specials.classes.empty() && s.specials.classes[k] != 0) continue;
      if (l.domain == Lattice::kBits) {
        const int64_t offset = ordered_bits(values_[k]) - l.origin * l.bit_unit;
        t[k] = double(offset) / double(l.bit_unit);
      } else {
        t[k] = double(values_[k]) / l.unit - double(l.origin);
      }
    }
    return t;
  }

  // What a model is shown: rounded, specials filled in from the value before.
  std::vector<int32_t> filled(const Setting& s, const std::vector<double>& target) const {
    std::vector<int32_t> f(target.size());
    const auto& c = s.specials.classes;
    const auto first = std::find(c.begin(), c.end(), 0) - c.begin();
    int32_t last = c.empty() ? 0 : clamp_lattice(std::llround(target[static_cast<size_t>(first)]));
    for (size_t k = 0; k < f.size(); ++k) {
      if (c.empty() || c[k] == 0) last = clamp_lattice(std::llround(target[k]));
      f[k] = last;
    }
    return f;
  }

  // ---- payloads
  // -----------------------------------------------------------------------------------------------

  Payload blank(uint32_t kind, double abs_bound) const {
    Payload p;
    p.kind = kind;
    p.mode = params_.mode;
    p.type = params_.type;
    p.big_endian = params_.big_endian != 0;
    p.bound = params_.mode == H5N_LOSSLESS ? 0 : params_.bound;
    p.abs_bound = abs_bound;
    p.extents = extents_;
    return p;
  }

  // Raw or lossless, whichever is smaller.
  Bytes exact_payload() const {
    Payload p = blank(H5N_KIND_LOSSLESS, 0);
    p.values_hash = hash_values(native_);
    const Bytes packed = pack_exact(native_, sizeof(T), static_cast<int>(params_.effort), bar());
    p.corrections = packed;
    if (packed.empty() || packed.size() >= native_.size()) {
      p.kind = H5N_KIND_RAW;
      p.corrections = native_;
    }
    return write_payload(p);
  }

  void offer_constant(const Setting& s) {
    const T value = static_cast<T>(s.low);
    std::vector<T> decoded(values_.size(), value);
    const Bytes section = write_specials(s.specials, extents_, sizeof(T));
    Payload p = blank(H5N_KIND_CONSTANT, s.abs_bound);
    p.corrections = {reinterpret_cast<const uint8_t*>(&value), sizeof value};
    p.specials = section;
    restore(s.specials, decoded);
    finish(p, s, decoded);
  }

  // Of those without a model.
  struct SmallestWalk {
    size_t bytes = 0;
    Schedule schedule;
    Bytes reference;
    std::vector<int32_t> field;  // of the reference
    bool learns = false;
  };

  // Codes the chunk under each schedule, at a time where threads are to be had. Returns the bytes of the
  // smallest walk.
  size_t offer_walks(const Setting& s, const Lattice& lattice, const WalkInput& in,
                     const std::vector<Schedule>& schedules, const std::vector<double>& target,
                     const Base& base) {
    struct Coded {
      Bytes walk;
      std::vector<int32_t> points;
    };
    std::vector<Coded> coded(schedules.size());
    parallel(static_cast<int>(schedules.size()), [&](int k) {
      Coded& c = coded[static_cast<size_t>(k)];
      c.walk = encode_walk(in, schedules[static_cast<size_t>(k)], target, effort(), c.points);
    });
    size_t least = std::numeric_limits<size_t>::max();
    for (size_t k = 0; k < coded.size(); ++k) {
      ByteWriter section;
      section.bytes(base.reference);
      section.bytes(coded[k].walk);
      const size_t bytes = finish_lattice(s, lattice, coded[k].points, H5N_KIND_WALK, section.take(), base);
      least = std::min(least, coded[k].walk.size());
      if (base.model == nullptr && (!smallest_walk_ || bytes < smallest_walk_->bytes)) {
        smallest_walk_ =
            SmallestWalk{bytes, schedules[k], base.reference, {in.base.begin(), in.base.end()}, in.learns};
      }
    }
    return least;
  }

  // A payload of lattice points: what they decode to, the outliers that they leave, the sections.
  size_t finish_lattice(const Setting& s, const Lattice& lattice, const std::vector<int32_t>& points,
                        uint32_t kind, const Bytes& coded, const Base& base) {
    std::vector<T> decoded(values_.size());
    for (size_t k = 0; k < decoded.size(); ++k) decoded[k] = lattice.value<T>(points[k]);
    Specials specials = s.specials;
    restore(specials, decoded);
    for (size_t k = 0; k < decoded.size(); ++k) {
      if (within(values_[k], decoded[k], s.bound)) continue;
      specials.outliers.push_back({k, bits_of(values_[k])});
      decoded[k] = values_[k];
    }
    ByteWriter corrections;
    lattice.write(corrections);
    corrections.bytes(coded);
    const Bytes c = corrections.take();
    const Bytes section = write_specials(specials, extents_, sizeof(T));
    Payload p = blank(kind, s.abs_bound);
    p.model = base.model ? base.model->hash() : 0;
    p.latents = base.latents;
    p.corrections = c;
    p.specials = section;
    return finish(p, s, decoded);
  }

  void restore(const Specials& s, std::vector<T>& decoded) const {
    for (size_t k = 0; k < s.classes.size(); ++k) {
      if (s.classes[k] != 0) decoded[k] = values_[k];
    }
  }

  // The bound of every mode but the L2 ones, in float64; specials and exact modes bit for bit.
  bool within(T x, T y, double bound) const {
    if (bits_of(x) == bits_of(y)) return true;
    if (bound == 0 || always_special(x) || !std::isfinite(y)) return false;
    const double error = std::abs(double(x) - double(y));
    return params_.mode == H5N_RATIO ? error <= bound * std::abs(double(x)) && (y != 0) : error <= bound;
  }

  size_t finish(Payload& p, const Setting& s, const std::vector<T>& decoded) {
    if (l2_) {
      const double error = rmse(decoded);
      const size_t about = p.corrections.size() + p.latents.size() + p.specials.size();
      if (about < round_size_) {
        round_size_ = about;
        round_rmse_ = error;
      }
      if (error > rmse_limit_) return std::numeric_limits<size_t>::max();
    }
    p.values_hash =
        hash_values({reinterpret_cast<const uint8_t*>(decoded.data()), decoded.size() * sizeof(T)});
    Bytes out = write_payload(p);
    const size_t size = out.size();
    if (size < bar()) {
      best_ = std::move(out);
      best_bound_ = s.bound;
    }
    return size;
  }

  // Size that a candidate must come below.
  size_t bar() const { return best_.empty() ? native_.size() : best_.size(); }

  // Of the worst patch; of the chunk where that is one.
  double rmse(const std::vector<T>& decoded) const {
    return l2_->worst([&](size_t k) {
      return bits_of(values_[k]) == bits_of(decoded[k]) ? 0.0 : double(values_[k]) - double(decoded[k]);
    });
  }

  // The best payload with the reader's own code and the reader's own arithmetic, value by value.
  bool verified() const {
    std::vector<T> decoded(values_.size());
    try {
      Payload p = parse_payload(best_);
      p.big_endian = false;
      decode_payload(p, {reinterpret_cast<uint8_t*>(decoded.data()), native_.size()});
    } catch (const Failure&) {
      return false;
    }
    for (size_t k = 0; k < values_.size(); ++k) {
      if (!within(values_[k], decoded[k], best_bound_)) return false;
    }
    return !l2_ || rmse(decoded) <= rmse_limit_;
  }

  // ---- L2 modes
  // -----------------------------------------------------------------------------------------------

  void search_l2() {
    Setting s = settings_.plain();
    if (settings_.range() == 0) return;
    l2_.emplace(in_patches() ? Patches::of(extents_) : Patches::whole(extents_), values_.size(),
                s.specials.classes);
    const double nrmse = params_.mode == H5N_PSNR ? std::pow(10.0, -params_.bound / 20) : params_.bound;
    rmse_limit_ = nrmse * settings_.range() * (in_patches() ? kPatchSlack : 1);
    s.bound = s.abs_bound = short_double_above(rmse_limit_ * (in_patches() ? kPatchBound : std::sqrt(3.0)));
    if (parts_.transform) {
      search_transform(s);
      if (const auto m = masked(s)) search_transform(*m);
      if (!best_.empty() && !models_promise() && (params_.effort < 3 || !walk_promises_)) return;
    }
    if (!in_patches()) return search_walks(s);
    s.bound = s.abs_bound = short_double_above(kPatchWalk * rmse_limit_);
    search_walks(s);
    if (!best_.empty()) return;
    s.bound = s.abs_bound = short_double_below(rmse_limit_);  // no value is further off than any patch may be
    encode_with(s);
  }

  bool in_patches() const { return params_.mode == H5N_BLOCK_NRMSE; }

  // Whether a model, which has a walk after it, may do better than a transform: one was asked for, or there
  // is one for chunks just like this.
  bool models_promise() const {
    if (!parts_.models || params_.effort == 0 || params_.model == H5N_MODEL_NONE) return false;
    if (params_.model != H5N_MODEL_AUTO) return find_model(params_.model)->frames() == nullptr;
    const Extents extents = extents_.folded();
    return std::ranges::any_of(all_models(),
                               [&](const auto& m) { return !m->general() && m->serves(extents); });
  }

  // The step of a transform whose RMSE just keeps the L2 bound.
  void search_transform(const Setting& s) {
    Lattice lattice;
    if (s.low == s.high || !choose_lattice(s, lattice)) return;
    WalkInput in;
    in.n = fold(extents_);
    in.step_bits = lattice.step_bits;
    in.skip = s.specials.classes;
    const std::vector<double> target = targets(s, lattice);
    const double step = search_plans(s, lattice, in, target, {});
    for (const Proposal& p : proposals(lattice, filled(s, target))) {
      in.base = p.base;
      search_plans(s, lattice, in, less(target, p.base), {p.model.get(), p.latents, {}});
    }
    if (!in_patches()) search_frames(s, lattice, in, target, step);
  }

  // What is left of frames predicted one after the other, in place of the field. `step`: to begin with.
  void search_frames(const Setting& s, const Lattice& lattice, const WalkInput& in,
                     const std::vector<double>& target, double step) {
    if (params_.model == H5N_MODEL_NONE || !parts_.models) return;
    for (const auto& model : models_to_try()) {
      const Extents extents = extents_.folded();
      if (model->frames() == nullptr || !model->serves(extents)) continue;
      const std::vector<int32_t> field = filled(s, target);
      const FrameTransformTask task{
          *model->frames(),
          extents,
          in,
          target,
          field,
          plan_effort(),
          [&](const Bytes& latents, const Bytes& section, std::vector<int32_t>& points) {
            return offer_l2(s, lattice, section, points, {model.get(), latents, {}});
          }};
      search_frame_transform(task, l2_choice(step));
    }
  }

  TransformChoice l2_choice(double step) const {
    TransformChoice choice;
    choice.lambda = kL2Lambda;
    choice.spare = effort().spare;
    choice.step = step;
    return choice;
  }

  // A transform's points; returns the error that they leave, of the one allowed.
  double offer_l2(const Setting& s, const Lattice& lattice, const Bytes& section,
                  const std::vector<int32_t>& points, const Base& base) {
    // The largest error stands in the header as the pointwise bound.
    Setting found = s;
    found.bound = found.abs_bound = short_double_above(largest_error(s, lattice, points));
    forget_round();
    finish_lattice(found, lattice, points, H5N_KIND_TRANSFORM, section, base);
    return round_rmse_ / rmse_limit_;
  }

  // `target`: less the field of the base. Returns the last step.
  double search_plans(const Setting& s, const Lattice& lattice, const WalkInput& in,
                      const std::vector<double>& target, const Base& base) {
    const std::vector<double> field = smooth_over(in.n, target, in.skip);
    const std::vector<Schedule> schedules =
        propose_schedules(in.n, target, {in.skip.begin(), in.skip.end()}, usual_error(in));
    TransformChoice choice = l2_choice(std::ldexp(kL2Step, lattice.step_bits));
    WaveletPlan best;
    for (const WaveletPlan& plan : choose_plans(in, schedules, field, choice, plan_effort())) {
      search_plan(s, lattice, in, analyse(plan, field), target, base, choice);
      if (best.stages.empty()) best = plan;
    }
    // Near the end of its search both are known: a part tells whether the walk can come near.
    const uint32_t always_from = in_patches() ? kPatchWalkFrom : 7;
    walk_promises_ = walk_promises_ || params_.effort >= always_from ||
                     walk_comes_near(in, schedules, field, best, choice);
    return choice.step;
  }

  // Whether the walk comes near a transform for what it leaves, on a part of the
  // field.
  bool walk_comes_near(const WalkInput& in, const std::vector<Schedule>& schedules,
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
    WalkEffort quick = effort();
    quick.samples = std::min(quick.samples, 700);
    const Bytes walk = encode_walk(cut, schedule, part, quick, decoded);
    return price(walk, decoded) < kNear * of_wave;
  }

  void search_plan(const Setting& s, const Lattice& lattice, const WalkInput& in, const Analysis& analysis,
                   const std::vector<double>& target, const Base& base, TransformChoice& choice) {
    const L2Task task{in, analysis, target, [&](const Bytes& section, std::vector<int32_t>& points) {
                        add_base(in.base, points);
                        return offer_l2(s, lattice, section, points, base);
                      }};
    if (in_patches()) {
      search_patches(task, *l2_, rmse_limit_ / lattice.unit, bar(), choice);
    } else {
      search_step(task, choice);
    }
  }

  void forget_round() {
    round_size_ = std::numeric_limits<size_t>::max();
    round_rmse_ = 0;
  }

  double largest_error(const Setting& s, const Lattice& lattice, const std::vector<int32_t>& points) const {
    double largest = 0;
    for (size_t k = 0; k < values_.size(); ++k) {
      if (!s.specials.classes.empty() && s.specials.classes[k] != 0) continue;
      const double e = std::abs(double(values_[k]) - double(lattice.value<T>(points[k])));
      largest = std::max(largest, e);
    }
    return largest;
  }

  // Coarse levels are predicted from by many: with the mean square to keep, their bins are better narrower
  // than those of the finest level, the more the coarser (a pointwise bound leaves no such choice).
  void search_walks(Setting& s) {
    double bound = s.bound;
    for (const unsigned finer : {2u, 1u, 3u}) {  // quarter octaves a level
      if (finer != 2 && params_.effort < 7) break;
      finer_ = parts_.narrowing ? finer : 0;
      bound = search_bound(s, bound);
    }
  }

  // Finds the pointwise bound whose RMSE just keeps the L2 bound, by the ratio of what was asked for to what
  // came out. Returns where it stopped.
  double search_bound(Setting& s, double bound) {
    for (int round = 0; round < 5; ++round) {
      s.bound = s.abs_bound = short_double_above(bound);
      forget_round();
      encode_with(s);
      if (round_rmse_ <= 0) return bound;
      const double factor = rmse_limit_ / round_rmse_;
      if (factor >= 1 && factor < 1.01) return bound;
      // Too far behind what there is already.
      if (factor < 1.25 && double(round_size_) > kHopeless * double(bar())) return bound;
      bound *= std::clamp(factor * 0.998, 0.5, 4.0);
    }
    return bound;
  }

  const h5n_params& params_;
  ByteSpan native_;
  EncoderParts parts_;
  Extents extents_;
  std::vector<T> values_;
  Settings<T> settings_;
  std::optional<L2Error> l2_;  // L2 modes only
  double rmse_limit_ = 0;      // of each of its patches
  size_t round_size_ = 0;      // of the smallest candidate at the bound being tried, and its error
  double round_rmse_ = 0;
  bool walk_promises_ = false;
  unsigned finer_ = 0;  // quarter octaves by which bins narrow from level to level
  std::optional<SmallestWalk> smallest_walk_;
  Bytes best_;             // the smallest candidate so far
  double best_bound_ = 0;  // its pointwise bound
};

}  // namespace

Bytes encode_chunk(const h5n_params& params, ByteSpan chunk, const EncoderParts& parts) {
  check_params(params);
  uint64_t bytes = params.type == H5N_FLOAT32 ? 4 : 8;
  for (uint32_t a = 0; a < params.rank; ++a) bytes *= params.dims[a];
  if (bytes != chunk.size()) {
    throw Failure(H5N_ERR_ARGUMENT, "h5neural: the chunk has " + std::to_string(chunk.size()) +
                                        " bytes, its extents ask for " + std::to_string(bytes) +
                                        "; pass the extents of this chunk");
  }
  Bytes swapped;
  if (params.big_endian) {
    swapped.assign(chunk.begin(), chunk.end());
    swap_bytes(swapped, params.type == H5N_FLOAT32 ? 4 : 8);
    chunk = swapped;
  }
  return params.type == H5N_FLOAT32 ? Encoder<float>(params, chunk, parts).run()
                                    : Encoder<double>(params, chunk, parts).run();
}

}  // namespace h5neural

// encode.cc: the writer's way of a chunk: specials set aside -> lattice -> candidates (models, schedules, no
// model, lossless, raw) -> the smallest -> verified with the reader's own code before it leaves. Floats are
// free here; what they decide is transmitted.
#include "codec/encode.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "codec/bases.h"
#include "codec/candidates.h"
#include "codec/chunk.h"
#include "codec/encode_l2.h"
#include "codec/exact_bytes.h"
#include "codec/frame_series.h"
#include "codec/params.h"
#include "codec/setting.h"
#include "codec/ways.h"
#include "corrections/box.h"
#include "corrections/choose_schedule.h"
#include "corrections/places.h"
#include "corrections/reference.h"
#include "corrections/repeats.h"
#include "corrections/walk.h"
#include "support/parallel.h"
#include "transform/plans.h"
#include "transform/transform.h"
#include "worker/client.h"

namespace h5neural {
namespace {

// A network in the walk is tried where the walk takes at most this many times the bytes of the best.
constexpr double kNetworkNear = 1.15;
// A step of the transform in bins, and what a bit is worth in squared steps: measured best on the average of
// all fields (docs/notes/transform.md).
constexpr double kPointwiseStep = 1.4, kPointwiseLambda = 0.08;
// From this effort places may learn from plane to plane.
constexpr uint32_t kPlacesFrom = 3;

template <class T>
class Encoder {
 public:
  Encoder(const h5n_params& params, ByteSpan native, const EncoderParts& parts)
      : params_(params),
        parts_(parts),
        chunk_(params, native),
        settings_(params, chunk_.values, parts.masks),
        bases_(params, parts, chunk_.extents),
        ways_(params, parts),
        candidates_(chunk_) {}

  Bytes run() {
    const bool helped = search();
    if (!candidates_.empty() && !candidates_.verified()) {
      if (helped) {  // once more, all of it by ourselves
        distrust_worker();
        return Encoder(params_, chunk_.native, parts_).run();
      }
      // A payload that the reader does not bring back inside the bound would be a defect of ours: kept
      // exactly instead.
      candidates_.drop();
    }
    return candidates_.take();
  }

 private:
  // Finds the smallest candidate. Returns whether a worker had a part in it: only here may it have one.
  bool search() {
    const WorkerScope worker;
    const auto offer = [this](const Setting& s) { encode_with(s); };
    if (is_l2(params_)) {
      L2Encoder<T>({chunk_, settings_, parts_, bases_, ways_, candidates_, offer}).run();
    } else {
      encode_with(settings_.plain());
    }
    return worker.used();
  }

  void encode_with(const Setting& s) {
    encode_setting(s);
    if (const auto m = settings_.masked(s)) encode_setting(*m);
  }

  void encode_setting(const Setting& s) {
    if (s.low == s.high) {
      candidates_.offer_constant(s);
      return;
    }
    Lattice lattice;
    if (!chunk_.choose_lattice(s, lattice)) return;
    const std::vector<double> target = chunk_.targets(s, lattice);
    const Index4 n = fold(chunk_.extents);
    WalkInput in;
    in.n = n;
    in.step_bits = lattice.step_bits;
    in.skip = s.specials.classes;
    const Audition schedules = ways_.likely_schedules(in, target, target);
    smallest_walk_ = {};
    const bool plain = bases_.compare_with_none();
    if (plain) offer_plain(s, lattice, in, schedules, target);
    // A model that was asked for and has nothing to offer must not cost more than none.
    if (!offer_models(s, lattice, in, schedules.best, target) && !plain)
      offer_plain(s, lattice, in, schedules, target);
    if (parts_.samples != nullptr) take_samples(in, target);
    offer_networks(s, lattice, in, target);
  }

  void take_samples(WalkInput in, const std::vector<double>& target) const {
    if (!smallest_walk_) return;
    in.base = smallest_walk_->field;
    in.learns = smallest_walk_->learns;
    in.network = parts_.network;
    WalkEffort w = ways_.effort();
    w.samples_out = parts_.samples;
    std::vector<int32_t> decoded;
    encode_walk(in, smallest_walk_->schedule, target, w, decoded);
  }

  void offer_plain(const Setting& s, const Lattice& lattice, const WalkInput& in, const Audition& schedules,
                   const std::vector<double>& target) {
    const size_t walk = offer_walks(s, lattice, in, schedules.best, target, {});
    if (params_.effort == 0) return;
    if (parts_.reference) offer_reference(s, lattice, in, target, {schedules.bytes, walk});
    if (parts_.repeats) offer_repeats(s);
    if (parts_.transform && !is_l2(params_)) offer_transform(s, lattice, in, schedules, target, {});
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
    choice.spare = ways_.effort().spare;
    if (schedules.bytes != 0) {
      const Box box = ways_.part_of(in, target, schedules.best.front().wraps);
      const size_t of_part = transform_of_part(Part(in, target, box), schedules.best, choice);
      if (Measure{schedules.bytes, schedules.bytes}.hopeless(0, of_part)) return;
    }
    const std::vector<double> field = smooth_over(in.n, target, in.skip);
    for (const WaveletPlan& plan : choose_plans(in, schedules.best, field, choice, ways_.plan_effort())) {
      std::vector<int32_t> points;
      CoefficientMemory memory;
      const Bytes section = encode_transform(in, analyse(plan, field), choice, target, memory, points);
      add_base(in.base, points);
      candidates_.offer(s, lattice, points, H5N_KIND_TRANSFORM, section, base);
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

  // Tries every schedule, so that the automatic choice is never larger than the same model by name. Returns
  // whether there was anything to offer.
  bool offer_models(const Setting& s, const Lattice& lattice, WalkInput in,
                    const std::vector<Schedule>& schedules, const std::vector<double>& target) {
    if (lattice.domain != Lattice::kLinear || bases_.models().empty()) return false;
    const std::vector<int32_t> field = chunk_.filled(s, target);
    bool offered = false;
    for (const Proposal& p : bases_.proposals(lattice, field)) {
      in.base = p.base;
      offered = true;
      offer_walks(s, lattice, in, schedules, target, {p.model.get(), p.latents, Bytes{0}});
      if (parts_.transform && !is_l2(params_) && params_.effort > 0)
        offer_transform(s, lattice, in, {schedules, 0}, less(target, p.base), {p.model.get(), p.latents, {}});
    }
    in.base = {};
    for (const auto& model : bases_.frames()) {
      offer_frames(s, lattice, in, *model, target, field);
      offered = true;
    }
    return offered;
  }

  // The smallest walk once more, with a network in it.
  void offer_networks(const Setting& s, const Lattice& lattice, WalkInput in,
                      const std::vector<double>& target) {
    if (!smallest_walk_) return;
    const SmallestWalk walk = std::move(*smallest_walk_);
    if (params_.model == H5N_MODEL_AUTO && double(walk.bytes) > kNetworkNear * double(candidates_.bar()))
      return;
    in.base = walk.field;
    in.learns = walk.learns;
    for (const auto& model : bases_.models()) {
      in.network = model->network();
      if (in.network == nullptr) continue;
      offer_walks(s, lattice, in, {walk.schedule}, target, {model.get(), {}, walk.reference});
    }
  }

  void offer_frames(const Setting& s, const Lattice& lattice, const WalkInput& in, const Frames& model,
                    const std::vector<double>& target, const std::vector<int32_t>& field) {
    const FrameSeriesTask task{
        {model, bases_.extents(), in, target, field},
        ways_.effort(),
        ways_.quick_effort(),
        params_.effort >= kGeneralModelsFrom,
        [&](const WalkInput& part, const std::vector<double>& rest) { return ways_.proposed(part, rest); }};
    for (const FrameSeriesCoded& c : encode_frame_series(task))
      candidates_.offer(s, lattice, c.points, H5N_KIND_FRAMES, c.corrections, {&model, c.latents, {}});
  }

  // `walk`: without one.
  void offer_reference(const Setting& s, const Lattice& lattice, WalkInput in,
                       const std::vector<double>& target, const Measure& walk) {
    const auto axis = reference_axis(in, target);
    if (!axis) return;
    Base base;
    ByteWriter w;
    std::vector<int32_t> field;
    const Bytes section = encode_reference(in, *axis, target, ways_.effort(), field);
    if (section.size() >= candidates_.bar()) return;  // the rest cannot make up for it
    w.put(static_cast<uint8_t>(*axis + 1));
    w.varint(section.size());
    w.bytes(section);
    base.reference = w.take();
    in.base = field;
    const Audition schedules = ways_.likely_schedules(in, target, less(target, field));
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
    if (params_.mode == H5N_LOSSLESS || !chunk_.choose_lattice(s, lattice)) return {};
    if (lattice.domain == Lattice::kLinear) {
      lattice.unit = std::ldexp(lattice.unit, lattice.step_bits);
      lattice.origin = static_cast<int64_t>(std::nearbyint((s.low / 2 + s.high / 2) / lattice.unit));
    } else {
      lattice.bit_unit <<= lattice.step_bits;
      lattice.origin = (ordered_bits(static_cast<T>(s.low)) / 2 + ordered_bits(static_cast<T>(s.high)) / 2) /
                       lattice.bit_unit;
    }
    lattice.step_bits = 0;
    r.points = chunk_.filled(s, chunk_.targets(s, lattice));
    return repeated_share(r.points, chunk_.extents) < kWorthTrying ? std::nullopt
                                                                   : std::optional(std::move(r));
  }

  void offer_repeats(const Setting& s) {
    const auto r = repeated(s);
    if (!r) return;
    const Bytes section =
        encode_repeats(r->points, chunk_.extents, static_cast<int>(params_.effort), candidates_.bar());
    if (!section.empty()) candidates_.offer(s, r->lattice, r->points, H5N_KIND_REPEATS, section, {});
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
      c.walk = encode_walk(in, schedules[static_cast<size_t>(k)], target, ways_.effort(), c.points);
    });
    size_t least = std::numeric_limits<size_t>::max();
    for (size_t k = 0; k < coded.size(); ++k) {
      ByteWriter section;
      section.bytes(base.reference);
      section.bytes(coded[k].walk);
      const size_t bytes =
          candidates_.offer(s, lattice, coded[k].points, H5N_KIND_WALK, section.take(), base);
      least = std::min(least, coded[k].walk.size());
      if (base.model == nullptr && (!smallest_walk_ || bytes < smallest_walk_->bytes)) {
        smallest_walk_ =
            SmallestWalk{bytes, schedules[k], base.reference, {in.base.begin(), in.base.end()}, in.learns};
      }
    }
    return least;
  }

  const h5n_params& params_;
  EncoderParts parts_;
  Chunk<T> chunk_;
  Settings<T> settings_;
  Bases bases_;
  Ways ways_;
  Candidates<T> candidates_;
  std::optional<SmallestWalk> smallest_walk_;
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

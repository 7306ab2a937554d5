// walk_encode.cc: the writer of a corrections section; see walk.h and walk_decode.cc, which it mirrors step
// by step.
#include <algorithm>

#include "corrections/fit.h"
#include "corrections/residual.h"
#include "corrections/walk.h"

namespace h5neural {
namespace {

class WalkEncoder {
 public:
  WalkEncoder(const WalkInput& in, const Schedule& schedule, std::span<const double> target,
              const WalkEffort& effort)
      : in_(in), schedule_(schedule), target_(target), effort_(effort), fit_(in, effort) {
    weights_.fill(kInitialWeights);
    if (in.base.empty()) return;
    difference_.resize(target.size());
    for (size_t k = 0; k < target.size(); ++k) difference_[k] = target[k] - in.base[k];
    target_ = difference_;
  }

  Bytes run(std::vector<int32_t>& decoded) {
    write_schedule(side_, schedule_);
    const std::vector<Rung> rungs = ladder(schedule_);
    LevelState state = root_level(in_, schedule_, rungs.back());
    root(state);
    for (size_t l = schedule_.levels.size(); l-- > 0;) {
      state = refine(in_, state, rungs[l], schedule_.levels[l]);
      level(state);
    }
    decoded.resize(target_.size());
    finish_field(in_, state, decoded);
    const Bytes side = side_.finish();
    ByteWriter out;
    out.varint(side.size());
    out.bytes(side);
    out.bytes(residuals_.finish(effort_.spare));
    return out.take();
  }

 private:
  // To the nearest bin; by adding 1.5 * 2^52, which the compiler vectorises and std::nearbyint it does not.
  static int32_t quantise(double target, int32_t prediction, double per_bin) {
    constexpr double kRound = 6755399441055744.0, kMost = kResidualMax >> 1;
    const double bins = std::clamp((target - prediction) * per_bin, -kMost, kMost);
    return static_cast<int32_t>((bins + kRound) - kRound);
  }

  void root(LevelState& s) {
    IntModel model;
    int64_t last = 0;
    for_root_points(in_, s, [&](int64_t at) {
      if (in_.skip.empty() || !in_.skip[at]) {
        const int32_t q = quantise(target_[at], static_cast<int32_t>(last), 1.0 / s.bin);
        model.encode(side_, q);
        last = clamp_lattice(last + int64_t{q} * s.bin);
      }
      return static_cast<int32_t>(last);
    });
  }

  void level(LevelState& s) {
    uint32_t known = 1;
    int order = 0;
    for (const uint8_t axes : coset_order(s.level.mask)) {
      begin_coset(in_, s, axes, order++, known, coset_);
      if (coset_.points > 0) coset(s);
      known |= 1u << axes;
    }
  }

  void coset(LevelState& s) {
    CosetState& c = coset_;
    own_.clear();
    for_chunk_rows(in_, s, c, [&](const Index4&, int64_t at, int64_t step) {
      for (int k = 0; k < c.count[kAxes - 1]; ++k) own_.push_back(target_[at + k * step]);
    });
    fit_.begin(s, c, own_);
    const PredictorChoice choice = fit_.predictor(last_[c.order]);
    last_[c.order] = choice;
    models_.predictor(side_, c.order, choice);
    predict(s, predictor_taps(s, c, coefficients(in_, *c.geometry, choice)), c);
    if (c.points >= kWeightsFrom) models_.weights(side_, weights_[c.order], fit_.weights(weights_[c.order]));
    choose_contexts(s, context_taps(in_, s, c, weights_[c.order]), c);
    const double per_bin = 1.0 / s.bin;
    for (int64_t k = 0; k < c.points; ++k) {
      c.quantised[k] = quantise(own_[k], c.prediction[k], per_bin);
    }
    if (c.skip.empty()) {
      encode({c.context.data(), size_t(c.points)}, {c.quantised.data(), size_t(c.points)});
    } else {
      encode_unskipped();
    }
    accept(s, c);
  }

  void encode(std::span<const uint8_t> contexts, std::span<const int32_t> quantised) {
    for (auto& m : members_) m.clear();
    for (size_t k = 0; k < contexts.size(); ++k) members_[contexts[k]].push_back(quantised[k]);
    ContextTables tables{};
    for (int x = 0; x < kContexts; ++x) {
      if (members_[x].empty()) continue;
      TableChoice t = models_.implied(suggested_scale(x));
      if (static_cast<int64_t>(members_[x].size()) >= kFewPoints) {
        if (effort_.tables) t = fit_table(members_[x], t);
        models_.table(side_, suggested_scale(x), t);
      }
      tables[x] = residual_table(t);
    }
    residuals_.batch(quantised, contexts, tables);
  }

  void encode_unskipped() {
    CosetState& c = coset_;
    std::vector<uint8_t> contexts;
    std::vector<int32_t> quantised;
    for (int64_t k = 0; k < c.points; ++k) {
      if (c.skip[k]) {
        c.quantised[k] = 0;
        continue;
      }
      contexts.push_back(c.context[k]);
      quantised.push_back(c.quantised[k]);
    }
    encode(contexts, quantised);
  }

  const WalkInput& in_;
  const Schedule& schedule_;
  std::span<const double> target_;  // less the base
  std::vector<double> difference_;
  BitEncoder side_;
  ResidualEncoder residuals_;
  SideModels models_;
  WalkEffort effort_;
  CosetFit fit_;
  std::array<ContextWeights, 8> weights_{};
  std::array<PredictorChoice, 8> last_;  // by place in the coset order
  CosetState coset_;
  std::vector<double> own_;  // targets of the coset
  std::array<std::vector<int32_t>, kContexts> members_;
};

}  // namespace

Bytes encode_walk(const WalkInput& in, const Schedule& schedule, std::span<const double> target,
                  const WalkEffort& effort, std::vector<int32_t>& decoded) {
  return WalkEncoder(in, schedule, target, effort).run(decoded);
}

}  // namespace h5neural

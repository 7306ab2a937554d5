// walk_encode.cc: the writer of a corrections section; see walk.h and walk_decode.cc, which it mirrors step
// by step.
#include <cmath>

#include "corrections/fit.h"
#include "corrections/ladder.h"
#include "corrections/residual.h"
#include "corrections/walk.h"

namespace h5neural {
namespace {

class WalkEncoder {
 public:
  WalkEncoder(const WalkInput& in, const Schedule& schedule, std::span<const double> target)
      : in_(in), schedule_(schedule), target_(target.begin(), target.end()) {
    for (size_t k = 0; k < in.base.size(); ++k) target_[k] -= in.base[k];
  }

  Bytes run(std::vector<int32_t>& decoded) {
    write_schedule(side_, schedule_);
    const std::vector<Rung> rungs = ladder(schedule_);
    LevelState state = root(rungs.back());
    for (size_t l = schedule_.levels.size(); l-- > 0;) {
      state = refine(state, Layout::make(rungs[l].grid), schedule_.levels[l], schedule_.border);
      state.skip = sample(in_.skip, in_.n, rungs[l].stride, rungs[l].grid);
      level(state, sample(std::span<const double>(target_), in_.n, rungs[l].stride, rungs[l].grid));
    }
    decoded.resize(target_.size());
    size_t k = 0;
    for_rows(state.layout, Coset{}, [&](int64_t p, const Index4&, int count) {
      for (int i = 0; i < count; ++i, ++k) {
        decoded[k] = clamp_lattice(int64_t{state.value[p + i]} + (in_.base.empty() ? 0 : in_.base[k]));
      }
    });
    const Bytes side = side_.finish();
    ByteWriter out;
    out.varint(side.size());
    out.bytes(side);
    out.bytes(rans_.finish());
    return out.take();
  }

 private:
  int32_t quantise(double target, int64_t prediction) const {
    const double q = std::nearbyint((target - double(prediction)) / double(int64_t{1} << in_.step_bits));
    return static_cast<int32_t>(std::clamp(q, -double(kResidualMax >> 1), double(kResidualMax >> 1)));
  }

  LevelState root(const Rung& rung) {
    LevelState s;
    s.layout = Layout::make(rung.grid);
    s.value.assign(s.layout.size, 0);
    s.magnitude.assign(s.layout.size, 0);
    s.skip = sample(in_.skip, in_.n, rung.stride, rung.grid);
    const auto target = sample(std::span<const double>(target_), in_.n, rung.stride, rung.grid);
    IntModel model;
    int64_t last = 0;
    size_t k = 0;
    for_rows(s.layout, Coset{}, [&](int64_t p, const Index4&, int count) {
      for (int i = 0; i < count; ++i, ++k) {
        if (s.skip.empty() || !s.skip[k]) {
          const int32_t q = quantise(target[k], last);
          model.encode(side_, q);
          last = clamp_lattice(last + int64_t{q} * (int64_t{1} << in_.step_bits));
        }
        s.value[p + i] = static_cast<int32_t>(last);
      }
    });
    return s;
  }

  void level(LevelState& s, const std::vector<double>& target) {
    uint32_t known = 1;
    int order = 0;
    for (const uint8_t axes : coset_order(s.level.mask)) {
      CosetState c = make_coset_state(s, axes, order++, known);
      std::vector<double> own;
      own.reserve(c.points);
      for_rows(s.layout, c.coset, [&](int64_t, const Index4& i, int count) {
        const int64_t at =
            ((int64_t{i[0]} * s.layout.n[1] + i[1]) * s.layout.n[2] + i[2]) * s.layout.n[3] + i[3];
        for (int k = 0; k < count; ++k) own.push_back(target[at + k * c.coset.step[3]]);
      });
      if (c.points > 0) coset(s, c, own);
      known |= 1u << axes;
    }
  }

  void coset(LevelState& s, CosetState& c, const std::vector<double>& target) {
    const PredictorChoice choice = fit_predictor(s, c, target, in_.step_bits);
    models_.predictor(side_, c.order, choice);
    predict(s,
            make_predictor(s.layout, c.stencil, choice,
                           kriging(c.stencil, s.level.weight, choice.exponent, choice.nugget)),
            c);
    if (c.points >= kWeightsFrom) {
      models_.weights(side_, weights_[c.order], fit_weights(s, c, target, in_.step_bits, weights_[c.order]));
    }
    choose_contexts(s, weights_[c.order], in_.step_bits, c);

    quantised_.assign(c.points, 0);
    std::array<std::vector<int32_t>, kContexts> members;
    for (int64_t k = 0; k < c.points; ++k) {
      if (!c.skip.empty() && c.skip[k]) continue;
      quantised_[k] = quantise(target[k], c.prediction[k]);
      members[c.context[k]].push_back(quantised_[k]);
    }
    std::array<ResidualTable, kContexts> tables{};
    for (int x = 0; x < kContexts; ++x) {
      if (members[x].empty()) continue;
      TableChoice t = models_.implied(suggested_scale(x));
      if (static_cast<int64_t>(members[x].size()) >= kFewPoints) {
        t = fit_table(members[x], t);
        models_.table(side_, suggested_scale(x), t);
      }
      tables[x] = residual_table(t);
    }
    for (int64_t k = 0; k < c.points; ++k) {
      if (c.skip.empty() || !c.skip[k]) encode_residual(rans_, tables[c.context[k]], quantised_[k]);
    }
    accept(s, c, quantised_, in_.step_bits, schedule_.border);
  }

  const WalkInput& in_;
  const Schedule& schedule_;
  std::vector<double> target_;
  BitEncoder side_;
  RansEncoder rans_;
  SideModels models_;
  std::array<ContextWeights, 8> weights_ = [] {
    std::array<ContextWeights, 8> w;
    w.fill(kInitialWeights);
    return w;
  }();
  std::vector<int32_t> quantised_;
};

}  // namespace

Bytes encode_walk(const WalkInput& in, const Schedule& schedule, std::span<const double> target,
                  std::vector<int32_t>& decoded) {
  return WalkEncoder(in, schedule, target).run(decoded);
}

}  // namespace h5neural

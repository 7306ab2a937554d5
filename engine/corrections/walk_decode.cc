// walk_decode.cc: the reader of a corrections section; see walk.h. Section: varint length of the side
// information | side information (adaptive binary coder) | residuals (rANS).
#include "corrections/ladder.h"
#include "corrections/residual.h"
#include "corrections/walk.h"

namespace h5neural {
namespace {

class WalkDecoder {
 public:
  WalkDecoder(const WalkInput& in, ByteSpan side, ByteSpan residuals)
      : in_(in), side_(side), rans_(residuals) {}

  void run(std::span<int32_t> decoded) {
    schedule_ = read_schedule(side_, in_.n);
    const std::vector<Rung> rungs = ladder(schedule_);
    LevelState state = root(rungs.back());
    for (size_t l = schedule_.levels.size(); l-- > 0;) {
      state = refine(state, Layout::make(rungs[l].grid), schedule_.levels[l], schedule_.border);
      state.skip = sample(in_.skip, in_.n, rungs[l].stride, rungs[l].grid);
      level(state);
    }
    rans_.finish();
    size_t k = 0;
    for_rows(state.layout, Coset{}, [&](int64_t p, const Index4&, int count) {
      for (int i = 0; i < count; ++i, ++k) {
        decoded[k] = clamp_lattice(int64_t{state.value[p + i]} + (in_.base.empty() ? 0 : in_.base[k]));
      }
    });
  }

 private:
  LevelState root(const Rung& rung) {
    LevelState s;
    s.layout = Layout::make(rung.grid);
    s.value.assign(s.layout.size, 0);
    s.magnitude.assign(s.layout.size, 0);
    s.skip = sample(in_.skip, in_.n, rung.stride, rung.grid);
    IntModel model;
    int64_t last = 0;
    size_t k = 0;
    for_rows(s.layout, Coset{}, [&](int64_t p, const Index4&, int count) {
      for (int i = 0; i < count; ++i, ++k) {
        if (s.skip.empty() || !s.skip[k]) {
          last = clamp_lattice(last + int64_t{model.decode(side_)} * (int64_t{1} << in_.step_bits));
        }
        s.value[p + i] = static_cast<int32_t>(last);
      }
    });
    return s;
  }

  void level(LevelState& s) {
    uint32_t known = 1;
    int order = 0;
    for (const uint8_t axes : coset_order(s.level.mask)) {
      CosetState c = make_coset_state(s, axes, order++, known);
      if (c.points > 0) coset(s, c);
      known |= 1u << axes;
    }
  }

  void coset(LevelState& s, CosetState& c) {
    const PredictorChoice choice = models_.predictor(side_, c.order, c.stencil.offset.size());
    predict(s,
            make_predictor(s.layout, c.stencil, choice,
                           kriging(c.stencil, s.level.weight, choice.exponent, choice.nugget)),
            c);
    if (c.points >= kWeightsFrom) models_.weights(side_, weights_[c.order]);
    choose_contexts(s, weights_[c.order], in_.step_bits, c);

    std::array<int64_t, kContexts> members{};
    for (int64_t k = 0; k < c.points; ++k) members[c.context[k]] += c.skip.empty() || !c.skip[k];
    std::array<ResidualTable, kContexts> tables{};
    for (int x = 0; x < kContexts; ++x) {
      const int suggested = suggested_scale(x);
      if (members[x] == 0) continue;
      tables[x] = residual_table(members[x] < kFewPoints ? models_.implied(suggested)
                                                         : models_.table(side_, suggested));
    }
    quantised_.assign(c.points, 0);
    for (int64_t k = 0; k < c.points; ++k) {
      if (c.skip.empty() || !c.skip[k]) quantised_[k] = decode_residual(rans_, tables[c.context[k]]);
    }
    accept(s, c, quantised_, in_.step_bits, schedule_.border);
  }

  const WalkInput& in_;
  BitDecoder side_;
  RansDecoder rans_;
  Schedule schedule_;
  SideModels models_;
  std::array<ContextWeights, 8> weights_ = [] {
    std::array<ContextWeights, 8> w;
    w.fill(kInitialWeights);
    return w;
  }();
  std::vector<int32_t> quantised_;
};

}  // namespace

void decode_walk(const WalkInput& in, ByteSpan section, std::span<int32_t> decoded) {
  ByteReader r(section);
  const ByteSpan side = r.take(r.varint());
  WalkDecoder(in, side, r.take(r.left())).run(decoded);
}

}  // namespace h5neural

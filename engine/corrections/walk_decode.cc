// walk_decode.cc: the reader of a corrections section; see walk.h. Section: varint length of the side
// information | side information (adaptive binary coder) | residuals (rANS).
#include "corrections/interpolate.h"
#include "corrections/residual.h"
#include "corrections/walk.h"

namespace h5neural {
namespace {

// Four counters a context, so that runs of one context do not wait for each other.
std::array<int64_t, kContexts> count_contexts(std::span<const uint8_t> contexts) {
  std::array<std::array<uint32_t, kContexts>, 4> seen{};
  size_t k = 0;
  for (; k + 4 <= contexts.size(); k += 4) {
    for (size_t i = 0; i < 4; ++i) ++seen[i][contexts[k + i]];
  }
  for (; k < contexts.size(); ++k) ++seen[0][contexts[k]];
  std::array<int64_t, kContexts> count{};
  for (int x = 0; x < kContexts; ++x) {
    for (const auto& s : seen) count[x] += s[x];
  }
  return count;
}

class WalkDecoder {
 public:
  WalkDecoder(const WalkInput& in, ByteSpan side, ByteSpan residuals)
      : in_(in), side_(side), residuals_(residuals) {
    weights_.fill(kInitialWeights);
  }

  void run(std::span<int32_t> decoded) {
    const Schedule schedule = read_schedule(side_, in_.n);
    const std::vector<Rung> rungs = ladder(schedule);
    LevelState state = root_level(in_, schedule, rungs.back());
    root(state);
    for (size_t l = schedule.levels.size(); l-- > 0;) {
      state = refine(in_, state, rungs[l], schedule.levels[l]);
      level(state);
    }
    residuals_.finish();
    finish_field(in_, state, decoded);
  }

  // The levels whose grids have at most `most` points, and the points between by interpolation.
  void run_coarse(int64_t most, std::span<int32_t> decoded) {
    const Schedule schedule = read_schedule(side_, in_.n);
    const std::vector<Rung> rungs = ladder(schedule);
    size_t last = rungs.size() - 1;
    LevelState state = root_level(in_, schedule, rungs[last]);
    root(state);
    for (; last > 0 && points(rungs[last - 1].grid) <= most; --last) {
      state = refine(in_, state, rungs[last - 1], schedule.levels[last - 1]);
      level(state);
    }
    const Rung& rung = rungs[last];
    std::vector<int32_t> row(static_cast<size_t>(rung.grid[kAxes - 1]));
    for_rows(rung.grid, [&](const Index4& i) {
      grid_row(state.layout, state.value, i, row.data());
      int64_t at = 0;
      for (int a = 0; a < kAxes; ++a) at = at * in_.n[a] + int64_t{i[a]} * rung.stride[a];
      for (size_t k = 0; k < row.size(); ++k)
        decoded[at + static_cast<int64_t>(k) * rung.stride[kAxes - 1]] = row[k];
    });
    interpolate(in_.n, rung.stride, decoded);
    for (size_t k = 0; k < in_.base.size(); ++k)
      decoded[k] = clamp_lattice(int64_t{decoded[k]} + in_.base[k]);
  }

 private:
  void root(LevelState& s) {
    IntModel model;
    int64_t last = 0;
    for_root_points(in_, s, [&](int64_t at) {
      if (in_.skip.empty() || !in_.skip[at]) {
        last = clamp_lattice(last + int64_t{model.decode(side_)} * s.bin);
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
    const PredictorChoice choice =
        models_.predictor(side_, c.order, c.geometry->stencil.offset.size(), !in_.base.empty());
    predict(s, predictor_taps(s, c, coefficients(in_, *c.geometry, choice)), c);
    if (c.points >= kWeightsFrom) models_.weights(side_, weights_[c.order]);
    choose_contexts(s, context_taps(in_, s, c, weights_[c.order]), c);
    if (c.skip.empty()) {
      decode({c.context.data(), size_t(c.points)}, {c.quantised.data(), size_t(c.points)});
    } else {
      decode_unskipped();
    }
    accept(s, c);
  }

  void decode(std::span<const uint8_t> contexts, std::span<int32_t> quantised) {
    const std::array<int64_t, kContexts> members = count_contexts(contexts);
    ContextTables tables{};
    for (int x = 0; x < kContexts; ++x) {
      const int suggested = suggested_scale(x);
      if (members[x] == 0) continue;
      tables[x] = residual_table(members[x] < kFewPoints ? models_.implied(suggested)
                                                         : models_.table(side_, suggested));
    }
    residuals_.batch(contexts, tables, quantised);
  }

  void decode_unskipped() {
    CosetState& c = coset_;
    std::vector<uint8_t> contexts;
    for (int64_t k = 0; k < c.points; ++k) {
      if (!c.skip[k]) contexts.push_back(c.context[k]);
    }
    std::vector<int32_t> quantised(contexts.size());
    decode(contexts, quantised);
    size_t next = 0;
    for (int64_t k = 0; k < c.points; ++k) c.quantised[k] = c.skip[k] ? 0 : quantised[next++];
  }

  const WalkInput& in_;
  BitDecoder side_;
  ResidualDecoder residuals_;
  SideModels models_;
  std::array<ContextWeights, 8> weights_{};
  CosetState coset_;
};

}  // namespace

void decode_walk(const WalkInput& in, ByteSpan section, std::span<int32_t> decoded) {
  ByteReader r(section);
  const ByteSpan side = r.take(r.varint());
  WalkDecoder(in, side, r.take(r.left())).run(decoded);
}

void decode_walk_coarse(const WalkInput& in, ByteSpan section, int64_t most, std::span<int32_t> decoded) {
  ByteReader r(section);
  const ByteSpan side = r.take(r.varint());
  WalkDecoder(in, side, r.take(r.left())).run_coarse(most, decoded);
}

}  // namespace h5neural

// walk_decode.cc: the reader of a corrections section; see walk.h. Section: varint length of the side
// information | side information (adaptive binary coder) | residuals (rANS).
#include "corrections/interpolate.h"
#include "corrections/network.h"
#include "corrections/places.h"
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
      state = refine(in_, state, schedule, rungs[l], l);
      for_cosets(in_, state, coset_, [&] { coset(state); });
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
      state = refine(in_, state, schedule, rungs[last - 1], last - 1);
      for_cosets(in_, state, coset_, [&] { coset(state); });
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
    number_root(in_, s, [&](int64_t, int32_t) { return model.decode(side_); });
  }

  void coset(LevelState& s) {
    CosetState& c = coset_;
    const PredictorChoice choice =
        models_.predictor(side_, c.order, c.geometry->stencil.offset.size(), !in_.base.empty());
    predict(s, predictor_taps(s, c, coefficients(in_, *c.geometry, choice)), c);
    if (c.points >= kWeightsFrom) models_.weights(side_, weights_[c.order]);
    const ContextTaps taps = context_taps(in_, s, c, weights_[c.order]);
    if (places_learn(in_, s, c)) {
      learning(s, taps);
    } else {
      choose_contexts(s, taps, c, 0, rows_of(c));
      if (network_serves(in_, c)) refine_by_network(s);
      gather(0, c.points);
      decode(read_tables(contexts_));
      scatter(0, c.points);
    }
    accept(s, c);
  }

  void refine_by_network(const LevelState& s) {
    const NetworkChoice choice = models_.network(side_);
    if (!choice.asked()) return;
    NetworkView said(in_, s, coset_);
    said.ask();
    follow(said, choice, context_origin(in_, s), coset_);
  }

  // A coset whose places learn, block by block. Contexts are not known before, so the side information says
  // which of them have a table.
  void learning(const LevelState& s, const ContextTaps& taps) {
    CosetState& c = coset_;
    const int blend = models_.blend(side_);
    const ContextTables tables = told_tables(models_, side_);
    Places places(in_, s, c);
    const int planes = c.count[slowest_axis(in_.n)];
    const int64_t plane = c.points / planes;
    int from = 0;
    for (const int to : plane_blocks(planes)) {
      places.correct(c, from, to);
      choose_contexts(s, taps, c, rows_of(c) / planes * from, rows_of(c) / planes * to);
      places.blend(c, from, to, blend);
      gather(from * plane, to * plane);
      decode(tables);
      scatter(from * plane, to * plane);
      places.learn(c, from, to);
      from = to;
    }
  }

  ContextTables read_tables(std::span<const uint8_t> contexts) {
    const std::array<int64_t, kContexts> members = count_contexts(contexts);
    ContextTables tables{};
    for (int x = 0; x < kContexts; ++x) {
      const int suggested = suggested_scale(x);
      if (members[x] == 0) continue;
      tables[x] = residual_table(members[x] < kFewPoints ? models_.implied(suggested)
                                                         : models_.table(side_, suggested));
    }
    return tables;
  }

  void decode(const ContextTables& tables) { residuals_.batch(contexts_, tables, quantised_); }

  // The contexts of the coded ones among the points [from, to), and where their residuals go.
  void gather(int64_t from, int64_t to) {
    CosetState& c = coset_;
    if (c.skip.empty()) {
      contexts_ = {c.context.data() + from, size_t(to - from)};
      quantised_ = {c.quantised.data() + from, size_t(to - from)};
      return;
    }
    coded_contexts_.clear();
    for (int64_t k = from; k < to; ++k) {
      if (!c.skip[k]) coded_contexts_.push_back(c.context[k]);
    }
    coded_.resize(coded_contexts_.size());
    contexts_ = coded_contexts_;
    quantised_ = coded_;
  }

  void scatter(int64_t from, int64_t to) {
    CosetState& c = coset_;
    if (c.skip.empty()) return;
    size_t next = 0;
    for (int64_t k = from; k < to; ++k) c.quantised[k] = c.skip[k] ? 0 : coded_[next++];
  }

  const WalkInput& in_;
  BitDecoder side_;
  ResidualDecoder residuals_;
  SideModels models_;
  std::array<ContextWeights, 8> weights_{};
  CosetState coset_;
  std::span<const uint8_t> contexts_;    // of the points to be decoded next,
  std::span<int32_t> quantised_;         // and their residuals:
  std::vector<uint8_t> coded_contexts_;  // these, where points are skipped
  std::vector<int32_t> coded_;
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

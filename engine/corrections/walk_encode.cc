// walk_encode.cc: the writer of a corrections section; see walk.h and walk_decode.cc, which it mirrors step
// by step.
#include <algorithm>
#include <cmath>

#include "corrections/context_counts.h"
#include "corrections/fit.h"
#include "corrections/network.h"
#include "corrections/network_choice.h"
#include "corrections/places.h"
#include "corrections/quantise.h"
#include "corrections/residual.h"
#include "corrections/walk.h"

namespace h5neural {
namespace {

class WalkEncoder {
 public:
  WalkEncoder(const WalkInput& in, const Schedule& schedule, std::span<const double> target,
              const WalkEffort& effort)
      : in_(in), schedule_(schedule), whole_(target), target_(target), effort_(effort), fit_(in, effort) {
    weights_.fill(kInitialWeights);
  }

  Bytes run(std::vector<int32_t>& decoded, WalkChoices* choices) {
    choices_ = choices;
    write_schedule(side_, schedule_);
    const std::vector<Rung> rungs = ladder(schedule_);
    LevelState state = root_level(in_, schedule_, rungs.back());
    take_off(schedule_.levels.empty() ? 0 : schedule_.levels.size() - 1);
    root(state);
    for (size_t l = schedule_.levels.size(); l-- > 0;) {
      take_off(l);
      state = refine(in_, state, schedule_, rungs[l], l);
      for_cosets(in_, state, coset_, [&] { coset(state); });
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
  // Target less what level l takes off, where it is not that already.
  void take_off(size_t l) {
    const int share = share_at(in_, l);
    if (in_.base.empty() || share == taken_) return;
    difference_.resize(whole_.size());
    for (size_t k = 0; k < whole_.size(); ++k) difference_[k] = whole_[k] - share_of(in_.base[k], share);
    target_ = difference_;
    taken_ = share;
  }

  void root(LevelState& s) {
    IntModel model;
    number_root(in_, s, [&](int64_t at, int32_t before) {
      const int32_t q = quantise(target_[at], before, 1.0 / s.bin);
      model.encode(side_, q);
      return q;
    });
  }

  void coset(LevelState& s) {
    CosetState& c = coset_;
    own_.resize(static_cast<size_t>(c.points));
    double* own = own_.data();
    for_chunk_rows(in_, s, c, [&](const Index4&, int64_t at, int64_t step) {
      const double* const from = target_.data() + at;
      for (int k = 0; k < c.count[kAxes - 1]; ++k) own[k] = from[k * step];
      own += c.count[kAxes - 1];
    });
    fit_.begin(s, c, own_);
    const PredictorChoice choice = fit_.predictor(last_[c.order]);
    last_[c.order] = choice;
    models_.predictor(side_, c.order, choice);
    predict(s, predictor_taps(s, c, coefficients(in_, *c.geometry, choice)), c);
    const bool learning = places_learn(in_, s, c);
    if (learning) learn(s);
    if (c.points >= kWeightsFrom) models_.weights(side_, weights_[c.order], fit_.weights(weights_[c.order]));
    if (choices_ != nullptr) choices_->push_back({choice, weights_[c.order]});
    choose_contexts(s, context_taps(in_, s, c, weights_[c.order]), c, 0, rows_of(c));
    if (learning) {
      blend_contexts();
    } else {
      if (effort_.samples_out != nullptr) {
        take_samples(s);
      } else if (network_serves(in_, c)) {
        follow_network(s);
      }
      quantise_planes(s, 0, c.points);
    }
    const Coded all = coded(0, c.points);
    const ContextTables tables = write_tables(all, learning);
    if (!learning) {
      residuals_.batch(all.residual, all.context, tables);
    } else {
      int64_t from = 0;
      for (const int64_t to : block_ends_) {
        const Coded block = coded(from, to);
        residuals_.batch(block.residual, block.context, tables);
        from = to;
      }
    }
    accept(s, c);
  }

  void quantise_planes(const LevelState& s, int64_t from, int64_t to) {
    CosetState& c = coset_;
    const double per_bin = 1.0 / s.bin;
    const double* const own = own_.data();
    const int32_t* const prediction = c.prediction.data();
    int32_t* const quantised = c.quantised.data();
    for (int64_t k = from; k < to; ++k) quantised[k] = quantise(own[k], prediction[k], per_bin);
    if (c.skip.empty()) return;
    for (int64_t k = from; k < to; ++k) quantised[k] = c.skip[k] ? 0 : quantised[k];
  }

  // Predictions and residuals of a coset whose places learn, and what they say about the contexts.
  void learn(const LevelState& s) {
    CosetState& c = coset_;
    Places places(in_, s, c);
    const int planes = c.count[slowest_axis(in_.n)];
    const int64_t plane = c.points / planes;
    history_.clear();
    block_ends_.clear();
    int from = 0;
    for (const int to : plane_blocks(planes)) {
      places.correct(c, from, to);
      quantise_planes(s, from * plane, to * plane);
      for (int k = from; k < to; ++k) {
        history_.insert(history_.end(), places.history().begin(), places.history().end());
      }
      places.learn(c, from, to);
      block_ends_.push_back(to * plane);
      from = to;
    }
  }

  // How far places have a say in the contexts.
  void blend_contexts() {
    CosetState& c = coset_;
    const auto count = static_cast<size_t>(c.points);
    const std::span<const uint8_t> skip = c.skip.empty() ? c.skip : std::span(c.skip).first(count);
    const int best = cheapest_blend({c.context.data(), count}, history_, {c.quantised.data(), count}, skip);
    models_.blend(side_, best);
    for (int64_t k = 0; k < c.points; ++k) c.context[k] = blended(c.context[k], history_[k], best);
  }

  void follow_network(const LevelState& s) {
    NetworkView said(in_, s, coset_);
    said.ask();
    const int origin = context_origin(in_, s);
    const NetworkChoice choice = choose_network(said, coset_, own_.data(), 1.0 / s.bin, origin);
    models_.network(side_, choice);
    if (choice.asked()) follow(said, choice, origin, coset_);
  }

  // What a network would learn from.
  void take_samples(const LevelState& s);

  struct Coded {
    std::span<const int32_t> residual;
    std::span<const uint8_t> context;
  };
  // The coded ones among the points [from, to); valid until the next call.
  Coded coded(int64_t from, int64_t to) {
    const CosetState& c = coset_;
    const auto count = static_cast<size_t>(to - from);
    if (c.skip.empty()) return {{c.quantised.data() + from, count}, {c.context.data() + from, count}};
    coded_contexts_.resize(count);
    coded_.resize(count);
    size_t kept = 0;
    for (int64_t k = from; k < to; ++k) {
      coded_contexts_[kept] = c.context[k];
      coded_[kept] = c.quantised[k];
      kept += c.skip[k] ? 0 : 1;
    }
    return {{coded_.data(), kept}, {coded_contexts_.data(), kept}};
  }

  // A table for each context of these points. `every`: the reader does not know how many points a
  // context has, and is told whether it has a table.
  ContextTables write_tables(const Coded& points, bool every) {
    counts_.count(points.context, points.residual);
    ContextTables tables{};
    for (int x = 0; x < kContexts; ++x) {
      if (counts_.of(x) == 0 && !every) continue;
      TableChoice t = models_.implied(suggested_scale(x));
      const bool told = counts_.of(x) >= kFewPoints;
      if (every) models_.told(side_, told);
      if (told) {
        if (effort_.tables) t = counts_.cheapest(x, t);
        models_.table(side_, suggested_scale(x), t);
      }
      tables[x] = residual_table(t);
    }
    return tables;
  }

  const WalkInput& in_;
  const Schedule& schedule_;
  std::span<const double> whole_, target_;  // the latter less what the level takes off of the base
  std::vector<double> difference_;
  int taken_ = -1;
  BitEncoder side_;
  ResidualEncoder residuals_;
  SideModels models_;
  WalkEffort effort_;
  CosetFit fit_;
  std::array<ContextWeights, 8> weights_{};
  std::array<PredictorChoice, 8> last_;  // by place in the coset order
  CosetState coset_;
  Array<double> own_;              // targets of the coset
  Array<uint8_t> coded_contexts_;  // of its points without those to skip
  Array<int32_t> coded_;
  std::vector<uint8_t> history_;     // of every point, where places learn,
  std::vector<int64_t> block_ends_;  // and the blocks of points
  ContextCounts counts_;
  WalkChoices* choices_ = nullptr;
};

void WalkEncoder::take_samples(const LevelState& s) {
  const CosetState& c = coset_;
  if (c.points < kNetworkFrom) return;
  NetworkSamples& out = *effort_.samples_out;
  NetworkView view(in_, s, c);
  const double per_bin = 1.0 / s.bin;
  view.each_point([&](int64_t k, std::span<const int32_t> inputs) {
    if (!out.take()) return;
    out.inputs.insert(out.inputs.end(), inputs.begin(), inputs.end());
    out.residual.push_back(static_cast<float>((own_[k] - c.prediction[k]) * per_bin));
    out.context.push_back(c.context[k]);
  });
}

}  // namespace

Bytes encode_walk(const WalkInput& in, const Schedule& schedule, std::span<const double> target,
                  const WalkEffort& effort, std::vector<int32_t>& decoded, WalkChoices* choices) {
  return WalkEncoder(in, schedule, target, effort).run(decoded, choices);
}

}  // namespace h5neural

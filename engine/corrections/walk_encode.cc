// walk_encode.cc: the writer of a corrections section; see walk.h and walk_decode.cc, which it mirrors step
// by step.
#include <algorithm>
#include <bit>
#include <cmath>

#include "corrections/context_counts.h"
#include "corrections/fit.h"
#include "corrections/network.h"
#include "corrections/places.h"
#include "corrections/residual.h"
#include "corrections/walk.h"

namespace h5neural {
namespace {

// Magnitudes of residuals as their entropy is estimated: small ones each, larger ones by half octaves. Tables
// are symmetric, so a sign is a bit; it stays open, as what lies within a half octave does.
struct ResidualClass {
  int index, open;
};
constexpr int kResidualClasses = 64;
ResidualClass residual_class(int32_t q) {
  constexpr int kSmall = 8, kOctave = 3;
  const auto m = static_cast<uint32_t>(std::abs(q));
  if (m < kSmall) return {static_cast<int>(m), m > 0 ? 1 : 0};
  const int octave = std::bit_width(m) - 1;
  const int half = static_cast<int>(m >> (octave - 1) & 1);
  return {kSmall + 2 * (octave - kOctave) + half, octave};
}

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
      state = refine(in_, state, schedule_, rungs[l], l);
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

  // How far places have a say in the contexts: what costs least by the entropy of each context.
  void blend_contexts() {
    constexpr int kMost = 15;
    CosetState& c = coset_;
    int best = 0;
    double least = 0;
    for (int blend = 0; blend <= kMostBlend; ++blend) {
      std::array<std::array<int64_t, 2 * kMost + 1>, kContexts> seen{};
      for (int64_t k = 0; k < c.points; ++k) {
        if (!c.skip.empty() && c.skip[k]) continue;
        ++seen[blended(c.context[k], history_[k], blend)][std::clamp(c.quantised[k], -kMost, kMost) + kMost];
      }
      double bits = 0;
      for (const auto& counts : seen) bits += entropy(counts);
      if (blend == 0 || bits < least) {
        least = bits;
        best = blend;
      }
    }
    models_.blend(side_, best);
    for (int64_t k = 0; k < c.points; ++k) c.context[k] = blended(c.context[k], history_[k], best);
  }

  // How far a network is followed: what costs least by the entropy of each context, of a part of the points.
  void follow_network(const LevelState& s) {
    CosetState& c = coset_;
    NetworkView said(in_, s, c);
    said.ask();
    const int origin = context_origin(in_, s);
    const double per_bin = 1.0 / s.bin;
    const auto count = static_cast<int64_t>(said.points.size());
    const int64_t every = std::max<int64_t>(1, count / kNetworkTried);
    const auto price = [&](const NetworkChoice& choice) {
      std::array<std::array<int64_t, kResidualClasses>, kContexts> seen{};
      int64_t open = 0;
      for (int64_t i = 0; i < count; i += every) {
        const int64_t k = said.points[i];
        const int32_t p = moved(c.prediction[k], said.move[i], choice.move, c.context[k], origin);
        const int32_t q = quantise(own_[k], p, per_bin);
        const ResidualClass r = residual_class(q);
        ++seen[changed(c.context[k], said.change[i], choice.change)][r.index];
        open += r.open;
      }
      double bits = double(open);
      for (const auto& counts : seen) {
        // What is counted looks surer than it is (Miller 1955).
        const auto classes = std::count_if(counts.begin(), counts.end(), [](int64_t n) { return n > 0; });
        bits += entropy(counts) + kPerClass * double(classes);
      }
      return bits * double(every);
    };
    NetworkChoice best;
    double least = price(best);
    if (count > 0) {
      least -= kNetworkTold;
      const auto consider = [&](int move, int change) {
        const NetworkChoice choice{move, change};
        const double bits = price(choice);
        if (bits < least) least = bits, best = choice;
      };
      consider(0, 4);
      consider(4, 4);
      for (const int move : {2, 3, 5, 6}) consider(move, 4);
      const int move = best.move;
      for (const int change : {0, 2, 3, 5, 6}) consider(move, change);
    }
    models_.network(side_, best);
    if (best.asked()) follow(said, best, origin, c);
  }

  // What a network would learn from.
  void take_samples(const LevelState& s);

  static double entropy(std::span<const int64_t> counts) {
    double all = 0, bits = 0;
    for (const int64_t n : counts) all += double(n);
    for (const int64_t n : counts) bits += n == 0 ? 0 : double(n) * std::log2(all / double(n));
    return bits;
  }

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

  static constexpr int64_t kNetworkTried = 20000;  // points of a coset that the choice is made on
  static constexpr double kPerClass = 0.72;        // bits
  static constexpr double kNetworkTold = 8;        // bits that it must save

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
  Array<double> own_;              // targets of the coset
  Array<uint8_t> coded_contexts_;  // of its points without those to skip
  Array<int32_t> coded_;
  std::vector<uint8_t> history_;     // of every point, where places learn,
  std::vector<int64_t> block_ends_;  // and the blocks of points
  ContextCounts counts_;
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
                  const WalkEffort& effort, std::vector<int32_t>& decoded) {
  return WalkEncoder(in, schedule, target, effort).run(decoded);
}

}  // namespace h5neural

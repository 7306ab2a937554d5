// series_encode.cc: the writer of a series; see series.h. Predictors and weights are fitted to all frames of
// a group at once, seen as a stack of planes that know nothing of each other, against bases made of about
// what will be decoded; then frame after frame is walked with them as the reader will, and the tables follow
// from the residuals of all.
#include <algorithm>
#include <cmath>

#include "corrections/context_counts.h"
#include "corrections/misses.h"
#include "corrections/places.h"
#include "corrections/quantise.h"
#include "corrections/residual.h"
#include "corrections/series.h"

namespace h5neural {
namespace {

constexpr int kFits = 2;  // the second sees what the first has decoded

class SeriesEncoder {
 public:
  SeriesEncoder(const SeriesInput& in, const Schedule& schedule, int group, int echo,
                std::span<const double> target, const WalkEffort& effort, std::span<int32_t> decoded)
      : series_(in),
        schedule_(schedule),
        rungs_(ladder(schedule)),
        group_(group),
        echo_(echo),
        target_(target),
        effort_(effort),
        decoded_(decoded),
        size_(static_cast<size_t>(points(in.n))) {
    weights_.fill(kInitialWeights);
  }

  Bytes run() {
    write_schedule(side_, schedule_);
    IntModel model;
    model.encode(side_, group_);
    IntModel another;
    another.encode(side_, echo_);
    for (int from = 0; from < series_.frames; from += group_) {
      const int to = std::min(from + group_, series_.frames);
      fit(series_.known + from, series_.known + to);
      walk(series_.known + from, series_.known + to);
      write();
    }
    const Bytes side = side_.finish();
    ByteWriter out;
    out.varint(side.size());
    out.bytes(side);
    out.bytes(residuals_.finish(effort_.spare));
    return out.take();
  }

 private:
  // ---- predictors and weights of the frames [from, to)

  void fit(int from, int to) {
    const auto first = static_cast<size_t>(from) * size_, count = static_cast<size_t>(to - from) * size_;
    WalkInput in;
    in.n = series_.n;
    in.apart = 0;
    while (in.apart + 1 < kAxes && in.n[in.apart + 1] == 1) ++in.apart;
    in.n[in.apart] = to - from;
    in.step_bits = series_.step_bits;
    if (!series_.skip.empty()) in.skip = series_.skip.subspan(first, count);
    in.shares = series_.shares;
    Schedule stack = schedule_;
    stack.n = in.n;
    std::vector<int32_t> base(count), seen;
    for (int round = 0; round < kFits; ++round) {
      SeriesBase bases(series_, echo_);
      for (int t = from; t < to; ++t)
        bases.of(t, decoded_, std::span(base).subspan(static_cast<size_t>(t - from) * size_, size_));
      in.base = base;
      choices_.clear();
      encode_walk(in, stack, target_.subspan(first, count), effort_, seen, &choices_);
      std::copy(seen.begin(), seen.end(), decoded_.begin() + static_cast<ptrdiff_t>(first));
    }
  }

  // ---- frames as the reader will get them

  // The residuals of one coset in all frames of a group.
  struct Coded {
    int order = 0;
    std::vector<uint8_t> context, suggested;
    std::vector<int32_t> residual;
    std::vector<size_t> ends;  // of each frame
  };

  void walk(int from, int to) {
    std::vector<int32_t> base(size_);
    SeriesBase bases(series_, echo_);
    coded_.clear();
    roots_.clear();
    for (int t = from; t < to; ++t) {
      const size_t at = static_cast<size_t>(t) * size_;
      bases.of(t, decoded_, base);
      in_ = frame_input(series_, t, base);
      frame_ = target_.subspan(at, size_);
      LevelState state = root_level(in_, schedule_, rungs_.back());
      share_ = share_at(in_, std::max<size_t>(1, schedule_.levels.size()) - 1);
      root(state);
      coset_number_ = 0;
      for (size_t l = schedule_.levels.size(); l-- > 0;) {
        state = refine(in_, state, schedule_, rungs_[l], l);
        share_ = share_at(in_, l);
        for_cosets(in_, state, coset_, [&] { coset(state); });
      }
      finish_field(in_, state, decoded_.subspan(at, size_));
    }
  }

  // What the level at hand has to code of a point.
  double left(int64_t at) const { return frame_[at] - share_of(in_.base[at], share_); }

  void root(LevelState& s) {
    roots_.emplace_back();
    number_root(in_, s, [&](int64_t at, int32_t before) {
      roots_.back().push_back(quantise(left(at), before, 1.0 / s.bin));
      return roots_.back().back();
    });
  }

  void coset(LevelState& s) {
    CosetState& c = coset_;
    const CosetChoice& choice = choices_[coset_number_];
    predict(s, predictor_taps(s, c, coefficients(in_, *c.geometry, choice.predictor)), c);
    size_t next = 0;
    for_chunk_rows(in_, s, c, [&](const Index4&, int64_t at, int64_t step) {
      for (int k = 0; k < c.count[kAxes - 1]; ++k, ++next) {
        const bool skipped = !c.skip.empty() && c.skip[next] != 0;
        c.quantised[next] = skipped ? 0 : quantise(left(at + k * step), c.prediction[next], 1.0 / s.bin);
      }
    });
    choose_contexts(s, context_taps(in_, s, c, choice.weights), c, 0, rows_of(c));
    if (coset_number_ == coded_.size()) coded_.emplace_back();
    if (coset_number_ == misses_.size()) misses_.emplace_back();
    Misses& misses = misses_[coset_number_];
    misses.suggest(in_, s, c, suggested_);
    misses.learn(s, c);
    Coded& coded = coded_[coset_number_++];
    coded.order = c.order;
    for (size_t k = 0; k < static_cast<size_t>(c.points); ++k) {
      if (!c.skip.empty() && c.skip[k]) continue;
      coded.context.push_back(c.context[k]);
      coded.suggested.push_back(suggested_[k]);
      coded.residual.push_back(c.quantised[k]);
    }
    coded.ends.push_back(coded.context.size());
    accept(s, c);
  }

  // ---- a group as bytes

  void write() {
    std::vector<ContextTables> tables;
    for (size_t k = 0; k < roots_.size(); ++k) {
      for (const int32_t q : roots_[k]) root_.encode(side_, q);
      for (size_t c = 0; c < coded_.size(); ++c) {
        Coded& coded = coded_[c];
        if (k == 0) tables.push_back(write_said(coded, choices_[c]));
        const size_t from = k == 0 ? 0 : coded.ends[k - 1], count = coded.ends[k] - from;
        residuals_.batch(std::span(coded.residual).subspan(from, count),
                         std::span(coded.context).subspan(from, count), tables[c]);
      }
    }
  }

  // How far what was missed before has a say in the contexts.
  void blend(Coded& coded) {
    const int best = cheapest_blend(coded.context, coded.suggested, coded.residual, {});
    models_.blend(side_, best);
    for (size_t k = 0; k < coded.context.size(); ++k)
      coded.context[k] = blended(coded.context[k], coded.suggested[k], best);
  }

  ContextTables write_said(Coded& coded, const CosetChoice& choice) {
    models_.predictor(side_, coded.order, choice.predictor);
    blend(coded);
    models_.weights(side_, weights_[static_cast<size_t>(coded.order)], choice.weights);
    counts_.count(coded.context, coded.residual);
    ContextTables tables{};
    for (int x = 0; x < kContexts; ++x) {
      TableChoice t = models_.implied(suggested_scale(x));
      const bool told = counts_.of(x) >= kFewPoints;
      models_.told(side_, told);
      if (told) {
        if (effort_.tables) t = counts_.cheapest(x, t);
        models_.table(side_, suggested_scale(x), t);
      }
      tables[static_cast<size_t>(x)] = residual_table(t);
    }
    return tables;
  }

  const SeriesInput& series_;
  const Schedule& schedule_;
  const std::vector<Rung> rungs_;
  int group_, echo_;
  std::span<const double> target_;
  const WalkEffort& effort_;
  std::span<int32_t> decoded_;
  size_t size_;  // points of a frame
  BitEncoder side_;
  ResidualEncoder residuals_;
  SideModels models_;
  IntModel root_;
  std::array<ContextWeights, 8> weights_{};
  ContextCounts counts_;
  WalkInput in_;  // of the frame at hand
  std::span<const double> frame_;
  int share_ = kWholeShare;
  CosetState coset_;
  size_t coset_number_ = 0;
  WalkChoices choices_;  // of the group at hand
  std::vector<Coded> coded_;
  std::vector<Misses> misses_;  // of each coset
  std::vector<uint8_t> suggested_;
  std::vector<std::vector<int32_t>> roots_;
};

}  // namespace

Bytes encode_series(const SeriesInput& in, const Schedule& schedule, int group, int echo,
                    std::span<const double> target, const WalkEffort& effort, std::span<int32_t> decoded) {
  return SeriesEncoder(in, schedule, group, echo, target, effort, decoded).run();
}

int suggest_echo(const SeriesInput& in, std::span<const double> target, std::span<const int32_t> decoded) {
  constexpr int kFrames = 4;
  const auto size = static_cast<size_t>(points(in.n));
  std::vector<int32_t> before(size), base(size);
  double products = 0, squares = 0;
  for (int t = in.known + 1; t < in.known + in.frames; t += std::max(1, (in.frames - 1) / kFrames)) {
    in.expect(t - 1, decoded, before);
    in.expect(t, decoded, base);
    const size_t at = static_cast<size_t>(t) * size;
    for (size_t k = 0; k < size; ++k) {
      if (!in.skip.empty() && (in.skip[at + k] != 0 || in.skip[at - size + k] != 0)) continue;
      const double more = double(decoded[at - size + k]) - before[k];
      products += more * (target[at + k] - base[k]);
      squares += more * more;
    }
  }
  const double echo = squares > 0 ? kMostEcho * products / squares : 0;
  return static_cast<int>(std::lround(std::clamp(echo, double{-kMostEcho}, double{kMostEcho})));
}

}  // namespace h5neural

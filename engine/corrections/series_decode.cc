// series_decode.cc: the reader of a series; see series.h.
#include "corrections/misses.h"
#include "corrections/places.h"
#include "corrections/residual.h"
#include "corrections/series.h"

namespace h5neural {
namespace {

class SeriesDecoder {
 public:
  SeriesDecoder(const SeriesInput& in, ByteSpan side, ByteSpan residuals)
      : series_(in), side_(side), residuals_(residuals) {
    weights_.fill(kInitialWeights);
  }

  void run(std::span<int32_t> decoded) {
    const Schedule schedule = read_schedule(side_, series_.n);
    const std::vector<Rung> rungs = ladder(schedule);
    IntModel model;
    const int32_t group = model.decode(side_);
    if (group < 1) fail_corrupt("a group of frames has no frame");
    IntModel another;
    const int32_t echo = another.decode(side_);
    if (echo < -kMostEcho || echo > kMostEcho) fail_corrupt("the echo of a series is out of range");
    SeriesBase bases(series_, echo);
    const auto size = static_cast<size_t>(points(series_.n));
    std::vector<int32_t> base(size);
    for (int k = 0; k < series_.frames; ++k) {
      const int t = series_.known + k;
      bases.of(t, decoded, base);
      in_ = frame_input(series_, t, base);
      first_ = k % group == 0;
      frame(schedule, rungs, decoded.subspan(static_cast<size_t>(t) * size, size));
    }
    residuals_.finish();
  }

 private:
  void frame(const Schedule& schedule, const std::vector<Rung>& rungs, std::span<int32_t> decoded) {
    LevelState state = root_level(in_, schedule, rungs.back());
    number_root(in_, state, [&](int64_t, int32_t) { return root_.decode(side_); });
    coset_number_ = 0;
    for (size_t l = schedule.levels.size(); l-- > 0;) {
      state = refine(in_, state, schedule, rungs[l], l);
      for_cosets(in_, state, coset_, [&] { coset(state); });
    }
    finish_field(in_, state, decoded);
  }

  // What is said of a coset once for a group.
  struct Said {
    std::vector<int32_t> coefficients;
    int blend = 0;
    ContextWeights weights;
    ContextTables tables;
  };

  Said read_said() {
    const CosetState& c = coset_;
    Said s;
    s.coefficients = coefficients(in_, *c.geometry,
                                  models_.predictor(side_, c.order, c.geometry->stencil.offset.size(), true));
    s.blend = models_.blend(side_);
    models_.weights(side_, weights_[static_cast<size_t>(c.order)]);
    s.weights = weights_[static_cast<size_t>(c.order)];
    s.tables = told_tables(models_, side_);
    return s;
  }

  void coset(LevelState& s) {
    CosetState& c = coset_;
    if (first_) {
      said_.resize(coset_number_);
      said_.push_back(read_said());
    }
    const Said& said = said_[coset_number_];
    if (coset_number_ == misses_.size()) misses_.emplace_back();
    Misses& misses = misses_[coset_number_++];
    predict(s, predictor_taps(s, c, said.coefficients), c);
    choose_contexts(s, context_taps(in_, s, c, said.weights), c, 0, rows_of(c));
    misses.suggest(in_, s, c, suggested_);
    for (size_t k = 0; k < suggested_.size(); ++k)
      c.context[k] = blended(c.context[k], suggested_[k], said.blend);
    decode(said.tables);
    misses.learn(s, c);
    accept(s, c);
  }

  void decode(const ContextTables& tables) {
    CosetState& c = coset_;
    const auto count = static_cast<size_t>(c.points);
    if (c.skip.empty()) {
      residuals_.batch({c.context.data(), count}, tables, {c.quantised.data(), count});
      return;
    }
    contexts_.clear();
    for (size_t k = 0; k < count; ++k) {
      if (!c.skip[k]) contexts_.push_back(c.context[k]);
    }
    coded_.resize(contexts_.size());
    residuals_.batch(contexts_, tables, coded_);
    size_t next = 0;
    for (size_t k = 0; k < count; ++k) c.quantised[k] = c.skip[k] ? 0 : coded_[next++];
  }

  const SeriesInput& series_;
  WalkInput in_;  // of the frame at hand
  BitDecoder side_;
  ResidualDecoder residuals_;
  SideModels models_;
  IntModel root_;
  std::array<ContextWeights, 8> weights_{};
  CosetState coset_;
  bool first_ = false;  // of a group
  size_t coset_number_ = 0;
  std::vector<Said> said_;
  std::vector<Misses> misses_;  // of each coset
  std::vector<uint8_t> suggested_;
  std::vector<uint8_t> contexts_;  // of points that are not skipped
  std::vector<int32_t> coded_;
};

}  // namespace

void decode_series(const SeriesInput& in, ByteSpan section, std::span<int32_t> decoded) {
  ByteReader r(section);
  const ByteSpan side = r.take(r.varint());
  SeriesDecoder(in, side, r.take(r.left())).run(decoded);
}

}  // namespace h5neural

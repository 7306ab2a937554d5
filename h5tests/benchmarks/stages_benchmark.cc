// stages_benchmark.cc: the stages of writing and reading a chunk, with the kernels that the machine chooses
// (H5NEURAL_BACKEND forces them down), on a field of some waves and noise. One item is one value; the last
// two are whole chunks. What a stage costs within a chunk of one's own is told by a profiler, not from here.
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <vector>

#include "codec/decode.h"
#include "codec/encode.h"
#include "corrections/choose_schedule.h"
#include "corrections/context_counts.h"
#include "corrections/fit.h"
#include "corrections/residual.h"

namespace h5neural {
namespace {

constexpr int kSide = 64;
constexpr int kStepBits = 3;
constexpr double kBin = 1 << kStepBits;

// [z, y, x], in bins: waves of many lengths, the shorter the lower, and noise of about a bin.
std::vector<double> field() {
  std::mt19937 random(5);
  std::normal_distribution<double> normal;
  std::vector<double> f;
  f.reserve(size_t{kSide} * kSide * kSide);
  for (int z = 0; z < kSide; ++z) {
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        double v = 0.5 * normal(random);
        for (const int k : {1, 3, 8, 15}) {
          v += 300.0 / (k * k) * std::sin(k * (0.07 * x + 0.05 * y) + k) * std::cos(k * 0.06 * z);
        }
        f.push_back(v);
      }
    }
  }
  return f;
}

// The finest level with everything above it decoded, and its first coset: what a fit begins with.
struct Scene {
  WalkInput in;
  std::vector<double> target;
  Schedule schedule;
  LevelState level;
  CosetState coset;
  std::vector<double> own;  // targets of the coset
  WalkEffort effort = walk_effort(5);

  Scene() {
    in.n = {1, kSide, kSide, kSide};
    in.step_bits = kStepBits;
    target = field();
    for (double& v : target) v *= kBin;
    schedule = all_axes_alike(in.n);
    const std::vector<Rung> rungs = ladder(schedule);
    level = root_level(in, schedule, rungs.back());
    for_root_points(in, level, [&](int64_t at) { return static_cast<int32_t>(target[at]); });
    for (size_t l = schedule.levels.size(); l-- > 1;) {
      level = refine(in, level, rungs[l], schedule.levels[l]);
      fill_level();
    }
    level = refine(in, level, rungs[0], schedule.levels[0]);
    begin_coset(in, level, coset_order(level.level.mask)[0], 0, 1, coset);
    take_targets();
  }

  void fill_level() {
    uint32_t known = 1;
    int order = 0;
    for (const uint8_t axes : coset_order(level.level.mask)) {
      begin_coset(in, level, axes, order++, known, coset);
      if (coset.points > 0) {
        take_targets();
        for (int64_t k = 0; k < coset.points; ++k) {
          coset.prediction[k] = 0;
          coset.quantised[k] = static_cast<int32_t>(std::lround(own[k] / level.bin));
        }
        accept(level, coset);
      }
      known |= 1u << axes;
    }
  }

  void take_targets() {
    own.clear();
    for_chunk_rows(in, level, coset, [&](const Index4&, int64_t at, int64_t step) {
      for (int k = 0; k < coset.count[kAxes - 1]; ++k) own.push_back(target[at + k * step]);
    });
  }
};

void fit_predictor(benchmark::State& state) {
  Scene s;
  CosetFit fit(s.in, s.effort);
  for ([[maybe_unused]] auto _ : state) {
    fit.begin(s.level, s.coset, s.own);
    benchmark::DoNotOptimize(fit.predictor({}));
  }
  state.SetItemsProcessed(state.iterations() * s.coset.points);
}
BENCHMARK(fit_predictor)->Unit(benchmark::kMillisecond);

void fit_context_weights(benchmark::State& state) {
  Scene s;
  CosetFit fit(s.in, s.effort);
  fit.begin(s.level, s.coset, s.own);
  const PredictorChoice choice = fit.predictor({});
  predict(s.level, predictor_taps(s.level, s.coset, coefficients(s.in, *s.coset.geometry, choice)), s.coset);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(fit.weights(kInitialWeights));
  state.SetItemsProcessed(state.iterations() * s.coset.points);
}
BENCHMARK(fit_context_weights)->Unit(benchmark::kMillisecond);

void predict_coset(benchmark::State& state) {
  Scene s;
  PredictorChoice choice;
  const PredictorTaps taps = predictor_taps(s.level, s.coset, coefficients(s.in, *s.coset.geometry, choice));
  for ([[maybe_unused]] auto _ : state) predict(s.level, taps, s.coset);
  state.SetItemsProcessed(state.iterations() * s.coset.points);
}
BENCHMARK(predict_coset)->Unit(benchmark::kMicrosecond);

void contexts_of_coset(benchmark::State& state) {
  Scene s;
  predict(s.level, predictor_taps(s.level, s.coset, coefficients(s.in, *s.coset.geometry, {})), s.coset);
  const ContextTaps taps = context_taps(s.in, s.level, s.coset, kInitialWeights);
  for ([[maybe_unused]] auto _ : state) choose_contexts(s.level, taps, s.coset);
  state.SetItemsProcessed(state.iterations() * s.coset.points);
}
BENCHMARK(contexts_of_coset)->Unit(benchmark::kMicrosecond);

// Residuals of a Laplacian whose mean magnitude is that of table scale `scale`.
std::vector<int32_t> residuals(int scale, size_t count) {
  std::mt19937 random(6);
  std::exponential_distribution<double> magnitude(1 / std::exp2((scale - kTableUnitScale) / 4.0));
  std::vector<int32_t> q(count);
  for (int32_t& v : q) v = static_cast<int32_t>(std::lround(magnitude(random))) * (random() & 1 ? 1 : -1);
  return q;
}
constexpr size_t kResiduals = 1 << 16;

void choose_table(benchmark::State& state) {
  const auto scale = static_cast<int>(state.range(0));
  const std::vector<int32_t> q = residuals(scale, kResiduals);
  const std::vector<uint8_t> context(q.size());
  ContextCounts counts;
  for ([[maybe_unused]] auto _ : state) {
    counts.count(context, q);
    benchmark::DoNotOptimize(counts.cheapest(0, {1, scale + 2}));
  }
  state.SetItemsProcessed(state.iterations() * int64_t{kResiduals});
}
BENCHMARK(choose_table)->ArgName("scale")->Arg(8)->Arg(20)->Arg(40)->Unit(benchmark::kMicrosecond);

struct Batch {
  std::vector<int32_t> q;
  std::vector<uint8_t> context;
  ContextTables tables{};
  explicit Batch(int scale) : q(residuals(scale, kResiduals)), context(kResiduals) {
    std::mt19937 random(7);
    for (uint8_t& x : context) x = static_cast<uint8_t>(random() % 4);
    for (int x = 0; x < kContexts; ++x) tables[x] = residual_table({1, scale + x % 4});
  }
  Bytes encode() const {
    ResidualEncoder e;
    e.batch(q, context, tables);
    return e.finish();
  }
};

void residuals_encode(benchmark::State& state) {
  const Batch b(static_cast<int>(state.range(0)));
  size_t bytes = 0;
  for ([[maybe_unused]] auto _ : state) bytes = b.encode().size();
  state.SetItemsProcessed(state.iterations() * int64_t{kResiduals});
  state.counters["bits"] = 8.0 * double(bytes) / double(kResiduals);
}
BENCHMARK(residuals_encode)->ArgName("scale")->Arg(8)->Arg(20)->Arg(40)->Unit(benchmark::kMicrosecond);

void residuals_decode(benchmark::State& state) {
  const Batch b(static_cast<int>(state.range(0)));
  const Bytes bytes = b.encode();
  std::vector<int32_t> q(kResiduals);
  for ([[maybe_unused]] auto _ : state) {
    ResidualDecoder d(bytes);
    d.batch(b.context, b.tables, q);
    d.finish();
  }
  if (q != b.q) state.SkipWithError("the residuals did not come back");
  state.SetItemsProcessed(state.iterations() * int64_t{kResiduals});
}
BENCHMARK(residuals_decode)->ArgName("scale")->Arg(8)->Arg(20)->Arg(40)->Unit(benchmark::kMicrosecond);

void choose_schedule(benchmark::State& state) {
  const Scene s;
  const std::vector<Schedule> all = propose_schedules(s.in.n, s.target, {}, usual_error(s.in));
  const Box box(s.in.n, 0.1 * double(s.target.size()));
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(choose_schedules(s.in, all, s.target, box, walk_effort(1), 0.01));
  }
  state.SetItemsProcessed(state.iterations() * int64_t(s.target.size()));
}
BENCHMARK(choose_schedule)->Unit(benchmark::kMillisecond);

// A whole chunk of float32, bound half a bin.
struct Chunk {
  h5n_params params{};
  Bytes bytes;
  explicit Chunk(unsigned effort) {
    params.type = H5N_FLOAT32;
    params.rank = 3;
    for (int a = 0; a < 3; ++a) params.dims[a] = kSide;
    params.mode = H5N_ABS;
    params.bound = 0.5;
    params.effort = effort;
    const std::vector<double> f = field();
    const std::vector<float> narrow(f.begin(), f.end());
    const auto* first = reinterpret_cast<const uint8_t*>(narrow.data());
    bytes.assign(first, first + narrow.size() * sizeof(float));
  }
};

void write_chunk(benchmark::State& state) {
  const Chunk c(static_cast<unsigned>(state.range(0)));
  size_t bytes = 0;
  for ([[maybe_unused]] auto _ : state) bytes = encode_chunk(c.params, c.bytes).size();
  state.SetBytesProcessed(state.iterations() * int64_t(c.bytes.size()));
  state.counters["ratio"] = double(c.bytes.size()) / double(bytes);
}
BENCHMARK(write_chunk)->ArgName("effort")->Arg(0)->Arg(5)->Arg(9)->Unit(benchmark::kMillisecond);

void read_chunk(benchmark::State& state) {
  const Chunk c(static_cast<unsigned>(state.range(0)));
  const Bytes payload = encode_chunk(c.params, c.bytes);
  Bytes back(c.bytes.size());
  for ([[maybe_unused]] auto _ : state) decode_payload(parse_payload(payload), back);
  state.SetBytesProcessed(state.iterations() * int64_t(c.bytes.size()));
}
BENCHMARK(read_chunk)->ArgName("effort")->Arg(0)->Arg(5)->Arg(9)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace h5neural

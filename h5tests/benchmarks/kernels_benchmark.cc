// kernels_benchmark.cc: the inner loops of kernels/, each under every instruction set that this machine has,
// on rows as long as those of a chunk of 128^3. One item is one place, symbol or sample; so items a second of
// two sets compare. Knows nothing of fields: its numbers are pseudo-random, with magnitudes as residuals have
// them.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "corrections/residual.h"
#include "kernels/kernels.h"

namespace h5neural {
namespace {

constexpr int kRow = 64;              // points of a coset in a row of 128
constexpr int kReach = 4 * kRow;      // how far neighbours stand from a place
constexpr int64_t kPlaces = 1 << 15;  // stays in the second-level cache

const Kernels* set_of(const benchmark::State& state) {
  const auto target = static_cast<SimdTarget>(state.range(0));
  return target == SimdTarget::kNone ? &scalar_kernels() : simd_kernels(target);
}

// Every set this machine has, with each of `second` as the second argument.
void every_set(benchmark::internal::Benchmark* b, const std::vector<int64_t>& second, const char* name) {
  b->ArgNames({"set", name});
  for (const SimdTarget t : {SimdTarget::kNone, SimdTarget::kNeon, SimdTarget::kAvx2, SimdTarget::kAvx512}) {
    if (t != SimdTarget::kNone && simd_kernels(t) == nullptr) continue;
    for (const int64_t s : second) b->Args({static_cast<int64_t>(t), s});
  }
}

void finish(benchmark::State& state, int64_t items) {
  state.SetItemsProcessed(state.iterations() * items);
  state.SetLabel(set_of(state)->name);
}

struct Field {
  std::vector<int32_t> value = std::vector<int32_t>(kPlaces + 2 * kReach + kOverhang);
  std::vector<uint16_t> magnitude = std::vector<uint16_t>(value.size());
  Field() {
    std::mt19937 random(1);
    for (size_t k = 0; k < value.size(); ++k) {
      value[k] =
          static_cast<int32_t>(20000 * std::sin(0.01 * double(k))) + static_cast<int32_t>(random() % 64);
      magnitude[k] = static_cast<uint16_t>(random() % 8);
    }
  }
};

void predict_row(benchmark::State& state) {
  const Field f;
  PredictorTaps taps;
  taps.pairs = static_cast<int>(state.range(1));
  for (int j = 0; j < taps.pairs; ++j) {
    const int d = j % 4 + 1 + j / 4 * (kRow / 16);
    taps.plus[j] = f.value.data() + kReach + d;
    taps.minus[j] = f.value.data() + kReach - d;
    taps.coefficient[j] = (1 << kCoefficientBits) / (2 * taps.pairs);
  }
  std::vector<int32_t> out(kPlaces + kOverhang);
  for ([[maybe_unused]] auto _ : state) {
    for (int64_t at = 0; at < kPlaces; at += kRow) set_of(state)->predict(taps, at, kRow, out.data() + at);
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  finish(state, kPlaces);
}
BENCHMARK(predict_row)->Apply([](auto* b) { every_set(b, {4, 16, 64}, "pairs"); });

void contexts_of_row(benchmark::State& state) {
  const Field f;
  ContextTaps taps;
  taps.pairs = static_cast<int>(state.range(1));
  for (int j = 0; j < taps.pairs; ++j) {
    taps.plus[j] = f.value.data() + kReach + j + 1;
    taps.minus[j] = f.value.data() + kReach - j - 1;
    taps.plus_magnitude[j] = f.magnitude.data() + kReach + j + 1;
    taps.minus_magnitude[j] = f.magnitude.data() + kReach - j - 1;
  }
  taps.weight = {1 << 12, 1 << 9, 1 << 10, 1 << 12, 1 << 8};
  const std::vector<int32_t> prediction(f.value.begin() + kReach, f.value.end());
  std::vector<uint8_t> out(kPlaces + kOverhang);
  for ([[maybe_unused]] auto _ : state) {
    for (int64_t at = 0; at < kPlaces; at += kRow) {
      set_of(state)->contexts(taps, prediction.data() + at, at, kRow, out.data() + at);
    }
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  finish(state, kPlaces);
}
BENCHMARK(contexts_of_row)->Apply([](auto* b) { every_set(b, {kContextPairs}, "pairs"); });

void accept_row(benchmark::State& state) {
  const Field f;
  std::vector<int32_t> quantised(kPlaces + kOverhang), value(quantised.size());
  std::vector<uint16_t> magnitude(quantised.size());
  for (size_t k = 0; k < quantised.size(); ++k) quantised[k] = f.magnitude[k] - 4;
  for ([[maybe_unused]] auto _ : state) {
    for (int64_t at = 0; at < kPlaces; at += kRow) {
      set_of(state)->accept(f.value.data() + at, quantised.data() + at, kRow,
                            static_cast<int32_t>(state.range(1)), value.data() + at, magnitude.data() + at);
    }
    benchmark::DoNotOptimize(value.data());
    benchmark::ClobberMemory();
  }
  finish(state, kPlaces);
}
BENCHMARK(accept_row)->Apply([](auto* b) { every_set(b, {8}, "bin"); });

// Residuals under four tables of neighbouring scales, as cosets have them, and their coded bytes.
struct Coded {
  std::vector<uint8_t> context = std::vector<uint8_t>(kPlaces);
  std::array<const Table*, 4> tables{};
  std::array<uint32_t, kContextRoom> first{};
  Bytes bytes;
  explicit Coded(int scale) {
    std::mt19937 random(2);
    RansEncoder encoder;
    uint32_t* range = encoder.begin_batch(context.size());
    uint64_t cost = 0;
    for (int i = 0; i < 4; ++i) {
      tables[i] = &table(1, scale + i);
      first[i] = static_cast<uint32_t>(slots(*tables[i]) - all_slots());
    }
    for (uint8_t& x : context) {
      x = static_cast<uint8_t>(random() % 4);
      const Table& t = *tables[x];
      const int symbol = draw(t, random() % kSlots);
      *range++ = uint32_t{t.start[symbol]} << 16 | t.frequency[symbol];
      cost += t.cost[symbol];
    }
    encoder.add_cost(cost);
    bytes = encoder.finish(0.03);  // all lanes
  }
  static int draw(const Table& t, uint32_t slot) {
    const auto after = std::upper_bound(t.start.begin(), t.start.begin() + t.symbols, slot);
    return static_cast<int>(after - t.start.begin()) - 1;
  }
};

void rans_decode_groups(benchmark::State& state) {
  const Coded coded(static_cast<int>(state.range(1)));
  // Past the byte of the lanes' code stand the states, then the words (rans.h); no raw bits here.
  std::vector<uint8_t> symbols(kPlaces + kOverhang);
  RansLanes begin;
  const uint8_t* at = coded.bytes.data() + 1;
  for (uint32_t& s : begin.state) {
    s = uint32_t{at[0]} | uint32_t{at[1]} << 8 | uint32_t{at[2]} << 16 | uint32_t{at[3]} << 24;
    at += 4;
  }
  begin.next = at;
  begin.end = coded.bytes.data() + coded.bytes.size();
  int64_t groups = 0;
  for ([[maybe_unused]] auto _ : state) {
    RansLanes lanes = begin;
    groups = set_of(state)->decode_groups(lanes, coded.context.data(), kPlaces / kMaxLanes,
                                          coded.first.data(), all_slots(), symbols.data());
    benchmark::DoNotOptimize(symbols.data());
    benchmark::ClobberMemory();
  }
  finish(state, groups * kMaxLanes);
}
BENCHMARK(rans_decode_groups)->Apply([](auto* b) { every_set(b, {8, 20}, "scale"); });

void unfold_symbols(benchmark::State& state) {
  std::mt19937 random(3);
  std::vector<uint8_t> symbols(kPlaces + kOverhang);
  for (uint8_t& s : symbols) s = static_cast<uint8_t>(random() % state.range(1));
  std::vector<int32_t> out(kPlaces + kOverhang);
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(set_of(state)->unfold(symbols.data(), kPlaces, out.data()));
    benchmark::ClobberMemory();
  }
  finish(state, kPlaces);
}
BENCHMARK(unfold_symbols)->Apply([](auto* b) { every_set(b, {12}, "symbols"); });

// Samples of a fit as effort 5 takes them, 65 columns.
struct Problem {
  static constexpr int kRows = 8000, kColumns = 65;
  std::vector<float> x = std::vector<float>(size_t{kRows} * kColumns);
  std::vector<float> y = std::vector<float>(kRows), e = y, weight = std::vector<float>(kRows, 1.0f);
  Problem() {
    std::mt19937 random(4);
    std::normal_distribution<float> normal;
    for (float& v : x) v = normal(random);
    for (float& v : y) v = normal(random);
  }
  Samples samples() const { return {kRows, kColumns, kRows, x.data()}; }
};

void fit_residual_bits(benchmark::State& state) {
  Problem p;
  const std::vector<float> c(static_cast<size_t>(state.range(1)), 0.01f);
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(
        set_of(state)->residual_bits(p.samples(), c, p.y.data(), p.weight.data(), p.e.data()));
  }
  finish(state, Problem::kRows);
}
BENCHMARK(fit_residual_bits)->Apply([](auto* b) { every_set(b, {8, 64}, "columns"); });

void fit_normal_equations(benchmark::State& state) {
  const Problem p;
  const auto columns = static_cast<int>(state.range(1));
  std::vector<double> a(size_t{Problem::kColumns} * columns), b(columns);
  for ([[maybe_unused]] auto _ : state) {
    set_of(state)->normal_equations(p.samples(), 0, columns, p.weight.data(), p.y.data(), a.data(), b.data());
    benchmark::DoNotOptimize(a.data());
    benchmark::ClobberMemory();
  }
  finish(state, Problem::kRows);
}
BENCHMARK(fit_normal_equations)->Apply([](auto* b) { every_set(b, {8, 64}, "columns"); });

}  // namespace
}  // namespace h5neural

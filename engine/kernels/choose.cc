// choose.cc: the kernels that run: the fastest set allowed on this processor that gives the scalar answer on
// rows of pseudo-random numbers.
#include <vector>

#include "kernels/kernels.h"

namespace h5neural {
namespace {

// Rows that reach every branch: small and extreme values, counts that are no multiple of a vector.
struct TestRow {
  static constexpr int kCount = 77, kMargin = 8;
  std::vector<int32_t> values = std::vector<int32_t>(kCount + 2 * kMargin + kOverhang);
  std::vector<uint16_t> magnitudes = std::vector<uint16_t>(values.size());
  std::vector<int32_t> quantised = std::vector<int32_t>(values.size());
  PredictorTaps predictor;
  ContextTaps context;

  explicit TestRow(uint64_t seed) {
    const auto next = [&seed] {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      return static_cast<int32_t>(seed >> 32);
    };
    for (size_t k = 0; k < values.size(); ++k) {
      const int shift = next() & 31;  // all sizes alike
      values[k] = (next() >> 3) >> (shift % 29);
      magnitudes[k] = static_cast<uint16_t>((next() & 0xffff) >> (shift % 17));
      quantised[k] = next() >> shift;
    }
    predictor.pairs = kContextPairs;
    context.pairs = kContextPairs;
    context.origin = 8;
    for (int j = 0; j < kContextPairs; ++j) {
      const int d = j % kMargin + 1;
      predictor.plus[j] = context.plus[j] = values.data() + kMargin + d;
      predictor.minus[j] = context.minus[j] = values.data() + kMargin - d;
      predictor.coefficient[j] = next() >> 9;
      context.plus_magnitude[j] = magnitudes.data() + kMargin + d;
      context.minus_magnitude[j] = magnitudes.data() + kMargin - d;
    }
    for (int32_t& w : context.weight) w = (next() & 0xfffff) >> (seed >> 60);
  }

  // What a set of kernels makes of it.
  struct Answer {
    std::vector<int32_t> numbers;
    bool operator==(const Answer&) const = default;
  };
  // What the kernels of the transform make of it.
  void transform(const Kernels& k, std::vector<int32_t>& numbers) const {
    const int32_t *x = values.data() + kMargin, *left = x - 3, *right = x + 2;
    const auto note = [&](const auto& row, size_t count) {
      numbers.insert(numbers.end(), row.begin(), row.begin() + static_cast<ptrdiff_t>(count));
    };
    std::vector<int32_t> row(values.begin() + kMargin, values.end()), pairs(2 * kCount + 2 * kOverhang);
    k.lift(row.data(), quantised.data(), quantised.data() + 1, kCount, predictor.coefficient[0]);
    note(row, row.size());  // nothing is written beyond
    k.scale(quantised.data(), kCount, predictor.coefficient[1], 3, row.data());
    note(row, row.size());
    k.interleave(quantised.data(), x, kCount, pairs.data());
    note(pairs, 2 * kCount);
    for (const int32_t step : {1, 77, 1 << 14, 1 << 30}) {
      k.reconstruct(x, kCount, {step, step / 5, -(step / 4), 1 << 30}, row.data());
      note(row, row.size());
    }
    std::vector<uint16_t> capped(magnitudes.size());
    for (size_t i = 0; i < capped.size(); ++i) capped[i] = magnitudes[i] & 0x3fff;
    const uint16_t* rows[7];
    for (int j = 0; j < 7; ++j) rows[j] = capped.data() + j;
    const WeighedRows sums[] = {{256, 7, rows}, {3, 2, rows + 1}, {181, 4, rows}};
    std::vector<uint32_t> weighed(kCount + kOverhang, 5);
    k.weigh({sums, std::size(sums)}, kCount, weighed.data());
    note(weighed, kCount);
    const RowsBeside beside{2, {left, x - 1}, {right, x + 1}};
    for (const int count : {3, kCount}) {
      std::vector<uint8_t> rough(kCount + kOverhang);
      k.roughness(x, beside, count, rough.data());
      note(rough, rough.size());
    }
  }
  // What places learn from two blocks of three planes, some points left out.
  void places(const Kernels& k, std::vector<int32_t>& numbers) const {
    constexpr int kPlaces = 21, kPlane = 25, kPlanes = 3;
    constexpr ptrdiff_t kStride = kPlaces + kOverhang;
    std::vector<int64_t> sums(kPlaceSums * kStride);
    std::vector<int32_t> weight(kPlaceTaps * kStride), corrected(values.begin(), values.end());
    std::vector<int32_t> correction(kPlanes * kPlane + kOverhang);
    std::vector<uint8_t> skip(correction.size());
    for (size_t i = 0; i < skip.size(); ++i) skip[i] = magnitudes[i] % 5 == 0;
    const PlaceArrays arrays{kStride, sums.data(), weight.data()};
    PlaceBlock b;
    b.planes = kPlanes;
    b.count = kPlaces;
    b.taps = kPlaceTaps;
    for (int j = 0; j < kPlaceTaps; ++j) b.tap[j] = values.data() + j;
    b.tap_plane = kPlane - 1;
    b.plane = kPlane;
    b.bin = 16;
    b.prediction = corrected.data();
    b.correction = correction.data();
    b.quantised = quantised.data();
    for (const int shift : {0, 3}) {
      b.shift = shift;
      b.skip = shift == 0 ? nullptr : skip.data();
      k.places->correct(b, arrays);
      k.places->learn(b, arrays);
      k.places->solve(b.taps, arrays, b.count);
    }
    numbers.insert(numbers.end(), corrected.begin(), corrected.end());
    numbers.insert(numbers.end(), correction.begin(), correction.end());
    numbers.insert(numbers.end(), weight.begin(), weight.end());
    for (const int64_t v : sums) numbers.push_back(static_cast<int32_t>(v ^ v >> 32));
  }
  // What a network is shown, by scales from the finest to the coarsest, with rows that the stencil lacks.
  void network(const Kernels& k, std::vector<int32_t>& numbers) const {
    constexpr int kSums = kContextPairs + 2, kDifferences = 3;
    constexpr ptrdiff_t kStride = kCount + kOverhang;
    constexpr size_t kRows = kSums + kDifferences + 2 * kContextPairs + 1 + kFeatures;
    for (const int origin : {-12, 0, 9, 24, 50}) {
      ContextTaps near = context;
      near.origin = origin;
      near.pairs = kContextPairs - 1;
      const NetworkTaps taps{kSums, kDifferences, kContextPairs, &predictor, &near};
      std::vector<uint8_t> contexts(kCount + kOverhang);
      for (size_t i = 0; i < kCount; ++i) contexts[i] = magnitudes[i] % kContexts;
      std::vector<int16_t> out(kRows * kStride);
      k.network_row(taps, values.data() + kMargin, contexts.data(), 0, kCount, out.data(), kStride);
      for (size_t e = 0; e < kRows; ++e)
        numbers.insert(numbers.end(), out.begin() + static_cast<ptrdiff_t>(e) * kStride,
                       out.begin() + static_cast<ptrdiff_t>(e) * kStride + kCount);
    }
  }
  Answer run(const Kernels& k) const {
    Answer a;
    std::vector<int32_t> prediction(kCount + kOverhang), value(kCount + kOverhang);
    std::vector<uint8_t> contexts(kCount + kOverhang);
    std::vector<uint16_t> magnitude(kCount + kOverhang);
    k.predict(predictor, 0, kCount, prediction.data());
    k.contexts(context, prediction.data(), 0, kCount, contexts.data());
    k.accept(prediction.data(), quantised.data(), kCount, 13, value.data(), magnitude.data());
    network(k, a.numbers);
    // Thirty-two states and what words there are, under one table.
    RansLanes lanes;
    for (int i = 0; i < kMaxLanes; ++i) lanes.state[i] = kRansLow + (static_cast<uint32_t>(values[i]) >> 1);
    const auto* words = reinterpret_cast<const uint8_t*>(magnitudes.data());
    lanes.next = words;
    lanes.end = words + magnitudes.size() * sizeof(uint16_t);
    const std::array<uint32_t, kContextRoom> first{};
    std::vector<uint8_t> symbols(4 * kMaxLanes), any(symbols.size());
    k.decode_groups(lanes, any.data(), 4, first.data(), slots(table(1, 20)), symbols.data());
    std::vector<int32_t> unfolded(symbols.size());
    const bool escaped = k.unfold(symbols.data(), static_cast<int64_t>(symbols.size()), unfolded.data());
    transform(k, a.numbers);
    places(k, a.numbers);
    a.numbers.insert(a.numbers.end(), unfolded.begin(), unfolded.end());
    a.numbers.push_back(escaped);
    a.numbers.insert(a.numbers.end(), symbols.begin(), symbols.end());
    a.numbers.insert(a.numbers.end(), lanes.state.begin(), lanes.state.end());
    a.numbers.insert(a.numbers.end(), prediction.begin(), prediction.begin() + kCount);
    a.numbers.insert(a.numbers.end(), contexts.begin(), contexts.begin() + kCount);
    a.numbers.insert(a.numbers.end(), value.begin(), value.begin() + kCount);
    a.numbers.insert(a.numbers.end(), magnitude.begin(), magnitude.begin() + kCount);
    return a;
  }
};

const Kernels& choose() {
  for (const SimdTarget t : {SimdTarget::kAvx512, SimdTarget::kAvx2, SimdTarget::kNeon}) {
    const Kernels* k = t <= allowed_target() ? simd_kernels(t) : nullptr;
    if (k != nullptr && passes_known_answer(*k)) return *k;
  }
  return scalar_kernels();
}

}  // namespace

bool passes_known_answer(const Kernels& k) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const TestRow row(seed);
    if (row.run(k) != row.run(scalar_kernels())) return false;
  }
  return true;
}

const Kernels& kernels() {
  static const Kernels& k = choose();
  return k;
}

}  // namespace h5neural

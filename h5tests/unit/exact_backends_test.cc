// exact_backends_test.cc: every backend gives the bits of `scalar`: random programs over all operations, odd
// shapes, weights and values at their limits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "exact/backend.h"
#include "kernels/cpu.h"
#include "program_store.h"

namespace h5neural {
namespace {

using Json = nlohmann::json;

std::vector<const Backend*> usable() {
  std::vector<const Backend*> v;
  std::copy_if(backends().begin() + 1, backends().end(), std::back_inserter(v),
               [](const Backend* b) { return b->available(); });
  return v;
}

// Grows a program operation by operation: a draw that the proof would refuse is drawn again.
class RandomProgram {
 public:
  explicit RandomProgram(uint64_t seed) : draw_(seed) {}

  Program make() {
    const auto rank = static_cast<size_t>(number(0, 3));
    for (int64_t i = 0, n = number(1, 2); i < n; ++i) input(rank);
    program_ = store_.parse(json({0}).dump());
    for (int64_t i = 0, n = number(1, 9); i < n; ++i) grow();
    std::vector<size_t> outputs{program_.values.size() - 1};
    for (size_t v = 0; v + 1 < program_.values.size(); ++v) {
      if (number(0, 5) == 0) outputs.push_back(v);
    }
    return store_.parse(json(outputs).dump());
  }

 private:
  int64_t number(int64_t lo, int64_t hi) { return std::uniform_int_distribution<int64_t>(lo, hi)(draw_); }
  int64_t one_of(const std::vector<int64_t>& v) {
    return v[static_cast<size_t>(number(0, static_cast<int64_t>(v.size()) - 1))];
  }
  int64_t channels() {
    return number(0, 3) == 0 ? one_of({15, 16, 17, 32, 33, 47, 48, 49, 64, 97}) : number(1, 20);
  }

  void input(size_t rank) {
    Json shape = Json::array();
    for (size_t d = 0; d < rank; ++d) shape.push_back(number(1, rank == 3 ? 6 : 11));
    shape.push_back(channels());
    const std::vector<std::pair<int64_t, int64_t>> ranges{
        {-128, 127}, {0, 255}, {-37, 200}, {0, 127}, {5, 90}, {-128, 128}, {-32768, 32767}, {-3000, 0}};
    const auto& r = ranges[static_cast<size_t>(number(0, static_cast<int64_t>(ranges.size()) - 1))];
    inputs_.push_back({{"shape", shape}, {"min", r.first}, {"max", r.second}});
  }

  Json json(const std::vector<size_t>& outputs) const {
    return {{"inputs", inputs_}, {"ops", ops_}, {"outputs", outputs}};
  }

  void grow() {
    for (int tries = 0; tries < 20; ++tries) {
      // Mostly the newest value, so that operations follow one another.
      const auto v =
          static_cast<size_t>(number(0, 3) == 0 ? number(0, static_cast<int64_t>(program_.values.size()) - 1)
                                                : static_cast<int64_t>(program_.values.size()) - 1);
      ops_.push_back(op(v));
      try {
        Program p = store_.parse(json({0}).dump());
        if (p.macs < 3000000 && p.activations < 300000) {
          program_ = std::move(p);
          return;
        }
      } catch (const std::exception&) {  // refused
      }
      ops_.erase(ops_.size() - 1);
    }
  }

  Json op(size_t v) {
    const Value& x = program_.values[v];
    const int64_t lo = *std::min_element(x.lo.begin(), x.lo.end()),
                  hi = *std::max_element(x.hi.begin(), x.hi.end());
    const bool narrow = lo >= INT16_MIN && hi <= INT16_MAX;
    switch (narrow ? number(0, 9) : number(4, 7)) {
      case 0:
        return linear(v, x);
      case 1:
      case 2:
      case 8:
        return conv(v, x, number(0, 1) == 0);
      case 3:
        return table(v, lo, hi);
      case 4: {
        const int64_t a = number(-40000, 40000), b = number(-40000, 40000);
        return {{"op", "clamp"}, {"in", {v}}, {"min", std::min(a, b)}, {"max", std::max(a, b)}};
      }
      case 5:
        return number(0, 1) == 0 ? Json{{"op", "add"}, {"in", {v, v}}}
                                 : Json{{"op", "concat"}, {"in", {v, v, v}}};
      case 9:
        return {{"op", "reshape"}, {"in", {v}}, {"shape", {x.count() / x.shape.back(), x.shape.back()}}};
      default:
        return requantise(v, x);
    }
  }

  Json requantise(size_t v, const Value& x) {
    Json j{{"op", "requantise"}, {"in", {v}}, {"shift", one_of({0, 1, 7, 16, 24, 31, 32, 33, 47, 62})}};
    const std::vector<std::pair<int64_t, int64_t>> limits{
        {-128, 127}, {0, 255}, {0, 127}, {-32768, 32767}, {-300, 4000}, {INT32_MIN, INT32_MAX}};
    const auto [lo, hi] = limits[static_cast<size_t>(number(0, 5))];
    j["min"] = lo;
    j["max"] = hi;
    const int64_t most = int64_t{1} << number(0, 31);
    const auto factor = [&] { return static_cast<int32_t>(number(-most, most - 1)); };
    if (number(0, 1) == 0) {
      j["multiplier"] = factor();
    } else {
      std::vector<int32_t> m(x.shape.back());
      for (auto& f : m) f = factor();
      j["multiplier"] = stored({static_cast<uint32_t>(m.size())}, m);
    }
    return j;
  }

  Json table(size_t v, int64_t lo, int64_t hi) {
    std::vector<int16_t> t(static_cast<size_t>(hi - lo + 1 + number(0, 3)));
    const int64_t most = one_of({127, 32767});
    for (auto& e : t) e = static_cast<int16_t>(number(-most - 1, most));
    return {
        {"op", "table"}, {"in", {v}}, {"first", lo}, {"table", stored({static_cast<uint32_t>(t.size())}, t)}};
  }

  Json linear(size_t v, const Value& x) {
    Json j{{"op", "linear"}, {"in", {v}}};
    weights(j, x, {static_cast<uint32_t>(channels()), x.shape.back()}, x.shape.back());
    return j;
  }

  Json conv(size_t v, const Value& x, bool transposed) {
    Json j{{"op", transposed ? "conv_transposed" : "conv"}, {"in", {v}}};
    std::vector<uint32_t> shape{static_cast<uint32_t>(channels())};
    size_t terms = x.shape.back();
    for (size_t d = 0; d + 1 < x.shape.size(); ++d) {
      const int64_t k = number(1, 4), stride = number(1, 4);
      shape.push_back(static_cast<uint32_t>(k));
      terms *= static_cast<size_t>(k);
      j["stride"].push_back(stride);
      j["before"].push_back(number(0, k - 1));
      j["after"].push_back(number(transposed ? 1 - stride : 0, k - 1));
    }
    shape.push_back(x.shape.back());
    weights(j, x, shape, terms);
    return j;
  }

  // As large as the proof allows, or around the limits of 8 bits and of the instructions' 16-bit pairs; a
  // third of them all at the limit.
  void weights(Json& j, const Value& x, const std::vector<uint32_t>& shape, size_t terms) {
    int64_t largest = 1;
    for (size_t i = 0; i < x.count(); ++i) largest = std::max({largest, -int64_t{x.lo[i]}, int64_t{x.hi[i]}});
    const int64_t by_sum = (INT32_MAX - 100000) / (largest * static_cast<int64_t>(terms));
    const int64_t most = std::min(one_of({1, 63, 64, 65, 127, 128, 32767}), by_sum);
    size_t count = 1;
    for (const uint32_t n : shape) count *= n;
    const bool extreme = number(0, 2) == 0;
    std::vector<int16_t> w(count);
    for (auto& e : w)
      e = static_cast<int16_t>(extreme ? (number(0, 3) == 0 ? -most : most) : number(-most, most));
    const bool bytes = most <= 128 && std::all_of(w.begin(), w.end(), [](int16_t e) { return e <= 127; });
    j["weight"] = bytes ? stored(shape, std::vector<int8_t>(w.begin(), w.end())) : stored(shape, w);
    std::vector<int32_t> b(shape[0]);
    for (auto& e : b) e = static_cast<int32_t>(number(-100000, 100000));
    j["bias"] = stored({shape[0]}, b);
  }

  template <class T>
  std::string stored(const std::vector<uint32_t>& shape, const std::vector<T>& values) {
    std::string name = std::to_string(tensors_++);
    store_.add(name, shape, values);
    return name;
  }

  std::mt19937_64 draw_;
  ProgramStore store_;
  Json inputs_ = Json::array(), ops_ = Json::array();
  Program program_;
  int tensors_ = 0;
};

// Each item all at its lower ends, all at its upper ends, at either, or anywhere between.
std::vector<Batch> inputs_for(const Program& p, size_t items, uint64_t seed) {
  std::mt19937_64 draw(seed);
  std::vector<Batch> inputs(p.inputs);
  for (uint32_t v = 0; v < p.inputs; ++v) {
    const Value& x = p.values[v];
    for (size_t item = 0; item < items; ++item) {
      const auto how = (item + seed) % 4;
      for (size_t i = 0; i < x.count(); ++i) {
        const bool low = how == 0 || (how == 2 && draw() % 2 == 0);
        const auto width = static_cast<uint64_t>(int64_t{x.hi[i]} - x.lo[i]) + 1;
        inputs[v].push_back(how == 3 ? static_cast<int32_t>(x.lo[i] + static_cast<int64_t>(draw() % width))
                            : low    ? x.lo[i]
                                     : x.hi[i]);
      }
    }
  }
  return inputs;
}

void expect_in_ranges(const Program& p, const std::vector<Batch>& outputs) {
  for (size_t o = 0; o < outputs.size(); ++o) {
    const Value& v = p.values[p.outputs[o]];
    for (size_t i = 0; i < outputs[o].size(); ++i) {
      ASSERT_GE(outputs[o][i], v.lo[i % v.count()]);
      ASSERT_LE(outputs[o][i], v.hi[i % v.count()]);
    }
  }
}

class RandomPrograms : public testing::TestWithParam<int> {};

TEST_P(RandomPrograms, GiveTheBitsOfScalar) {
  constexpr uint64_t kPrograms = 40;
  std::array<size_t, 9> seen{};
  for (uint64_t i = 0; i < kPrograms; ++i) {
    const uint64_t seed = static_cast<uint64_t>(GetParam()) * kPrograms + i;
    const Program p = RandomProgram(seed).make();
    for (const Op& op : p.ops) ++seen[static_cast<size_t>(op.kind)];
    const size_t items = std::array<size_t, 5>{1, 2, 3, 7, 41}[seed % 5];
    const auto inputs = inputs_for(p, items, seed);
    const auto truth = backends()[0]->execute(p, inputs, items);
    expect_in_ranges(p, truth);
    for (const Backend* b : usable()) {
      ASSERT_EQ(b->execute(p, inputs, items), truth) << b->name() << ", program " << seed;
    }
  }
  for (size_t k = 0; k < seen.size(); ++k) EXPECT_GT(seen[k], 0u) << op_name(static_cast<OpKind>(k));
}
INSTANTIATE_TEST_SUITE_P(Seeds, RandomPrograms, testing::Range(0, 10));

// Every number of outputs and positions around the sizes of the blocks, one layer at a time.
TEST(Backends, AgreeAtEverySizeOfABlock) {
  for (const int bits : {8, 16}) {
    for (uint32_t rows = 1; rows <= 100; rows += rows < 52 ? 1 : 7) {
      ProgramStore s;
      const uint32_t columns = 1 + rows * 7 % 13;
      std::vector<int16_t> w(rows * columns);
      for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<int16_t>(static_cast<int>(i * 37 % 255) - 127);
      bits == 8 ? s.add("w", {rows, columns}, std::vector<int8_t>(w.begin(), w.end()))
                : s.add("w", {rows, columns}, w);
      std::vector<int32_t> b(rows);
      for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<int32_t>(i) - 9;
      s.add("b", {rows}, b);
      const Program p =
          s.parse(R"({"inputs":[{"shape":[)" + std::to_string(columns) + R"(],"min":)" +
                  (bits == 8 ? "-128" : "-32768") + R"(,"max":127}],"ops":[{"op":"linear","in":[0],
                                "weight":"w","bias":"b"}],"outputs":[1]})");
      for (const size_t items : {1, 2, 3, 5, 6, 7, 8, 9, 15, 257}) {
        const auto inputs = inputs_for(p, items, rows);
        const auto truth = backends()[0]->execute(p, inputs, items);
        for (const Backend* backend : usable()) {
          ASSERT_EQ(backend->execute(p, inputs, items), truth)
              << backend->name() << ", " << rows << " rows, " << items;
        }
      }
    }
  }
}

// Two products of bytes fill 16 bits exactly, or are one too many: 255 * (64 + 64) + 255 and 255 * 129.
TEST(Backends, PairsOfBytesNeverSaturate) {
  for (const auto& [a, b] :
       std::vector<std::pair<int, int>>{{64, 64}, {65, 64}, {127, 127}, {-64, -64}, {-128, -128}, {127, 1}}) {
    for (const int most : {127, 128, 255}) {
      ProgramStore s;
      std::vector<int8_t> w(64);
      for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<int8_t>(i % 2 == 0 ? a : b);
      s.add("w", {1, 64}, w);
      s.add<int32_t>("b", {1}, {0});
      const Program p =
          s.parse(R"({"inputs":[{"shape":[64],"min":0,"max":)" + std::to_string(most) +
                  R"(}],"ops":[{"op":"linear","in":[0],"weight":"w","bias":"b"}],"outputs":[1]})");
      const std::vector<Batch> x{Batch(64, most)};
      for (const Backend* backend : usable())
        EXPECT_EQ(backend->execute(p, x, 1)[0][0], 32 * (a + b) * most)
            << backend->name() << " " << a << " " << b;
    }
  }
}

// One output and runs of one number would be packed to 64 bytes a weight: such layers are not packed.
TEST(Backends, LayersTooLargeToPackRunAllTheSame) {
  constexpr uint32_t kEdge = 513;
  ProgramStore s;
  std::vector<int8_t> w(size_t{kEdge} * kEdge);
  for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<int8_t>(i * 31 % 251);
  s.add("w", {1, kEdge, kEdge, 1, 1}, w);
  s.add<int32_t>("b", {1}, {77});
  const Program p = s.parse(R"({"inputs":[{"shape":[3,3,1,1],"min":-90,"max":90}],"ops":[
      {"op":"conv","in":[0],"weight":"w","bias":"b","stride":[513,513,1],"before":[512,512,0],"after":[512,512,0]},
      {"op":"requantise","in":[1],"multiplier":3,"shift":2,"min":-5000,"max":9000}],"outputs":[2]})");
  const auto inputs = inputs_for(p, 4, 3);
  const auto truth = backends()[0]->execute(p, inputs, 4);
  for (const Backend* b : usable()) EXPECT_EQ(b->execute(p, inputs, 4), truth) << b->name();
}

// Death tests start this program anew, and H5NEURAL_BACKEND is read once.
TEST(Backends, TheEnvironmentAllowsNoneBeyondTheOneItNames) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto chosen = [](const char* allowed) {
    setenv("H5NEURAL_BACKEND", allowed, 1);
    (void)std::fprintf(stderr, "chosen: %s.", best_backend().name());
    std::exit(0);
  };
  EXPECT_EXIT(chosen("scalar"), testing::ExitedWithCode(0), "chosen: scalar.");
  for (const auto& [target, allowed] :
       std::vector<std::pair<SimdTarget, const char*>>{{SimdTarget::kAvx2, "avx2"},
                                                       {SimdTarget::kAvx512, "avx512"},
                                                       {SimdTarget::kAvx512Vnni, "avx512vnni"}}) {
    if (!has_target(target)) continue;
    EXPECT_EXIT(chosen(allowed), testing::ExitedWithCode(0), std::string("chosen: simd-") + allowed + "\\.");
  }
}

// Packing is kept with the program, shared by its copies, and made by many threads at once without harm.
TEST(Backends, ThreadsAndCopiesShareOneProgram) {
  auto original = std::make_unique<Program>(RandomProgram(12345).make());
  const Program p = *original;
  const auto inputs = inputs_for(p, 5, 1);
  const auto truth = backends()[0]->execute(p, inputs, 5);
  std::vector<int> right(8);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < right.size(); ++t) {
    threads.emplace_back([&, t] {
      right[t] = 1;
      for (const Backend* b : usable()) right[t] &= b->execute(p, inputs, 5) == truth ? 1 : 0;
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(right, std::vector<int>(right.size(), 1));
  original.reset();
  for (const Backend* b : usable()) EXPECT_EQ(b->execute(p, inputs, 5), truth);
}

}  // namespace
}  // namespace h5neural

// model_corrections_test.cc: corrections networks made here: what they are shown against examples worked out
// by hand, what becomes of their answer, walks with and without them, weights and payloads made to do harm.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "corrections/ladder.h"
#include "corrections/network.h"
#include "exact/backend.h"
#include "h5neural/h5neural.h"
#include "models/factory.h"
#include "payload/header.h"
#include "weights/safetensors.h"

namespace h5neural {
namespace {

using Json = nlohmann::json;

constexpr NetworkShape kShape{2, 2, 2, 0};  // pairs, differences, magnitudes, from_context
constexpr int kHidden = 6;

// The parts of a weights file: a network of one hidden layer, drawn at random.
struct File {
  Json config, program;
  std::map<std::string, std::pair<std::vector<uint64_t>, std::vector<int32_t>>> arrays;  // I32
  std::map<std::string, std::pair<std::vector<uint64_t>, std::vector<int8_t>>> weights;  // I8

  explicit File(const NetworkShape& s = kShape, unsigned seed = 1) {
    config = {{"pairs", s.pairs},
              {"differences", s.differences},
              {"magnitudes", s.magnitudes},
              {"from_context", s.from_context}};
    const auto inputs = static_cast<uint64_t>(network_inputs(s));
    std::vector<int32_t> least, most;
    for (int e = 0; e < network_inputs(s); ++e) {
      const auto [lo, hi] = network_input_range(s, e);
      least.push_back(lo);
      most.push_back(hi);
    }
    std::mt19937 draw(seed);
    const auto drawn = [&](size_t n, int limit) {
      std::vector<int8_t> w(n);
      for (auto& x : w) x = static_cast<int8_t>(static_cast<int>(draw() % (2 * limit + 1)) - limit);
      return w;
    };
    arrays = {{"least", {{inputs}, least}},
              {"most", {{inputs}, most}},
              {"zeros", {{kHidden}, std::vector<int32_t>(kHidden)}},
              {"zero", {{1}, {0}}}};
    weights = {{"hidden", {{kHidden, inputs}, drawn(kHidden * inputs, 8)}},
               {"move", {{1, kHidden}, drawn(kHidden, 40)}},
               {"change", {{1, kHidden}, drawn(kHidden, 20)}}};
    program = {{"inputs", {{{"shape", {inputs}}, {"min", "least"}, {"max", "most"}}}},
               {"ops",
                {linear(0, "hidden", "zeros"),
                 limited(1, 4, 0, 1023),
                 linear(2, "move", "zero"),
                 limited(3, 6, -255, 255),
                 linear(2, "change", "zero"),
                 limited(5, 6, -64, 64),
                 {{"op", "concat"}, {"in", {4, 6}}}}},
               {"outputs", {7}}};
  }
  static Json linear(int in, const char* weight, const char* bias) {
    return {{"op", "linear"}, {"in", {in}}, {"weight", weight}, {"bias", bias}};
  }
  static Json limited(int in, int shift, int lo, int hi) {
    return {{"op", "requantise"}, {"in", {in}}, {"multiplier", 1},
            {"shift", shift},     {"min", lo},  {"max", hi}};
  }

  std::shared_ptr<const Model> load() const {
    Safetensors s;
    s.metadata = {{"format", "h5neural-weights-1"},
                  {"name", "test"},
                  {"family", "corrections"},
                  {"config", config.dump()}};
    if (!program.is_null()) s.metadata["program.refine"] = program.dump();
    const auto put = [&](const std::string& type, const std::string& name, const auto& array) {
      const auto& [shape, values] = array;
      const auto* first = reinterpret_cast<const uint8_t*>(values.data());
      s.tensors[name] = {type, shape, {first, values.size() * sizeof values[0]}};
    };
    for (const auto& [name, a] : arrays) put("I32", name, a);
    for (const auto& [name, a] : weights) put("I8", name, a);
    const Bytes all = write_safetensors(s);
    return make_model(WeightsFile(all, sha256(all), "test"));
  }
};

constexpr const char* kSeeds = H5NEURAL_SOURCE_DIR "/h5tests/fuzz/seeds/weights";

// The seed of the fuzzers: it knows that a value is the larger one of its two nearest neighbours.
std::shared_ptr<const Model> knowing() {
  std::ifstream in(std::string(kSeeds) + "/corrections.safetensors", std::ios::binary);
  const Bytes all{std::istreambuf_iterator<char>(in), {}};
  return make_model(WeightsFile(all, sha256(all), "seed"));
}

// ---- weights

TEST(CorrectionsModel, IsWhatItsFileSays) {
  const auto model = File({16, 8, 12, 7}).load();
  EXPECT_EQ(model->name(), "test");
  EXPECT_EQ(model->family(), "corrections");
  EXPECT_TRUE(model->general());
  for (const Extents& e : {Extents{1, {1}}, Extents{4, {3, 4, 5, 6}}, Extents{2, {1, 1000}}})
    EXPECT_TRUE(model->serves(e));
  ASSERT_NE(model->network(), nullptr);
  const NetworkShape& s = model->network()->shape;
  EXPECT_EQ(s.pairs, 16);
  EXPECT_EQ(s.differences, 8);
  EXPECT_EQ(s.magnitudes, 12);
  EXPECT_EQ(s.from_context, 7);
  EXPECT_EQ(network_inputs(s), 16 + 8 + 24 + 18);
  EXPECT_EQ(knowing()->name(), "seed-corrections");
}

TEST(CorrectionsModel, HasNoLatentsAndNoBase) {
  const auto model = File().load();
  const Extents e{2, {3, 4}};
  std::vector<int32_t> field(12, 5);
  EXPECT_FALSE(model->encode(field, e, 16).has_value());
  model->decode({}, e, field);
  EXPECT_EQ(field, std::vector<int32_t>(12, 0));
  EXPECT_TRUE(model->latents({}, e).scale.empty());
  const Bytes some{0};
  EXPECT_THROW(model->decode(some, e, field), Failure);
  EXPECT_THROW((void)model->latents(some, e), Failure);
}

std::string refusal(const std::function<void(File&)>& change) {
  File f;
  change(f);
  try {
    f.load();
  } catch (const Failure& e) {
    EXPECT_EQ(e.status(), H5N_ERR_CORRUPT);
    return e.what();
  }
  return "accepted";
}
void expect_refusal(const char* says, const std::function<void(File&)>& change) {
  const std::string said = refusal(change);
  EXPECT_NE(said.find(says), std::string::npos) << said;
  EXPECT_EQ(said.rfind("h5neural: ", 0), 0u) << said;
}

TEST(CorrectionsModel, RefusesAConfigOutOfRange) {
  EXPECT_EQ(refusal([](File&) {}), "accepted");
  const std::vector<std::pair<const char*, std::vector<int>>> wrong = {{"pairs", {0, -1, 65}},
                                                                       {"differences", {-1, 65}},
                                                                       {"magnitudes", {-1, 13}},
                                                                       {"from_context", {-1, 36}}};
  for (const auto& [key, values] : wrong) {
    for (const int v : values) expect_refusal(key, [&, name = key](File& f) { f.config[name] = v; });
    expect_refusal(key, [name = key](File& f) { f.config.erase(name); });
  }
}

TEST(CorrectionsModel, RefusesAProgramOfAnotherForm) {
  expect_refusal("refine", [](File& f) { f.program = nullptr; });
  expect_refusal("another form", [](File& f) { f.program["outputs"] = {4, 6}; });
  expect_refusal("another form", [](File& f) {
    // A second input, which nothing looks at, moves all values by one.
    f.program["inputs"].push_back({{"shape", {1}}, {"min", 0}, {"max", 1}});
    for (Json& op : f.program["ops"]) {
      for (Json& in : op["in"]) in = in.get<int>() == 0 ? 0 : in.get<int>() + 1;
    }
    f.program["outputs"] = {8};
  });
  expect_refusal("other inputs or outputs", [](File& f) { f.program["outputs"] = {4}; });
  expect_refusal("other inputs or outputs", [](File& f) { f.program["outputs"] = {2}; });
  expect_refusal("other inputs or outputs", [](File& f) { f.config["pairs"] = 3; });
}

TEST(CorrectionsModel, RefusesTooMuchWorkForAPoint) {
  constexpr uint64_t kRows = 42000;  // times 26 inputs: over 2^20
  expect_refusal("too much work", [](File& f) {
    f.weights["wide"] = {{kRows, 26}, std::vector<int8_t>(kRows * 26)};
    f.arrays["many"] = {{kRows}, std::vector<int32_t>(kRows)};
    f.program["ops"].push_back(File::linear(0, "wide", "many"));
  });
  expect_refusal("too much work", [](File& f) {  // no multiplications, but elements
    f.weights["wide"] = {{kRows, 1}, std::vector<int8_t>(kRows)};
    f.arrays["many"] = {{kRows}, std::vector<int32_t>(kRows)};
    f.program["ops"].push_back(File::linear(4, "wide", "many"));
    for (int k = 0; k < 30; ++k) f.program["ops"].push_back(File::limited(8 + k, 0, 0, 1));
  });
}

TEST(CorrectionsModel, RefusesInputsThatAreNotAllTaken) {
  for (const size_t e : {0u, 3u, 4u, 7u, 8u, 9u, 13u, 14u, 15u, 25u}) {
    expect_refusal("does not take all", [e](File& f) { --f.arrays["most"].second[e]; });
    expect_refusal("does not take all", [e](File& f) { ++f.arrays["least"].second[e]; });
  }
  EXPECT_EQ(refusal([](File& f) { --f.arrays["least"].second[4], ++f.arrays["most"].second[25]; }),
            "accepted");
}

TEST(CorrectionsModel, RefusesOutputsWithoutLimits) {
  for (const auto& [op, key, value] : std::vector<std::tuple<int, const char*, int>>{
           {3, "min", -256}, {3, "max", 256}, {5, "min", -65}, {5, "max", 65}}) {
    expect_refusal("are not limited", [op = op, key = key, value = value](File& f) {
      f.weights["move"].second.assign(kHidden, 100);
      f.weights["move"].second[0] = -100;
      f.weights["change"].second = f.weights["move"].second;
      f.program["ops"][op][key] = value;
    });
  }
}

// ---- what a network is shown

// The inputs of point k of a coset whose prediction and contexts are set.
std::vector<int32_t> shown_of_point(const WalkInput& in, const LevelState& level, const CosetState& coset,
                                    int64_t k) {
  std::vector<int32_t> shown;
  NetworkView(in, level, coset).each_point([&](int64_t at, const std::vector<int32_t>& x) {
    if (at == k) shown = x;
  });
  return shown;
}

// A line of five points, of which the even ones are known, with values and magnitudes.
struct Line {
  WalkInput in;
  Schedule schedule;
  WalkNetwork network;
  LevelState level;
  CosetState coset;

  Line(int step_bits, const std::array<int32_t, 3>& values, const std::array<uint16_t, 3>& magnitudes) {
    in.n = {1, 1, 1, 5};
    in.step_bits = step_bits;
    network = *File().load()->network();
    in.network = &network;
    schedule = all_axes_alike(in.n);
    const std::vector<Rung> rungs = ladder(schedule);
    LevelState root = root_level(in, schedule, rungs[1]);
    for_root_points(in, root, [&](int64_t at) { return values[static_cast<size_t>(at / 2)]; });
    for (int i = 0; i < 3; ++i)
      root.magnitude[0][static_cast<size_t>(root.layout.at({0, 0, 0, i}))] =
          magnitudes[static_cast<size_t>(i)];
    level = refine(in, root, schedule, rungs[0], 0);
    begin_coset(in, level, 0b1000, 0, 1, coset);
    std::fill_n(coset.prediction.data(), coset.points, 0);
    std::fill_n(coset.context.data(), coset.points, uint8_t{0});
  }
  std::vector<int32_t> shown(int k, int32_t prediction, uint8_t context) {
    coset.prediction[static_cast<size_t>(k)] = prediction;
    coset.context[static_cast<size_t>(k)] = context;
    return shown_of_point(in, level, coset, k);
  }
};

// In order: sums, differences, magnitudes ahead and behind, context, features, spacing, kinds.
std::vector<int32_t> inputs(std::vector<int32_t> first_fifteen) {
  first_fifteen.resize(static_cast<size_t>(network_inputs(kShape)));
  first_fifteen[15] = 64;
  return first_fifteen;
}

TEST(NetworkView, ShowsEighthsOfWhatIsExpected) {
  // Context 10 of bins of 16: 16 lattice units are expected. The neighbours' mean lies 10 above the
  // prediction, half their difference is 50, the residuals were 32 ahead and 16 behind. The stencil has one
  // pair.
  Line line(4, {0, 100, 60}, {16, 32, 8});
  EXPECT_EQ(line.shown(0, 40, 10), inputs({5, 0, 25, 0, 16, 8, 0, 0, 40, 4 * (20 - 17), -68, -68,
                                           4 * (17 - 17), 4 * (22 - 17), 16}));
  // Half an octave more is expected, so all is smaller by the root of 2; -10 and -20 times 8 / 22.63.
  EXPECT_EQ(line.shown(1, 90, 11), inputs({-4, 0, -8, 0, 2, 11, 0, 0, 44, 4, -72, -72, -4, 4, 16}));
}

TEST(NetworkView, ShowsSmallAndLargeValuesWithinLimits) {
  // Narrow bins: contexts below 6 are taken as 6, a quarter of a lattice unit.
  Line small(0, {0, 4, 2000}, {1, 0, 10});
  EXPECT_EQ(small.shown(0, 0, 0), inputs({64, 0, 64, 0, 0, 32, 0, 0, 0, 16, -20, -20, 32, 32, 16}));
  EXPECT_EQ(small.shown(1, 0, 0), inputs({1023, 0, 1023, 0, 255, 0, 0, 0, 0, 40, -20, -20, 100, 100, 16}));
  Line large(4, {-kLatticeMax, kLatticeMax, 0}, {65535, 65535, 0});
  const auto x = large.shown(0, kLatticeMax, 35);
  EXPECT_EQ(x[0], -1023);
  EXPECT_EQ(x[2], 1023);
  EXPECT_EQ(x[8], 140);
}

// The largest number of bits of the grid's spacing, and the kind of each coset.
TEST(NetworkView, ShowsTheScaleAndTheKindOfCoset) {
  for (const auto& [n, first] :
       std::vector<std::pair<Index4, int>>{{{1, 1, 1, 3000}, 0}, {{1, 1, 40, 50}, 1}, {{1, 9, 18, 17}, 4}}) {
    WalkInput in;
    in.n = n;
    WalkNetwork network = *File().load()->network();
    in.network = &network;
    const Schedule schedule = all_axes_alike(n);
    const std::vector<Rung> rungs = ladder(schedule);
    LevelState level = root_level(in, schedule, rungs.back());
    for (size_t l = schedule.levels.size(); l-- > 0;) {
      level = refine(in, level, schedule, rungs[l], l);
      const int axes = std::popcount(level.layout.mask);
      if (axes != (first == 0 ? 1 : first == 1 ? 2 : 3)) continue;
      uint32_t known = 1;
      int order = 0;
      for (const uint8_t odd : coset_order(level.layout.mask)) {
        CosetState c;
        begin_coset(in, level, odd, order, known, c);
        std::fill_n(c.prediction.data(), c.points, 0);
        std::fill_n(c.quantised.data(), c.points, 0);
        std::fill_n(c.context.data(), c.points, uint8_t{0});
        const std::vector<int32_t> x = shown_of_point(in, level, c, 0);
        ASSERT_EQ(x.size(), static_cast<size_t>(network_inputs(kShape)));
        EXPECT_EQ(x[14], 16 * std::min<int>(static_cast<int>(l) + 1, 8));
        for (int k = 0; k < kNetworkPlaces; ++k)
          EXPECT_EQ(x[static_cast<size_t>(15 + k)], k == first + order ? 64 : 0) << k;
        accept(level, c);
        known |= 1u << odd;
        ++order;
      }
    }
  }
}

// ---- what becomes of its answer

TEST(NetworkChoice, MovesAPredictionByPartsOfWhatIsExpected) {
  constexpr int kOrigin = 7;  // step bits 4: 16 lattice units are expected in context 10
  EXPECT_EQ(moved(1000, 32, 4, 10, kOrigin), 1016);
  EXPECT_EQ(moved(1000, -32, 4, 10, kOrigin), 984);
  EXPECT_EQ(moved(1000, 32, 2, 10, kOrigin), 1008);
  EXPECT_EQ(moved(1000, 32, 7, 10, kOrigin), 1028);
  EXPECT_EQ(moved(1000, 255, 0, 10, kOrigin), 1000);
  EXPECT_EQ(moved(1000, 32, 4, 11, kOrigin), 1023);  // 22.6
  EXPECT_EQ(moved(1000, 32, 4, 0, kOrigin), moved(1000, 32, 4, 6, kOrigin));
  EXPECT_EQ(moved(1000, 32, 4, 6, kOrigin), 1004);
  EXPECT_EQ(moved(1000, 1, 4, 10, kOrigin), 1001);  // a half goes up
  EXPECT_EQ(moved(1000, -1, 4, 10, kOrigin), 1000);
  EXPECT_EQ(moved(1000, 32, 4, 6, -9), 1000);                // 2^-2 / 16 of a unit
  EXPECT_EQ(moved(1000, 32, 4, 35, kOrigin), 1000 + 92672);  // 2^(41/2) / 16
  EXPECT_EQ(moved(kLatticeMax, 255, 7, 35, kOrigin), kLatticeMax);
  EXPECT_EQ(moved(-kLatticeMax, -255, 7, 35, kOrigin), -kLatticeMax);
}

TEST(NetworkChoice, ChangesAContextByEighths) {
  EXPECT_EQ(changed(10, 8, 4), 11);
  EXPECT_EQ(changed(10, 4, 4), 11);  // a half goes up
  EXPECT_EQ(changed(10, -4, 4), 10);
  EXPECT_EQ(changed(10, -16, 2), 9);
  EXPECT_EQ(changed(10, -64, 7), 0);
  EXPECT_EQ(changed(30, 64, 7), 35);
  EXPECT_EQ(changed(10, 64, 0), 10);
}

TEST(NetworkChoice, ComesBackFromTheSideInformation) {
  std::vector<NetworkChoice> choices = {{}, {4, 4}, {0, 7}, {7, 0}, {}, {}, {1, 3}};
  SideModels writer, reader;
  BitEncoder out;
  for (const NetworkChoice& c : choices) writer.network(out, c);
  const Bytes bytes = out.finish();
  BitDecoder in(bytes);
  for (const NetworkChoice& c : choices) {
    const NetworkChoice back = reader.network(in);
    EXPECT_EQ(back.move, c.move);
    EXPECT_EQ(back.change, c.change);
  }
}

TEST(NetworkChoice, RefusesOnesOutOfRange) {
  for (const NetworkChoice& c : {NetworkChoice{8, 4}, NetworkChoice{-1, 4}, NetworkChoice{4, 8},
                                 NetworkChoice{4, -1}, NetworkChoice{INT32_MAX, 4}}) {
    SideModels writer, reader;
    BitEncoder out;
    writer.network(out, c);
    const Bytes bytes = out.finish();
    BitDecoder in(bytes);
    try {
      reader.network(in);
      FAIL() << c.move << " " << c.change;
    } catch (const Failure& f) {
      EXPECT_NE(std::string(f.what()).find("followed too far"), std::string::npos) << f.what();
    }
  }
}

// ---- walks

// Random walks along the last axis; every second value is the larger one of the two beside it, to a little
// noise.
std::vector<double> larger_neighbours(const Index4& n, unsigned seed = 1) {
  std::mt19937 draw(seed);
  std::normal_distribution<double> normal;
  std::vector<double> f;
  for (int64_t row = 0; row < points(n) / n[3]; ++row) {
    double last = 0;
    for (int k = 0; k < n[3]; ++k) {
      const double next = last + 500 * normal(draw);
      f.push_back((k % 2 == 0 ? last : std::max(last, next)) + 2 * normal(draw));
      if (k % 2 == 1) last = next;
    }
  }
  return f;
}

// Its axes but axis 0 are halved first.
Schedule planes_last(const Index4& n) {
  Schedule s;
  s.n = n;
  for (Index4 grid = n; points(grid) > 4;) {
    Level level;
    for (int a = 1; a < kAxes; ++a) level.mask |= static_cast<uint8_t>((grid[a] > 1) << a);
    if (level.mask == 0) level.mask = 1;
    s.levels.push_back(level);
    grid = coarser(grid, level.mask);
  }
  return s;
}

struct Walked {
  Bytes section;
  std::vector<int32_t> points;
};

// Written and read; the same values, within half a bin.
Walked walked(const WalkInput& in, const Schedule& schedule, const std::vector<double>& target) {
  Walked w;
  w.section = encode_walk(in, schedule, target, walk_effort(5), w.points);
  std::vector<int32_t> back(target.size());
  decode_walk(in, w.section, back);
  EXPECT_EQ(back, w.points);
  const double most = std::ldexp(0.5, in.step_bits) + 0.5;
  for (size_t k = 0; k < target.size(); ++k) {
    if (!in.skip.empty() && in.skip[k]) continue;
    EXPECT_NEAR(back[k], target[k], most) << k;
  }
  return w;
}

TEST(NetworkWalk, ComesBack) {
  const std::vector<std::shared_ptr<const Model>> models = {
      knowing(), File().load(), File({1, 0, 0, 0}, 2).load(), File({64, 64, 12, 0}, 3).load(),
      File({9, 3, 5, 12}, 4).load()};
  for (const Index4& n :
       {Index4{1, 1, 1, 3000}, Index4{1, 1, 40, 61}, Index4{1, 13, 14, 15}, Index4{30, 5, 6, 12}}) {
    const std::vector<double> target = larger_neighbours(n);
    std::vector<uint8_t> skip(target.size());
    for (size_t k = 0; k < skip.size(); ++k) skip[k] = k / 7 % 6 == 2;
    std::vector<int32_t> base(target.size());
    for (size_t k = 0; k < base.size(); ++k) base[k] = static_cast<int32_t>(200 * std::sin(double(k)));
    for (const auto& model : models) {
      for (int way = 0; way < 8; ++way) {
        WalkInput in;
        in.n = n;
        in.step_bits = way % 5;
        in.network = model->network();
        if (way & 1) in.skip = skip;
        if (way & 2) in.base = base;
        in.learns = (way & 4) != 0;
        walked(in, in.learns ? planes_last(n) : all_axes_alike(n), target);
      }
    }
  }
}

TEST(NetworkWalk, IsSmallerWhereTheNetworkKnowsAndHardlyLargerWhereNot) {
  const Index4 n{1, 1, 1, 6000};
  const std::vector<double> target = larger_neighbours(n);
  WalkInput in;
  in.n = n;
  in.step_bits = 3;
  const size_t without = walked(in, all_axes_alike(n), target).section.size();
  const auto model = knowing();
  in.network = model->network();
  EXPECT_LT(double(walked(in, all_axes_alike(n), target).section.size()), 0.85 * double(without));
  for (unsigned seed = 1; seed < 6; ++seed) {
    const auto random = File(kShape, seed).load();
    in.network = random->network();
    EXPECT_LE(walked(in, all_axes_alike(n), target).section.size(), without + without / 50);
  }
}

// About a base of its own, as about a reference.
TEST(NetworkWalk, RefinesDifferencesFromABase) {
  const Index4 n{1, 1, 1, 6000};
  std::vector<double> target = larger_neighbours(n);
  std::vector<int32_t> base(target.size());
  std::mt19937 draw(3);
  for (size_t k = 0; k < base.size(); ++k) {
    base[k] = static_cast<int32_t>(draw() % 100000);
    target[k] += base[k];
  }
  WalkInput in;
  in.n = n;
  in.step_bits = 3;
  in.base = base;
  const size_t without = walked(in, all_axes_alike(n), target).section.size();
  const auto model = knowing();
  in.network = model->network();
  EXPECT_LT(double(walked(in, all_axes_alike(n), target).section.size()), 0.85 * double(without));
}

// Small cosets, and those whose places learn, say nothing of a network.
TEST(NetworkWalk, IsNotAskedWhereItDoesNotServe) {
  const auto model = knowing();
  const Index4 few{1, 1, 1, 120};
  const Index4 planes{30, 1, 1, 300};
  for (const bool learns : {false, true}) {
    WalkInput in;
    in.n = learns ? planes : few;
    in.step_bits = 3;
    in.learns = learns;
    const std::vector<double> target = larger_neighbours(in.n);
    Schedule schedule = learns ? planes_last(in.n) : all_axes_alike(in.n);
    const Walked without = walked(in, schedule, target);
    in.network = model->network();
    EXPECT_EQ(walked(in, schedule, target).section, without.section) << learns;
  }
}

// Whatever the field, what a network is shown lies in the ranges that it was proved for.
TEST(NetworkWalk, ShowsNothingOutOfRange) {
  const Index4 n{1, 12, 13, 14};
  const NetworkShape shape{64, 64, 12, 0};
  const auto model = File(shape).load();
  std::mt19937 draw(7);
  for (int kind = 0; kind < 6; ++kind) {
    std::vector<double> target(static_cast<size_t>(points(n)));
    for (double& x : target) {
      const double one = double(draw()) / 4294967296.0 - 0.5;
      x = kind % 3 == 0   ? one * kLatticeMax
          : kind % 3 == 1 ? (draw() & 1 ? kLatticeMax : -kLatticeMax)
                          : 3 * one;
    }
    WalkInput in;
    in.n = n;
    in.step_bits = kind < 3 ? 0 : 4;
    in.network = model->network();
    Schedule schedule = all_axes_alike(n);
    for (size_t l = 0; l < schedule.levels.size(); ++l)
      schedule.levels[l].finer = static_cast<uint8_t>(std::min<size_t>(kMaxFiner, 8 * l));
    NetworkSamples samples;
    WalkEffort effort = walk_effort(3);
    effort.samples_out = &samples;
    std::vector<int32_t> decoded;
    encode_walk(in, schedule, target, effort, decoded);
    const auto count = static_cast<size_t>(network_inputs(shape));
    ASSERT_EQ(samples.inputs.size(), samples.residual.size() * count);
    ASSERT_GT(samples.residual.size(), 1000u);
    for (size_t k = 0; k < samples.inputs.size(); ++k) {
      const auto [lo, hi] = network_input_range(shape, static_cast<int>(k % count));
      ASSERT_GE(samples.inputs[k], lo) << k % count;
      ASSERT_LE(samples.inputs[k], hi) << k % count;
    }
  }
}

// Any bytes as a section are refused or decoded, with any network.
TEST(NetworkWalk, AnyDamageIsRefusedOrDecoded) {
  const auto model = File({9, 3, 5, 2}).load();
  WalkInput in;
  in.n = {1, 1, 30, 40};
  in.step_bits = 2;
  const std::vector<double> target = larger_neighbours(in.n);
  in.network = model->network();
  const Bytes section = walked(in, all_axes_alike(in.n), target).section;
  std::mt19937 draw(5);
  std::vector<int32_t> back(target.size());
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    Bytes damaged = section;
    damaged[draw() % std::min<size_t>(damaged.size(), round % 2 ? 60 : damaged.size())] ^=
        static_cast<uint8_t>(1u << draw() % 8);
    try {
      decode_walk(in, damaged, back);
    } catch (const Failure& f) {
      EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

// Every backend says the same of the same points.
TEST(NetworkWalk, EveryBackendSaysTheSame) {
  const NetworkShape shape{16, 8, 12, 0};
  const auto model = File(shape).load();
  std::mt19937 draw(9);
  constexpr size_t kItems = 333;
  Batch x;
  for (size_t k = 0; k < kItems * static_cast<size_t>(network_inputs(shape)); ++k) {
    const auto [lo, hi] =
        network_input_range(shape, static_cast<int>(k % static_cast<size_t>(network_inputs(shape))));
    x.push_back(lo + static_cast<int32_t>(draw() % static_cast<uint32_t>(hi - lo + 1)));
  }
  const std::vector<Batch> batch{x};
  const auto expected = backends().front()->execute(model->network()->program, batch, kItems);
  for (const Backend* b : backends()) {
    if (!b->available()) continue;
    EXPECT_EQ(b->execute(model->network()->program, batch, kItems), expected) << b->name();
  }
}

// ---- chunks

class NetworkChunk : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* old = getenv(kPath)) old_ = old;
    setenv(kPath, kSeeds, 1);
  }
  void TearDown() override { old_.empty() ? unsetenv(kPath) : setenv(kPath, old_.c_str(), 1); }

  template <class T>
  static Bytes encode(h5n_params p, const std::vector<T>& x) {
    p.type = sizeof(T) == 4 ? H5N_FLOAT32 : H5N_FLOAT64;
    void* out = nullptr;
    size_t size = 0;
    h5n_error e{};
    EXPECT_EQ(h5n_encode(&p, x.data(), x.size() * sizeof(T), &out, &size, &e), H5N_OK) << e.message;
    Bytes bytes(static_cast<const uint8_t*>(out), static_cast<const uint8_t*>(out) + size);
    h5n_free(out);
    return bytes;
  }
  static h5n_params params(double bound, const std::vector<uint64_t>& dims) {
    h5n_params p{};
    p.mode = H5N_ABS;
    p.bound = bound;
    p.effort = 5;
    p.model = knowing()->hash();
    p.rank = static_cast<uint32_t>(dims.size());
    std::copy(dims.begin(), dims.end(), p.dims);
    return p;
  }
  template <class T>
  static std::vector<T> field(const Index4& n) {
    const std::vector<double> f = larger_neighbours(n);
    return {f.begin(), f.end()};
  }

 private:
  static constexpr const char* kPath = "H5NEURAL_WEIGHTS_PATH";
  std::string old_;
};

template <class T>
void expect_bound(const Bytes& payload, const std::vector<T>& x, double bound) {
  std::vector<T> y(x.size());
  h5n_error e{};
  ASSERT_EQ(h5n_decode(payload.data(), payload.size(), y.data(), y.size() * sizeof(T), &e), H5N_OK)
      << e.message;
  for (size_t k = 0; k < x.size(); ++k) {
    if (std::isnan(x[k])) {
      EXPECT_TRUE(std::isnan(y[k])) << k;
    } else {
      EXPECT_LE(std::abs(double(x[k]) - double(y[k])), bound) << k;
    }
  }
}

TEST_F(NetworkChunk, KeepsTheBoundAndNamesItsModel) {
  auto x = field<float>({1, 1, 1, 5000});
  for (size_t k = 900; k < 1300; ++k) x[k] = std::nanf("");
  const std::vector<double> z = field<double>({1, 1, 10, 600});
  const Bytes f32 = encode(params(5, {5000}), x), f64 = encode(params(5, {10, 600}), z);
  expect_bound(f32, x, 5);
  expect_bound(f64, z, 5);
  for (const Bytes& b : {f32, f64}) {
    h5n_info info{};
    ASSERT_EQ(h5n_inspect(b.data(), b.size(), &info, nullptr), H5N_OK);
    EXPECT_EQ(info.kind, H5N_KIND_WALK);
    EXPECT_EQ(info.model, knowing()->hash());
    EXPECT_STREQ(info.model_name, "seed-corrections");
    EXPECT_EQ(info.latents_bytes, 0u);
  }
}

TEST_F(NetworkChunk, ShowsCoarseLevelsAndHasNoLatents) {
  const auto x = field<float>({1, 1, 1, 12000});
  const Bytes payload = encode(params(5, {12000}), x);
  std::vector<float> y(x.size());
  uint32_t shown = 0;
  h5n_error e{};
  ASSERT_EQ(h5n_preview(payload.data(), payload.size(), y.data(), y.size() * 4, &shown, &e), H5N_OK)
      << e.message;
  EXPECT_EQ(shown, uint32_t{H5N_SHOWN_COARSE});
  h5n_latents info{};
  ASSERT_EQ(h5n_latents_get(payload.data(), payload.size(), &info, nullptr, nullptr, nullptr, &e), H5N_OK)
      << e.message;
  EXPECT_EQ(info.vectors, 0u);
  const auto few = field<float>({1, 1, 1, 2000});
  const Bytes small = encode(params(5, {2000}), few);
  y.resize(few.size());
  ASSERT_EQ(h5n_preview(small.data(), small.size(), y.data(), y.size() * 4, &shown, &e), H5N_OK) << e.message;
  EXPECT_EQ(shown, uint32_t{H5N_SHOWN_ALL});
}

TEST_F(NetworkChunk, LatentsOfANetworkAreRefused) {
  const auto x = field<float>({1, 1, 1, 5000});
  const Bytes payload = encode(params(5, {5000}), x);
  Payload p = parse_payload(payload);
  const Bytes latents{1, 2, 3};
  p.latents = latents;
  const Bytes damaged = write_payload(p);
  std::vector<float> y(x.size());
  h5n_error e{};
  EXPECT_EQ(h5n_decode(damaged.data(), damaged.size(), y.data(), y.size() * 4, &e), H5N_ERR_CORRUPT);
  EXPECT_NE(std::string(e.message).find("no latents"), std::string::npos) << e.message;
  uint32_t shown = 0;
  EXPECT_EQ(h5n_preview(damaged.data(), damaged.size(), y.data(), y.size() * 4, &shown, &e), H5N_ERR_CORRUPT);
  h5n_latents info{};
  EXPECT_EQ(h5n_latents_get(damaged.data(), damaged.size(), &info, nullptr, nullptr, nullptr, &e),
            H5N_ERR_CORRUPT);
}

}  // namespace
}  // namespace h5neural

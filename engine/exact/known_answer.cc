// known_answer.cc: see known_answer.h. Weights and inputs come from a linear congruential generator; the
// answer was worked out by an independent program (h5tests/fields/known_answer.py), never by a backend.
#include "exact/known_answer.h"

#include <map>

namespace h5neural {
namespace {

constexpr size_t kItems = 5;
constexpr uint64_t kAnswer = 0xa4f8263aa4109ca1;

// x <- 6364136223846793005 x + 1442695040888963407 (Knuth's MMIX); the high bits are the draw.
class Generator {
 public:
  int32_t draw(int32_t lo, int32_t hi) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return lo + static_cast<int32_t>((state_ >> 33) % static_cast<uint64_t>(hi - lo + 1));
  }

 private:
  uint64_t state_ = 41017;
};

struct Store {
  std::map<std::string, std::vector<uint8_t>> bytes;
  std::map<std::string, Tensor> tensors;

  template <class T>
  void add(Generator& g, const std::string& name, std::vector<uint32_t> shape, int32_t lo, int32_t hi) {
    size_t count = 1;
    for (const uint32_t n : shape) count *= n;
    std::vector<uint8_t>& b = bytes[name];
    b.resize(count * sizeof(T));
    for (size_t i = 0; i < count; ++i) {
      const T v = static_cast<T>(g.draw(lo, hi));
      std::memcpy(b.data() + i * sizeof v, &v, sizeof v);
    }
    tensors[name] = {static_cast<TensorType>(sizeof(T)), std::move(shape), b};
  }
};

constexpr const char* kJson = R"({
  "inputs": [{"shape": [19], "min": -3000, "max": 3000}, {"shape": [3, 4], "min": -100, "max": 100},
             {"shape": [5, 6, 3], "min": -90, "max": 160}],
  "ops": [
    {"op": "linear", "in": [0], "weight": "w0", "bias": "b0"},
    {"op": "requantise", "in": [3], "multiplier": "m0", "shift": 20, "min": 0, "max": 32767},
    {"op": "linear", "in": [4], "weight": "w1", "bias": "b1"},
    {"op": "requantise", "in": [5], "multiplier": 77, "shift": 13, "min": -128, "max": 127},
    {"op": "table", "in": [6], "table": "t", "first": -128},
    {"op": "reshape", "in": [1], "shape": [12]},
    {"op": "add", "in": [7, 8]},
    {"op": "clamp", "in": [9], "min": -900, "max": 950},
    {"op": "concat", "in": [10, 8, 4]},
    {"op": "linear", "in": [11], "weight": "w2", "bias": "b2"},
    {"op": "conv", "in": [2], "weight": "w3", "bias": "b3", "stride": [2, 1], "before": [1, 0], "after": [2, 1]},
    {"op": "requantise", "in": [13], "multiplier": "m3", "shift": 16, "min": -300, "max": 300},
    {"op": "conv_transposed", "in": [14], "weight": "w4", "bias": "b4", "stride": [2, 3], "before": [1, 0],
     "after": [0, -1]},
    {"op": "requantise", "in": [15], "multiplier": 9, "shift": 20, "min": 0, "max": 127},
    {"op": "linear", "in": [16], "weight": "w5", "bias": "b5"},
    {"op": "requantise", "in": [17], "multiplier": 5, "shift": 9, "min": -128, "max": 127},
    {"op": "reshape", "in": [18], "shape": [6, 3, 6, 17]},
    {"op": "conv", "in": [19], "weight": "w6", "bias": "b6", "stride": [1, 2, 3], "before": [1, 0, 2],
     "after": [0, 0, 1]}],
  "outputs": [12, 10, 17, 20]})";

}  // namespace

Program known_program() {
  Generator g;
  Store s;
  s.add<int16_t>(g, "w0", {21, 19}, -30000, 30000);
  s.add<int32_t>(g, "b0", {21}, -1000000, 1000000);
  s.add<int32_t>(g, "m0", {21}, 100, 200);
  s.add<int8_t>(g, "w1", {12, 21}, -128, 127);
  s.add<int32_t>(g, "b1", {12}, -1000, 1000);
  s.add<int16_t>(g, "t", {256}, -1000, 1000);
  s.add<int16_t>(g, "w2", {7, 45}, -1400, 1400);
  s.add<int32_t>(g, "b2", {7}, -1000000, 1000000);
  s.add<int8_t>(g, "w3", {18, 3, 2, 3}, -128, 127);
  s.add<int32_t>(g, "b3", {18}, -100000, 100000);
  s.add<int32_t>(g, "m3", {18}, 50, 150);
  s.add<int16_t>(g, "w4", {5, 3, 2, 18}, -5000, 5000);
  s.add<int32_t>(g, "b4", {5}, -1000000, 1000000);
  s.add<int8_t>(g, "w5", {17, 5}, -60, 60);
  s.add<int32_t>(g, "b5", {17}, -1000, 1000);
  s.add<int8_t>(g, "w6", {2, 2, 1, 3, 17}, -128, 127);
  s.add<int32_t>(g, "b6", {2}, -1000, 1000);
  return parse_program("known answer", kJson, [&](const std::string& name) -> const Tensor* {
    const auto it = s.tensors.find(name);
    return it == s.tensors.end() ? nullptr : &it->second;
  });
}

bool reproduces_known_answer(const Backend& backend) {
  const Program p = known_program();
  Generator g;
  std::vector<Batch> inputs(3);
  for (size_t i = 0; i < kItems * 19; ++i) inputs[0].push_back(g.draw(-3000, 3000));
  for (size_t i = 0; i < kItems * 12; ++i) inputs[1].push_back(g.draw(-100, 100));
  for (size_t i = 0; i < kItems * 90; ++i) inputs[2].push_back(g.draw(-90, 160));
  uint64_t hash = 14695981039346656037u;  // FNV-1a over the outputs' 32-bit words
  for (const Batch& y : backend.execute(p, inputs, kItems)) {
    for (const int32_t v : y) hash = (hash ^ static_cast<uint32_t>(v)) * 1099511628211u;
  }
  return hash == kAnswer;
}

}  // namespace h5neural

// known_answer.cc: see known_answer.h. Weights and inputs come from a linear congruential generator; the
// answer was worked out by an independent program (h5tests/fields/known_answer.py), never by a backend.
#include "exact/known_answer.h"

#include <map>

namespace h5neural {
namespace {

constexpr size_t kItems = 5;
constexpr uint64_t kAnswer = 0xc42bf2c577c80b7;

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
  "inputs": [{"shape": [19], "min": -3000, "max": 3000}, {"shape": [3, 4], "min": -100, "max": 100}],
  "ops": [
    {"op": "linear", "in": [0], "weight": "w0", "bias": "b0"},
    {"op": "requantise", "in": [2], "multiplier": "m0", "shift": 20, "min": 0, "max": 32767},
    {"op": "linear", "in": [3], "weight": "w1", "bias": "b1"},
    {"op": "requantise", "in": [4], "multiplier": 77, "shift": 13, "min": -128, "max": 127},
    {"op": "table", "in": [5], "table": "t", "first": -128},
    {"op": "reshape", "in": [1], "shape": [12]},
    {"op": "add", "in": [6, 7]},
    {"op": "clamp", "in": [8], "min": -900, "max": 950},
    {"op": "concat", "in": [9, 7, 3]},
    {"op": "linear", "in": [10], "weight": "w2", "bias": "b2"}],
  "outputs": [11, 9]})";

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
  return parse_program("known answer", kJson, [&](const std::string& name) -> const Tensor* {
    const auto it = s.tensors.find(name);
    return it == s.tensors.end() ? nullptr : &it->second;
  });
}

bool reproduces_known_answer(const Backend& backend) {
  const Program p = known_program();
  Generator g;
  std::vector<Batch> inputs(2);
  for (size_t i = 0; i < kItems * 19; ++i) inputs[0].push_back(g.draw(-3000, 3000));
  for (size_t i = 0; i < kItems * 12; ++i) inputs[1].push_back(g.draw(-100, 100));
  uint64_t hash = 14695981039346656037u;  // FNV-1a over the outputs' 32-bit words
  for (const Batch& y : backend.execute(p, inputs, kItems)) {
    for (const int32_t v : y) hash = (hash ^ static_cast<uint32_t>(v)) * 1099511628211u;
  }
  return hash == kAnswer;
}

}  // namespace h5neural

// selftest.cc: LibTorch against the scalar backend: the known answer, and a program whose sums stay below
// 2^24, so that both carriers (float32 and float64) are tried.
#include <random>

#include "exact/backends/scalar/scalar.h"
#include "exact/backends/torch/torch.h"
#include "exact/known_answer.h"
#include "learn/export.h"
#include "learn/train.h"

namespace h5neural::learn {
namespace {

// Two layers whose largest sum is just below 2^24.
bool agrees_in_float32(const Backend& torch) {
  constexpr uint32_t kIn = 100, kHidden = 61, kOut = 33;
  constexpr size_t kItems = 17;
  std::mt19937 draw(7);
  std::map<std::string, std::vector<uint8_t>> bytes;
  std::map<std::string, Tensor> tensors;
  const auto add = [&](const std::string& name, std::vector<uint32_t> shape, int bits, int64_t limit) {
    size_t count = 1;
    for (const uint32_t n : shape) count *= n;
    std::vector<uint8_t>& b = bytes[name];
    const auto size = static_cast<size_t>(bits / 8);
    b.resize(count * size);
    for (size_t i = 0; i < count; ++i) {
      const auto v =
          static_cast<int32_t>(static_cast<int64_t>(draw() % static_cast<uint64_t>(2 * limit + 1)) - limit);
      std::memcpy(b.data() + i * size, &v, size);
    }
    tensors[name] = {static_cast<TensorType>(size), std::move(shape), b};
  };
  add("w0", {kHidden, kIn}, 8, 127);
  add("b0", {kHidden}, 32, 10000);
  add("w1", {kOut, kHidden}, 16, 1000);
  add("b1", {kOut}, 32, 10000);
  const Program p =
      parse_program("float32", R"({"inputs": [{"shape": [100], "min": -1000, "max": 1000}], "ops": [
      {"op": "linear", "in": [0], "weight": "w0", "bias": "b0"},
      {"op": "requantise", "in": [1], "multiplier": 17, "shift": 18, "min": 0, "max": 255},
      {"op": "linear", "in": [2], "weight": "w1", "bias": "b1"}], "outputs": [3]})",
                    [&](const std::string& name) { return &tensors.at(name); });
  if (p.largest_sum >= (1u << 24)) return false;
  std::vector<Batch> in(1);
  for (size_t i = 0; i < kItems * kIn; ++i) in[0].push_back(static_cast<int32_t>(draw() % 2001) - 1000);
  return torch.execute(p, in, kItems) == scalar_backend().execute(p, in, kItems);
}

}  // namespace

bool selftest(const Backend& torch) {
  return passes_known_answer(scalar_backend()) && passes_known_answer(torch) && agrees_in_float32(torch);
}

bool selftest() { return selftest(torch_backend()); }

}  // namespace h5neural::learn

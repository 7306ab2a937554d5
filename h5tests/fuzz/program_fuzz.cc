// program_fuzz.cc: any text as an integer program. It is refused, or proved; a proved program must run
// without overflow (UndefinedBehaviorSanitizer) on inputs at the ends of their ranges, and stay in the ranges
// that the proof promised, on every backend alike.
//
// Input: the program's JSON, a zero byte, then bytes that the tensors are filled with, over and over. The
// tensors have fixed names and shapes, below, so that the fuzzer has something to multiply.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "exact/backend.h"
#include "support/failure.h"

namespace {

using h5neural::Batch;
using h5neural::Program;
using h5neural::Tensor;
using h5neural::TensorType;

constexpr uint64_t kMaxWork = 1 << 20;  // multiplications and elements of a program that is run, for speed
constexpr size_t kItems = 3;

class Tensors {
 public:
  explicit Tensors(std::span<const uint8_t> fill) : fill_(fill) {
    add("w", TensorType::kInt16, {5, 6});
    add("v", TensorType::kInt8, {3, 5});
    add("b", TensorType::kInt32, {5});
    add("c", TensorType::kInt16, {3});
    add("m", TensorType::kInt32, {5});
    add("t", TensorType::kInt16, {64});
    add("k", TensorType::kInt8, {5, 3, 2});
    add("l", TensorType::kInt16, {3, 2, 3, 5});
    add("n", TensorType::kInt8, {5, 2, 1, 2, 3});
  }
  const Tensor* find(const std::string& name) const {
    const auto it = tensors_.find(name);
    return it == tensors_.end() ? nullptr : &it->second;
  }

 private:
  void add(const std::string& name, TensorType type, std::vector<uint32_t> shape) {
    size_t count = 1;
    for (const uint32_t n : shape) count *= n;
    std::vector<uint8_t>& bytes = bytes_[name];
    for (size_t i = 0; i < count * static_cast<size_t>(type); ++i)
      bytes.push_back(fill_.empty() ? 1 : fill_[at_++ % fill_.size()]);
    tensors_[name] = {type, std::move(shape), bytes};
  }

  std::span<const uint8_t> fill_;
  size_t at_ = 0;
  std::map<std::string, std::vector<uint8_t>> bytes_;
  std::map<std::string, Tensor> tensors_;
};

// Item 0 at the lower ends, item 1 at the upper ends, item 2 at both in turn.
std::vector<Batch> extreme_inputs(const Program& p) {
  std::vector<Batch> inputs(p.inputs);
  for (uint32_t v = 0; v < p.inputs; ++v) {
    for (size_t item = 0; item < kItems; ++item) {
      for (size_t i = 0; i < p.values[v].count(); ++i) {
        const bool low = item == 0 || (item == 2 && i % 2 == 0);
        inputs[v].push_back(low ? p.values[v].lo[i] : p.values[v].hi[i]);
      }
    }
  }
  return inputs;
}

[[noreturn]] void defect(const char* what) {
  (void)std::fprintf(stderr, "program_fuzz: %s\n", what);
  std::abort();
}

void check_ranges(const Program& p, const std::vector<Batch>& outputs) {
  for (size_t o = 0; o < p.outputs.size(); ++o) {
    const h5neural::Value& value = p.values[p.outputs[o]];
    if (outputs[o].size() != kItems * value.count()) defect("an output has another size than proved");
    for (size_t i = 0; i < outputs[o].size(); ++i) {
      const size_t e = i % value.count();
      if (outputs[o][i] < value.lo[e] || outputs[o][i] > value.hi[e])
        defect("an output leaves its proved range");
    }
  }
}

void run_everywhere(const Program& p) {
  const std::vector<Batch> inputs = extreme_inputs(p);
  std::vector<Batch> truth;
  for (const h5neural::Backend* backend : h5neural::backends()) {
    if (!backend->available()) continue;
    const std::vector<Batch> outputs = backend->execute(p, inputs, kItems);
    check_ranges(p, outputs);
    if (truth.empty()) truth = outputs;
    if (outputs != truth) defect("two backends disagree");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> all(data, size);
  size_t end = 0;
  while (end < size && data[end] != 0) ++end;
  const std::string json(reinterpret_cast<const char*>(data), end);
  const Tensors tensors(end < size ? all.subspan(end + 1) : all.first(0));
  try {
    const Program p =
        h5neural::parse_program("fuzz", json, [&](const std::string& name) { return tensors.find(name); });
    if (p.macs <= kMaxWork && p.activations <= kMaxWork) run_everywhere(p);
  } catch (const h5neural::Failure&) {  // refused, with a sentence
  }
  return 0;
}

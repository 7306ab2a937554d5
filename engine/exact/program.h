// program.h: the integer program, a list of operations on integer arrays that turns latents into a field (or
// a field into latents). Parsed from a weights file's JSON, proved when it is loaded (proof.h), run by a
// backend (backend.h). Knows nothing of files, models or payloads. The format is docs/weights-format.md.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "exact/prepared.h"
#include "exact/tensor.h"

namespace h5neural {

enum class OpKind : uint8_t {
  kLinear,
  kAdd,
  kConcat,
  kReshape,
  kClamp,
  kRequantise,
  kTable,
  kConv,
  kConvTransposed
};
const char* op_name(OpKind kind);

// One array of a program: its shape for one item, and the range that the proof found for each element.
struct Value {
  std::vector<uint32_t> shape;  // outermost first
  std::vector<int32_t> lo, hi;  // one for each element, in row-major order; inclusive
  size_t count() const { return lo.size(); }
};

// Operation i of a program makes value (number of inputs + i).
struct Op {
  OpKind kind = OpKind::kAdd;
  std::string name;                // for messages
  std::vector<uint32_t> in;        // the values it reads
  std::vector<uint32_t> shape;     // kReshape
  uint32_t rows = 0, columns = 0;  // kLinear, kConv*: weights as a matrix; rows are outputs
  std::vector<int16_t> weights;    // [rows, columns]; of kConv* [rows, kernel..., channels]; int8 is widened
  std::vector<int32_t> bias;       // kLinear, kConv*: [rows]
  std::vector<uint32_t> kernel, stride;  // kConv*: one for each spatial axis, outermost first
  std::vector<int32_t> before, after;    // kConv*: see docs/weights-format.md
  std::vector<int32_t> multiplier;       // kRequantise: one, or one for each index of the last axis
  uint32_t shift = 0;                    // kRequantise
  int32_t lo = 0, hi = 0;                // kClamp, kRequantise
  int32_t first = 0;                     // kTable: the input that table[0] answers
  std::vector<int32_t> table;            // kTable
};

struct Program {
  std::string name;
  uint32_t inputs = 0;  // values[0 ... inputs) are given by the caller
  std::vector<Op> ops;
  std::vector<uint32_t> outputs;  // the values handed back
  std::vector<Value> values;      // inputs, then one for each operation; filled in by the proof
  uint64_t parameters = 0;        // integers of weights, biases, multipliers and tables
  uint64_t activations = 0;       // elements of all values, for one item
  uint64_t macs = 0;              // multiply-accumulates for one item
  uint64_t largest_sum = 0;       // max over the layers of sum |w| max|x| + |b|; < 2^24: floats can carry it
  // What backends keep with the program; copies share it, since nothing changes a program once it is proved.
  std::shared_ptr<PreparedList> prepared = std::make_shared<PreparedList>();
};

// What no program may exceed; checked before memory is reserved.
struct ProgramLimits {
  static constexpr uint64_t kOps = 1024;
  static constexpr uint64_t kRank = 8;
  static constexpr uint64_t kParameters = uint64_t{1} << 27;
  static constexpr uint64_t kActivations = uint64_t{1} << 24;
  static constexpr uint64_t kMacs = uint64_t{1} << 31;
};

// The tensor of that name, or nullptr.
using TensorLookup = std::function<const Tensor*(const std::string&)>;

// Builds and proves the program described by `json` (one object). Throws Failure(H5N_ERR_CORRUPT) with a
// sentence that names the operation.
Program parse_program(const std::string& name, const std::string& json, const TensorLookup& tensors);

}  // namespace h5neural

// program.cc: JSON and tensors to a proved program. See program.h and docs/weights-format.md.
#include "exact/program.h"

#include <array>

#include "exact/json.h"
#include "exact/proof.h"

namespace h5neural {
namespace {

constexpr int64_t kMaxInt = INT32_MAX, kMinInt = INT32_MIN;
constexpr std::array<const char*, 9> kNames = {"linear",     "add",   "concat", "reshape",        "clamp",
                                               "requantise", "table", "conv",   "conv_transposed"};
constexpr int64_t kMaxStep = 1 << 16;  // strides and borders

class Builder {
 public:
  Builder(std::string name, const TensorLookup& tensors) : tensors_(tensors) { p_.name = std::move(name); }

  Program build(const std::string& text) {
    const Json j = parse_json_object(text, "program '" + p_.name + "'");
    const std::string what = "program '" + p_.name + "'";
    for (const Json& in : json_array(j, "inputs", 64, what)) input(in);
    p_.inputs = static_cast<uint32_t>(p_.values.size());
    if (p_.inputs == 0) refuse_program(p_.name, "inputs", "there are none");
    for (const Json& o : json_array(j, "ops", ProgramLimits::kOps, what)) op(o);
    for (const int64_t v : json_ints(j, "outputs", 64, 0, kMaxInt, what)) {
      if (v >= static_cast<int64_t>(p_.values.size()))
        refuse_program(p_.name, "outputs", "no operation makes one of them");
      p_.outputs.push_back(static_cast<uint32_t>(v));
    }
    if (p_.outputs.empty()) refuse_program(p_.name, "outputs", "there are none");
    return std::move(p_);
  }

 private:
  std::string where() const { return "operation " + std::to_string(p_.ops.size()); }
  std::string what() const { return "program '" + p_.name + "', " + where(); }

  std::vector<uint32_t> shape(const Json& j, const std::string& of) const {
    const auto v = json_ints(j, "shape", ProgramLimits::kRank, 1, ProgramLimits::kActivations, of);
    if (v.empty()) refuse_program(p_.name, of, "its shape is empty");
    return {v.begin(), v.end()};
  }

  void input(const Json& j) {
    const std::string of = "input " + std::to_string(p_.values.size());
    Value v;
    v.shape = shape(j, of);
    uint64_t count = 1;
    for (const uint32_t n : v.shape) {
      count *= n;
      account_activations(p_, of, count > ProgramLimits::kActivations ? count : 0);
    }
    account_activations(p_, of, count);
    v.lo = limits(j, "min", count, of);
    v.hi = limits(j, "max", count, of);
    for (uint64_t i = 0; i < count; ++i) {
      if (v.lo[i] > v.hi[i]) refuse_program(p_.name, of, "its range is empty");
    }
    p_.values.push_back(std::move(v));
  }

  // One integer for all elements, or the name of a tensor with one for each.
  std::vector<int32_t> limits(const Json& j, const char* key, uint64_t count, const std::string& of) {
    if (json_field(j, key, of).is_string()) {
      auto v = integers(j, key);
      if (v.size() != count)
        refuse_program(p_.name, of, std::string(key) + " has not one value for each element");
      return v;
    }
    return std::vector<int32_t>(count, static_cast<int32_t>(json_int(j, key, kMinInt, kMaxInt, of)));
  }

  void op(const Json& j) {
    Op o;
    const std::string kind = json_string(j, "op", what());
    size_t k = 0;
    while (k < kNames.size() && kind != kNames[k]) ++k;
    if (k == kNames.size()) refuse_program(p_.name, where(), "this version knows no '" + kind + "'");
    o.kind = static_cast<OpKind>(k);
    o.name = where() + " (" + kind + ")";
    for (const int64_t v : json_ints(j, "in", 64, 0, kMaxInt, what()))
      o.in.push_back(static_cast<uint32_t>(v));
    switch (o.kind) {
      case OpKind::kLinear:
        linear(j, o);
        break;
      case OpKind::kConv:
      case OpKind::kConvTransposed:
        conv(j, o);
        break;
      case OpKind::kReshape:
        o.shape = shape(j, what());
        break;
      case OpKind::kRequantise:
        if (json_field(j, "multiplier", what()).is_string()) {
          o.multiplier = integers(j, "multiplier");
        } else {
          o.multiplier = {static_cast<int32_t>(json_int(j, "multiplier", kMinInt, kMaxInt, what()))};
        }
        o.shift = static_cast<uint32_t>(json_int(j, "shift", 0, 62, what()));
        [[fallthrough]];
      case OpKind::kClamp:
        o.lo = static_cast<int32_t>(json_int(j, "min", kMinInt, kMaxInt, what()));
        o.hi = static_cast<int32_t>(json_int(j, "max", kMinInt, kMaxInt, what()));
        break;
      case OpKind::kTable:
        o.first = static_cast<int32_t>(json_int(j, "first", kMinInt, kMaxInt, what()));
        o.table = integers(j, "table");
        break;
      case OpKind::kAdd:
      case OpKind::kConcat:
        break;
    }
    prove(p_, o);
    p_.ops.push_back(std::move(o));
  }

  void linear(const Json& j, Op& o) {
    const Tensor& w = tensor(j, "weight");
    if (w.shape.size() != 2) refuse_program(p_.name, o.name, "its weights are not a matrix");
    matrix(j, o, w);
  }

  // Weights [outputs, kernel..., channels].
  void conv(const Json& j, Op& o) {
    const Tensor& w = tensor(j, "weight");
    if (w.shape.size() < 3 || w.shape.size() > 5)
      refuse_program(p_.name, o.name, "its weights have not one to three spatial axes");
    o.kernel.assign(w.shape.begin() + 1, w.shape.end() - 1);
    const auto stride = json_ints(j, "stride", o.kernel.size(), 1, kMaxStep, what());
    const auto before = json_ints(j, "before", o.kernel.size(), 0, kMaxStep, what());
    const auto after = json_ints(j, "after", o.kernel.size(), -kMaxStep, kMaxStep, what());
    for (const auto& v : {stride, before, after}) {
      if (v.size() != o.kernel.size())
        refuse_program(p_.name, o.name, "stride, before and after have not one number for each spatial axis");
    }
    o.stride.assign(stride.begin(), stride.end());
    o.before.assign(before.begin(), before.end());
    o.after.assign(after.begin(), after.end());
    matrix(j, o, w);
  }

  // The weights as a matrix [outputs, the rest], and the bias.
  void matrix(const Json& j, Op& o, const Tensor& w) {
    if (w.type == TensorType::kInt32) refuse_program(p_.name, o.name, "its weights are wider than 16 bits");
    o.rows = w.shape[0];
    o.columns = static_cast<uint32_t>(w.count() / o.rows);
    o.weights.resize(w.count());
    for (size_t i = 0; i < o.weights.size(); ++i) o.weights[i] = static_cast<int16_t>(w.at(i));
    o.bias = integers(j, "bias");
    if (o.bias.size() != o.rows) refuse_program(p_.name, o.name, "it has not one bias for each row");
  }

  const Tensor& tensor(const Json& j, const char* key) {
    const std::string name = json_string(j, key, what());
    const Tensor* t = tensors_(name);
    if (t == nullptr) refuse_program(p_.name, where(), "tensor '" + name + "' is missing");
    p_.parameters += t->count();
    if (p_.parameters > ProgramLimits::kParameters)
      refuse_program(p_.name, where(), "it has too many parameters");
    return *t;
  }
  std::vector<int32_t> integers(const Json& j, const char* key) {
    const Tensor& t = tensor(j, key);
    std::vector<int32_t> v(t.count());
    for (size_t i = 0; i < v.size(); ++i) v[i] = t.at(i);
    return v;
  }

  const TensorLookup& tensors_;
  Program p_;
};

}  // namespace

const char* op_name(OpKind kind) { return kNames[static_cast<size_t>(kind)]; }

Program parse_program(const std::string& name, const std::string& json, const TensorLookup& tensors) {
  return Builder(name, tensors).build(json);
}

}  // namespace h5neural

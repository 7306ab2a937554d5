// program_bytes.cc: see program_bytes.h.
#include "worker/program_bytes.h"

#include <algorithm>

#include "exact/json.h"
#include "weights/safetensors.h"
#include "weights/weights_file.h"

namespace h5neural {
namespace {

constexpr const char *kProgram = "run", *kKey = "program.run";

class Writer {
 public:
  explicit Writer(const Program& p) : p_(p) {
    Json json{{"inputs", Json::array()}, {"ops", Json::array()}, {"outputs", p.outputs}};
    for (uint32_t v = 0; v < p.inputs; ++v) json["inputs"].push_back(input(v));
    for (size_t i = 0; i < p.ops.size(); ++i) json["ops"].push_back(op(i));
    file_.metadata = {{"format", "h5neural-weights-1"},
                      {"name", kProgram},
                      {"family", "program"},
                      {"config", "{}"},
                      {kKey, json.dump()}};
  }
  Bytes bytes() const { return write_safetensors(file_); }

 private:
  Json input(uint32_t index) {
    const Value& v = p_.values[index];
    std::string name(1, 'i');
    name.append(std::to_string(index));
    return {{"shape", v.shape}, {"min", limit(name + "min", v.lo)}, {"max", limit(name + "max", v.hi)}};
  }

  // One integer where all are equal.
  Json limit(const std::string& name, const std::vector<int32_t>& v) {
    if (std::all_of(v.begin(), v.end(), [&](int32_t x) { return x == v[0]; })) return v[0];
    return array(name, {v.size()}, v);
  }

  Json op(size_t index) {
    const Op& o = p_.ops[index];
    const std::string name = std::to_string(index);
    Json j{{"op", op_name(o.kind)}, {"in", o.in}};
    switch (o.kind) {
      case OpKind::kLinear:
        j["weight"] = array(name + "w", {o.rows, o.columns}, o.weights);
        j["bias"] = array(name + "b", {o.rows}, o.bias);
        break;
      case OpKind::kConv:
      case OpKind::kConvTransposed: {
        std::vector<uint64_t> shape{o.rows};
        uint64_t taps = 1;
        for (const uint32_t k : o.kernel) {
          shape.push_back(k);
          taps *= k;
        }
        shape.push_back(o.columns / taps);
        j["weight"] = array(name + "w", shape, o.weights);
        j["bias"] = array(name + "b", {o.rows}, o.bias);
        j["stride"] = o.stride;
        j["before"] = o.before;
        j["after"] = o.after;
        break;
      }
      case OpKind::kReshape:
        j["shape"] = o.shape;
        break;
      case OpKind::kRequantise:
        j["multiplier"] = array(name + "m", {o.multiplier.size()}, o.multiplier);
        j["shift"] = o.shift;
        [[fallthrough]];
      case OpKind::kClamp:
        j["min"] = o.lo;
        j["max"] = o.hi;
        break;
      case OpKind::kTable:
        j["table"] = array(name + "t", {o.table.size()}, o.table);
        j["first"] = o.first;
        break;
      case OpKind::kAdd:
      case OpKind::kConcat:
        break;
    }
    return j;
  }

  // Puts an array into the file: a view, the program outlives it. Returns its name.
  template <class T>
  std::string array(const std::string& name, std::vector<uint64_t> shape, const std::vector<T>& v) {
    file_.tensors[name] = {sizeof(T) == 2 ? "I16" : "I32",
                           std::move(shape),
                           {reinterpret_cast<const uint8_t*>(v.data()), v.size() * sizeof(T)}};
    return name;
  }

  const Program& p_;
  Safetensors file_;
};

}  // namespace

Bytes program_bytes(const Program& program) { return Writer(program).bytes(); }

Program program_of(ByteSpan bytes) { return WeightsFile(bytes, {}, "a program").program(kProgram); }

}  // namespace h5neural

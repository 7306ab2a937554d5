// torch.cc: see torch.h.
#include "exact/backends/torch/torch.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <c10/core/InferenceMode.h>

namespace h5neural {
namespace {

at::Tensor int_tensor(const std::vector<int32_t>& v) {
  return at::from_blob(const_cast<int32_t*>(v.data()), {static_cast<int64_t>(v.size())}, at::kInt)
      .to(at::kLong);
}

// Values are int64 tensors [items, ...shape].
class Interpreter {
 public:
  Interpreter(const Program& p, int64_t items) : p_(p), items_(items) {}

  std::vector<at::Tensor> values;

  void run(const Op& op) {
    const at::Tensor& x = values[op.in[0]];
    switch (op.kind) {
      case OpKind::kLinear:
        values.push_back(linear(op, x));
        break;
      case OpKind::kAdd:
        values.push_back(x + values[op.in[1]]);
        break;
      case OpKind::kConcat: {
        std::vector<at::Tensor> parts;
        for (const uint32_t v : op.in) parts.push_back(values[v]);
        values.push_back(at::cat(parts, 1));
        break;
      }
      case OpKind::kReshape: {
        std::vector<int64_t> shape(op.shape.begin(), op.shape.end());
        shape.insert(shape.begin(), items_);
        values.push_back(x.reshape(shape));
        break;
      }
      case OpKind::kClamp:
        values.push_back(x.clamp(op.lo, op.hi));
        break;
      case OpKind::kRequantise: {
        const int64_t half = op.shift == 0 ? 0 : int64_t{1} << (op.shift - 1);
        values.push_back(
            ((x * int_tensor(op.multiplier) + half).bitwise_right_shift(static_cast<int64_t>(op.shift)))
                .clamp(op.lo, op.hi));
        break;
      }
      case OpKind::kTable:
        values.push_back(int_tensor(op.table).index({x - static_cast<int64_t>(op.first)}));
        break;
    }
  }

 private:
  at::Tensor linear(const Op& op, const at::Tensor& x) const {
    const auto type = p_.largest_sum < (1u << 24) ? at::kFloat : at::kDouble;
    const auto w =
        at::from_blob(const_cast<int16_t*>(op.weights.data()), {op.rows, op.columns}, at::kShort).to(type);
    return (at::matmul(x.to(type), w.t())).to(at::kLong) + int_tensor(op.bias);
  }

  const Program& p_;
  int64_t items_;
};

class Torch final : public Backend {
 public:
  const char* name() const override { return "torch"; }
  // NNPACK's Winograd convolutions are not exact; off for the whole process, which is a worker's own.
  bool available() const override {
    at::globalContext().setUserEnabledNNPACK(false);
    return true;
  }
  std::vector<Batch> execute(const Program& p, std::span<const Batch> inputs, size_t items) const override {
    const c10::InferenceMode inference;
    Interpreter run(p, static_cast<int64_t>(items));
    for (size_t v = 0; v < inputs.size(); ++v) {
      std::vector<int64_t> shape(p.values[v].shape.begin(), p.values[v].shape.end());
      shape.insert(shape.begin(), static_cast<int64_t>(items));
      run.values.push_back(int_tensor(inputs[v]).reshape(shape));
    }
    for (const Op& op : p.ops) run.run(op);
    std::vector<Batch> outputs;
    for (const uint32_t v : p.outputs) {
      const at::Tensor y = run.values[v].to(at::kInt).contiguous();
      outputs.emplace_back(y.data_ptr<int32_t>(), y.data_ptr<int32_t>() + y.numel());
    }
    return outputs;
  }
};

}  // namespace

const Backend& torch_backend() {
  static const Torch* const backend =
      new Torch;  // never destroyed: readers may still run while the process exits
  return *backend;
}

}  // namespace h5neural

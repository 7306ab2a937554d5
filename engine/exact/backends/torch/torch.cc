// torch.cc: see torch.h.
#include "exact/backends/torch/torch.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <c10/core/InferenceMode.h>

#include "exact/conv.h"

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
      case OpKind::kConv:
      case OpKind::kConvTransposed:
        values.push_back(conv(op, x, conv_shape(op, p_.values[op.in[0]].shape)));
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
  at::Tensor weights(const Op& op) const {  // [rows, columns]
    return at::from_blob(const_cast<int16_t*>(op.weights.data()), {op.rows, op.columns}, at::kShort)
        .to(carrier());
  }
  at::ScalarType carrier() const { return p_.largest_sum < (1u << 24) ? at::kFloat : at::kDouble; }

  at::Tensor linear(const Op& op, const at::Tensor& x) const {
    return (at::matmul(x.to(carrier()), weights(op).t())).to(at::kLong) + int_tensor(op.bias);
  }

  // One matrix product for each tap, on the part of the input that it meets; LibTorch's own convolutions may
  // transform their data, which is not exact.
  at::Tensor conv(const Op& op, const at::Tensor& x, const ConvShape& s) const {
    const bool transposed = op.kind == OpKind::kConvTransposed;
    const auto w = weights(op).reshape({op.rows, -1, static_cast<int64_t>(s.channels)});
    const auto in = x.to(carrier()).reshape({items_, s.in[0], s.in[1], s.in[2], -1});
    at::Tensor y = at::zeros({items_, s.out[0], s.out[1], s.out[2], op.rows}, w.options());
    for (int64_t t = 0; t < w.size(1); ++t) {
      const std::array<int64_t, 3> tap{t / (s.kernel[1] * s.kernel[2]), t / s.kernel[2] % s.kernel[1],
                                       t % s.kernel[2]};
      at::Tensor from = in, to = y;
      for (size_t d = 0; d < 3; ++d) meet(s, d, tap[d], transposed, from, to);
      if (from.numel() > 0 && to.numel() > 0) to.add_(at::matmul(from, w.select(1, t).t()));
    }
    std::vector<int64_t> shape{items_};
    for (size_t d = 3 - op.kernel.size(); d < 3; ++d) shape.push_back(s.out[d]);
    shape.push_back(op.rows);
    return y.to(at::kLong).reshape(shape) + int_tensor(op.bias);
  }

  // Narrows axis d of input and result to the positions that meet at tap t: `every` on the side with steps
  // lies at i * stride + t - before, for i on the other side.
  static void meet(const ConvShape& s, size_t d, int64_t t, bool transposed, at::Tensor& from,
                   at::Tensor& to) {
    const int64_t every = transposed ? s.out[d] : s.in[d], other = transposed ? s.in[d] : s.out[d];
    const int64_t shift = t - s.before[d], stride = s.stride[d];
    const int64_t first = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
    const int64_t last = shift >= every ? 0 : std::min(other, (every - 1 - shift) / stride + 1);
    const auto axis = static_cast<int64_t>(d) + 1;
    at::Tensor &strided = transposed ? to : from, &plain = transposed ? from : to;
    const int64_t count = std::max<int64_t>(0, last - first), begin = count > 0 ? first * stride + shift : 0;
    plain = plain.narrow(axis, count > 0 ? first : 0, count);
    strided = strided.slice(axis, begin, count > 0 ? begin + (count - 1) * stride + 1 : 0, stride);
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

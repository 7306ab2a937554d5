// torch.cc: see torch.h.
#include "exact/backends/torch/torch.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/InferenceMode.h>

#include "exact/conv.h"

namespace h5neural {
namespace {

at::Tensor int_tensor(const std::vector<int32_t>& v) {
  return at::from_blob(const_cast<int32_t*>(v.data()), {static_cast<int64_t>(v.size())}, at::kInt);
}

at::ScalarType carrier(const Program& p) { return p.largest_sum < (1u << 24) ? at::kFloat : at::kDouble; }

// What an operation brings with it, on the device.
struct Constants {
  at::Tensor weight;      // of kLinear [columns, rows], of kConv* [taps, channels, rows]; in the carrier
  at::Tensor bias;        // int32
  at::Tensor multiplier;  // int64
  at::Tensor table;       // int32
};

struct OnDevice final : Prepared {
  OnDevice(const Program& p, at::Device device) {
    const c10::InferenceMode inference;
    for (const Op& op : p.ops) {
      Constants c;
      if (!op.weights.empty()) {
        int64_t taps = 1;
        for (const uint32_t k : op.kernel) taps *= k;
        const at::Tensor w =
            at::from_blob(const_cast<int16_t*>(op.weights.data()), {op.rows, op.columns}, at::kShort)
                .to(device)
                .to(carrier(p));
        c.weight = op.kernel.empty() ? w.t() : w.reshape({op.rows, taps, -1}).permute({1, 2, 0}).contiguous();
        c.bias = int_tensor(op.bias).to(device, at::kInt, false, true);
      }
      if (!op.multiplier.empty()) c.multiplier = int_tensor(op.multiplier).to(device).to(at::kLong);
      if (!op.table.empty()) c.table = int_tensor(op.table).to(device, at::kInt, false, true);
      of.push_back(std::move(c));
    }
  }
  std::vector<Constants> of;  // operation by operation
};

// Values are int32 tensors [items, ...shape].
class Interpreter {
 public:
  Interpreter(const Program& p, const OnDevice& constants, int64_t items)
      : p_(p), constants_(constants), items_(items) {}

  std::vector<at::Tensor> values;

  void run(size_t index) {
    const Op& op = p_.ops[index];
    const Constants& c = constants_.of[index];
    const at::Tensor& x = values[op.in[0]];
    switch (op.kind) {
      case OpKind::kLinear:
        values.push_back(at::matmul(x.to(carrier(p_)), c.weight).to(at::kInt) + c.bias);
        break;
      case OpKind::kConv:
      case OpKind::kConvTransposed:
        values.push_back(conv(op, c, x, conv_shape(op, p_.values[op.in[0]].shape)));
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
        values.push_back((x * c.multiplier + half)
                             .bitwise_right_shift(static_cast<int64_t>(op.shift))
                             .clamp(op.lo, op.hi)
                             .to(at::kInt));
        break;
      }
      case OpKind::kTable:
        values.push_back(c.table.index({x.to(at::kLong) - static_cast<int64_t>(op.first)}));
        break;
    }
  }

 private:
  // One matrix product for each tap, on the part of the input that it meets; LibTorch's own convolutions may
  // transform their data, which is not exact.
  at::Tensor conv(const Op& op, const Constants& c, const at::Tensor& x, const ConvShape& s) const {
    const bool transposed = op.kind == OpKind::kConvTransposed;
    const at::Tensor in = x.to(carrier(p_)).reshape({items_, s.in[0], s.in[1], s.in[2], -1});
    at::Tensor y = at::zeros({items_, s.out[0], s.out[1], s.out[2], op.rows}, in.options());
    for (int64_t t = 0; t < c.weight.size(0); ++t) {
      const std::array<int64_t, 3> tap{t / (s.kernel[1] * s.kernel[2]), t / s.kernel[2] % s.kernel[1],
                                       t % s.kernel[2]};
      at::Tensor from = in, to = y;
      for (size_t d = 0; d < 3; ++d) meet(s, d, tap[d], transposed, from, to);
      if (from.numel() > 0 && to.numel() > 0) to.add_(at::matmul(from, c.weight[t]));
    }
    std::vector<int64_t> shape{items_};
    for (size_t d = 3 - op.kernel.size(); d < 3; ++d) shape.push_back(s.out[d]);
    shape.push_back(op.rows);
    return y.to(at::kInt).reshape(shape) + c.bias;
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
  const OnDevice& constants_;
  int64_t items_;
};

class Torch final : public Backend {
 public:
  Torch(const char* name, at::Device device) : name_(name), device_(device) {}
  const char* name() const override { return name_; }
  // NNPACK's Winograd convolutions and TF32's products are not exact; off for the whole process, which is a
  // worker's own.
  bool available() const override {
    at::globalContext().setUserEnabledNNPACK(false);
    if (device_.is_cpu()) return true;
    at::globalContext().setAllowTF32CuBLAS(false);
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setUserEnabledCuDNN(false);
    return at::globalContext().hasCUDA() && at::detail::getCUDAHooks().deviceCount() > 0;
  }
  std::vector<Batch> execute(const Program& p, std::span<const Batch> inputs, size_t items) const override {
    const c10::InferenceMode inference;
    const auto& constants =
        p.prepared->get<OnDevice>(this, [&] { return std::make_unique<OnDevice>(p, device_); });
    Interpreter run(p, constants, static_cast<int64_t>(items));
    for (size_t v = 0; v < inputs.size(); ++v) {
      std::vector<int64_t> shape(p.values[v].shape.begin(), p.values[v].shape.end());
      shape.insert(shape.begin(), static_cast<int64_t>(items));
      run.values.push_back(int_tensor(inputs[v]).to(device_).reshape(shape));
    }
    for (size_t i = 0; i < p.ops.size(); ++i) run.run(i);
    std::vector<Batch> outputs;
    for (const uint32_t v : p.outputs) {
      const at::Tensor y = run.values[v].to(at::kCPU).contiguous();
      outputs.emplace_back(y.data_ptr<int32_t>(), y.data_ptr<int32_t>() + y.numel());
    }
    return outputs;
  }

 private:
  const char* name_;
  at::Device device_;
};

}  // namespace

const Backend& torch_backend(TorchDevice device) {
  // Never destroyed: they may still be at work while the process exits.
  static const Torch* const cpu = new Torch("torch", at::kCPU);
  static const Torch* const cuda = new Torch("torch-cuda", at::Device(at::kCUDA, 0));
  return device == TorchDevice::kCpu ? *cpu : *cuda;
}

}  // namespace h5neural

// scalar.cc: see scalar.h. Loops that any compiler turns into vector code; every sum stays in int32 by the
// proof.
#include "exact/backends/scalar/scalar.h"

#include <algorithm>

#include "exact/conv.h"

namespace h5neural {
namespace {

int32_t dot(const int16_t* w, const int16_t* x, size_t n) {
  int32_t sum = 0;
  for (size_t k = 0; k < n; ++k) sum += int32_t{w[k]} * int32_t{x[k]};
  return sum;
}

// y[o] = b[o] + sum_k w[o, k] x[k]
void linear(const Op& op, const int16_t* x, int32_t* y) {
  for (uint32_t o = 0; o < op.rows; ++o) {
    y[o] = op.bias[o] + dot(op.weights.data() + size_t{o} * op.columns, x, op.columns);
  }
}

// The taps of one axis that fall on the input, for the result at q: from ... to - 1, tap t at position at +
// t.
struct Taps {
  int64_t from, to, at;
  Taps(const ConvShape& s, size_t axis, int64_t q) : at(q * s.stride[axis] - s.before[axis]) {
    from = std::max<int64_t>(0, -at);
    to = std::min(s.kernel[axis], s.in[axis] - at);
  }
};

// y[q, o] = b[o] + sum_t,i w[o, t, i] x[q stride + t - before, i]; the last axis' taps lie together.
void conv(const Op& op, const ConvShape& s, const int16_t* x, int32_t* y) {
  for (int64_t q = 0; q < s.out[0] * s.out[1] * s.out[2]; ++q, y += s.outputs) {
    const Taps a(s, 0, q / (s.out[1] * s.out[2])), b(s, 1, q / s.out[2] % s.out[1]), c(s, 2, q % s.out[2]);
    const size_t run = static_cast<size_t>(std::max<int64_t>(0, c.to - c.from)) * s.channels;
    for (uint32_t o = 0; o < op.rows; ++o) {
      const int16_t* w = op.weights.data() + size_t{o} * op.columns;
      int32_t sum = op.bias[o];
      for (int64_t t0 = a.from; t0 < a.to; ++t0) {
        for (int64_t t1 = b.from; t1 < b.to && run > 0; ++t1) {
          const int64_t tap = (t0 * s.kernel[1] + t1) * s.kernel[2] + c.from;
          const int64_t from = ((a.at + t0) * s.in[1] + b.at + t1) * s.in[2] + c.at + c.from;
          sum +=
              dot(w + static_cast<size_t>(tap) * s.channels, x + static_cast<size_t>(from) * s.channels, run);
        }
      }
      y[o] = sum;
    }
  }
}

// y[p stride + t - before, o] += sum_i w[o, t, i] x[p, i], from b[o]. Each input position is spread over the
// result, as the definition has it.
void conv_transposed(const Op& op, const ConvShape& s, const int16_t* x, int32_t* y) {
  for (int64_t q = 0; q < s.out[0] * s.out[1] * s.out[2]; ++q) {
    std::copy(op.bias.begin(), op.bias.end(), y + static_cast<size_t>(q) * s.outputs);
  }
  for (int64_t p = 0; p < s.in[0] * s.in[1] * s.in[2]; ++p, x += s.channels) {
    const std::array<int64_t, 3> at{p / (s.in[1] * s.in[2]) * s.stride[0] - s.before[0],
                                    p / s.in[2] % s.in[1] * s.stride[1] - s.before[1],
                                    p % s.in[2] * s.stride[2] - s.before[2]};
    for (int64_t t = 0; t < s.kernel[0] * s.kernel[1] * s.kernel[2]; ++t) {
      const int64_t a = at[0] + t / (s.kernel[1] * s.kernel[2]), b = at[1] + t / s.kernel[2] % s.kernel[1],
                    c = at[2] + t % s.kernel[2];
      if (a < 0 || a >= s.out[0] || b < 0 || b >= s.out[1] || c < 0 || c >= s.out[2]) continue;
      int32_t* to = y + static_cast<size_t>((a * s.out[1] + b) * s.out[2] + c) * s.outputs;
      const int16_t* w = op.weights.data() + static_cast<size_t>(t) * s.channels;
      for (uint32_t o = 0; o < op.rows; ++o) to[o] += dot(w + size_t{o} * op.columns, x, s.channels);
    }
  }
}

int32_t rescale(int32_t x, int32_t multiplier, uint32_t shift, int32_t lo, int32_t hi) {
  const int64_t rounding = shift == 0 ? 0 : int64_t{1} << (shift - 1);
  const int64_t y = (int64_t{x} * multiplier + rounding) >> shift;
  return static_cast<int32_t>(std::clamp<int64_t>(y, lo, hi));
}

void requantise(const Op& op, const Batch& x, Batch& y) {
  const size_t m = op.multiplier.size();
  for (size_t i = 0; i < y.size(); i += m) {
    for (size_t j = 0; j < m; ++j) y[i + j] = rescale(x[i + j], op.multiplier[j], op.shift, op.lo, op.hi);
  }
}

class Interpreter {
 public:
  Interpreter(const Program& program, size_t items)
      : p_(program), items_(items), values_(program.values.size()) {}

  Batch& value(size_t i) { return values_[i]; }

  void run(size_t index) {
    const Op& op = p_.ops[index];
    const size_t out = p_.inputs + index;
    Batch& y = values_[out];
    y.resize(items_ * p_.values[out].count());
    const Batch& x = values_[op.in[0]];
    switch (op.kind) {
      case OpKind::kLinear:
      case OpKind::kConv:
      case OpKind::kConvTransposed:
        scalar_sums(p_, index, items_, x.data(), y.data());
        break;
      case OpKind::kAdd: {
        const Batch& b = values_[op.in[1]];
        for (size_t i = 0; i < y.size(); ++i) y[i] = x[i] + b[i];
        break;
      }
      case OpKind::kConcat:
        concat(op, y);
        break;
      case OpKind::kReshape:
        std::copy(x.begin(), x.end(), y.begin());
        break;
      case OpKind::kClamp:
        for (size_t i = 0; i < y.size(); ++i) y[i] = std::clamp(x[i], op.lo, op.hi);
        break;
      case OpKind::kRequantise:
        requantise(op, x, y);
        break;
      case OpKind::kTable:
        for (size_t i = 0; i < y.size(); ++i) y[i] = op.table[static_cast<size_t>(int64_t{x[i]} - op.first)];
        break;
    }
  }

 private:
  void concat(const Op& op, Batch& y) {
    auto to = y.begin();
    for (size_t item = 0; item < items_; ++item) {
      for (const uint32_t v : op.in) {
        const size_t n = p_.values[v].count();
        to = std::copy_n(values_[v].begin() + static_cast<ptrdiff_t>(item * n), n, to);
      }
    }
  }

  const Program& p_;
  size_t items_;
  std::vector<Batch> values_;
};

class Scalar final : public Backend {
 public:
  const char* name() const override { return "scalar"; }
  bool available() const override { return true; }

  // In tiles of items, so that a batch's intermediate arrays stay small.
  std::vector<Batch> execute(const Program& p, std::span<const Batch> inputs, size_t items) const override {
    constexpr size_t kTile = size_t{1} << 18;  // elements
    const size_t step = std::max<size_t>(1, kTile / std::max<size_t>(1, p.activations));
    std::vector<Batch> outputs(p.outputs.size());
    for (size_t first = 0; first < items; first += step) {
      const size_t n = std::min(step, items - first);
      Interpreter tile(p, n);
      for (size_t v = 0; v < p.inputs; ++v) {
        const size_t count = p.values[v].count();
        const auto from = inputs[v].begin() + static_cast<ptrdiff_t>(first * count);
        tile.value(v).assign(from, from + static_cast<ptrdiff_t>(n * count));
      }
      for (size_t i = 0; i < p.ops.size(); ++i) tile.run(i);
      for (size_t o = 0; o < outputs.size(); ++o) {
        const Batch& y = tile.value(p.outputs[o]);
        outputs[o].insert(outputs[o].end(), y.begin(), y.end());
      }
    }
    return outputs;
  }
};

}  // namespace

void scalar_sums(const Program& p, size_t index, size_t items, const int32_t* x, int32_t* y) {
  const Op& op = p.ops[index];
  const Value &in = p.values[op.in[0]], &out = p.values[p.inputs + index];
  const std::vector<int16_t> narrow(x, x + items * in.count());  // the proof: it fits
  if (op.kind == OpKind::kLinear) {
    for (size_t row = 0; row * op.columns < narrow.size(); ++row) {
      linear(op, narrow.data() + row * op.columns, y + row * op.rows);
    }
    return;
  }
  const ConvShape s = conv_shape(op, in.shape);
  for (size_t item = 0; item < items; ++item) {
    const int16_t* from = narrow.data() + item * in.count();
    int32_t* to = y + item * out.count();
    op.kind == OpKind::kConv ? conv(op, s, from, to) : conv_transposed(op, s, from, to);
  }
}

const Backend& scalar_backend() {
  static const Scalar* const backend =
      new Scalar;  // never destroyed: readers may still run while the process exits
  return *backend;
}

}  // namespace h5neural

// scalar.cc: see scalar.h. Loops that any compiler turns into vector code; every sum stays in int32 by the
// proof.
#include "exact/backends/scalar/scalar.h"

#include <algorithm>

namespace h5neural {
namespace {

// y[o] = b[o] + sum_k w[o, k] x[k]
void linear(const Op& op, const int16_t* x, int32_t* y) {
  for (uint32_t o = 0; o < op.rows; ++o) {
    const int16_t* w = op.weights.data() + size_t{o} * op.columns;
    int32_t sum = 0;
    for (uint32_t k = 0; k < op.columns; ++k) sum += int32_t{w[k]} * int32_t{x[k]};
    y[o] = op.bias[o] + sum;
  }
}

int32_t requantise(int32_t x, int32_t multiplier, uint32_t shift, int32_t lo, int32_t hi) {
  const int64_t rounding = shift == 0 ? 0 : int64_t{1} << (shift - 1);
  const int64_t y = (int64_t{x} * multiplier + rounding) >> shift;
  return static_cast<int32_t>(std::clamp<int64_t>(y, lo, hi));
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
      case OpKind::kLinear: {
        const std::vector<int16_t> narrow(x.begin(), x.end());  // the proof: it fits
        for (size_t row = 0; row * op.columns < x.size(); ++row) {
          linear(op, narrow.data() + row * op.columns, y.data() + row * op.rows);
        }
        break;
      }
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
      case OpKind::kRequantise: {
        const size_t m = op.multiplier.size();
        for (size_t i = 0; i < y.size(); ++i) {
          y[i] = requantise(x[i], op.multiplier[m == 1 ? 0 : i % m], op.shift, op.lo, op.hi);
        }
        break;
      }
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

const Backend& scalar_backend() {
  static const Scalar* const backend =
      new Scalar;  // never destroyed: readers may still run while the process exits
  return *backend;
}

}  // namespace h5neural

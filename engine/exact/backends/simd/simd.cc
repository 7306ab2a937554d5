// simd.cc: see simd.h. Runs a plan (plan.h), tile by tile of a batch's items.
#include "exact/backends/simd/simd.h"

#include <algorithm>
#include <cstring>

#include "exact/backends/scalar/scalar.h"
#include "exact/backends/simd/plan.h"

namespace h5neural {
namespace {

class Interpreter {
 public:
  Interpreter(const Program& p, const Plan& plan, const ProgramKernels& k)
      : p_(p),
        plan_(plan),
        k_(k),
        inputs_(p.inputs),
        results_(p.values.size()),
        buffers_(plan.buffer_counts.size()) {}

  // One tile: `items` of each input from `first` on. Results are made in the outputs themselves.
  void run(std::span<const Batch> inputs, size_t first, size_t items, std::vector<Batch>& outputs) {
    items_ = items;
    for (size_t b = 0; b < buffers_.size(); ++b) buffers_[b].grow(plan_.buffer_counts[b] * items);
    for (const Step& s : plan_.steps) {
      const size_t b = plan_.buffer[s.value];
      results_[s.value] = b == Plan::kNoBuffer ? nullptr : buffers_[b].data();
    }
    for (size_t o = 0; o < outputs.size(); ++o)
      results_[p_.outputs[o]] = outputs[o].data() + first * count(p_.outputs[o]);
    for (size_t v = 0; v < p_.inputs; ++v) inputs_[v] = inputs[v].data() + first * count(v);
    for (const Step& s : plan_.steps) run(s);
    for (size_t o = 0; o < outputs.size(); ++o) {  // inputs handed back, and outputs named twice
      int32_t* to = outputs[o].data() + first * count(p_.outputs[o]);
      if (to != value(p_.outputs[o])) std::copy_n(value(p_.outputs[o]), items * count(p_.outputs[o]), to);
    }
  }

 private:
  const int32_t* value(size_t v) const { return v < p_.inputs ? inputs_[v] : results_[v]; }
  size_t count(size_t v) const { return p_.values[v].count(); }  // of one item

  static constexpr size_t kPart = 4096;  // elements that stay in the nearest cache

  // Applies a step's later operations to each part of its result.
  class Then final : public Sums::Sink {
   public:
    Then(const Interpreter& run, const Step& step) : run_(run), step_(step) {}
    void finished(int32_t* y, size_t n) const override {
      for (const size_t op : step_.then) run_.element_wise(op, y, n, y);
    }

   private:
    const Interpreter& run_;
    const Step& step_;
  };

  void run(const Step& s) {
    const Op& op = p_.ops[s.op];
    const int32_t* x = value(op.in[0]);
    int32_t* y = results_[s.value];
    const Then then(*this, s);
    if (s.sums != nullptr) return s.sums->run(k_, x, items_, y, scratch_, then);
    const size_t n = items_ * count(p_.inputs + s.op),
                 part = std::max<size_t>(1, kPart / s.period) * s.period;
    switch (op.kind) {
      case OpKind::kLinear:
      case OpKind::kConv:
      case OpKind::kConvTransposed:
        scalar_sums(p_, s.op, items_, x, y);
        break;
      case OpKind::kConcat:
        concat(op, y);
        break;
      default:
        break;
    }
    for (size_t i = 0; i < n; i += part) {
      const size_t m = std::min(part, n - i);
      if (op.kind == OpKind::kAdd) {
        k_.add(x + i, value(op.in[1]) + i, m, y + i);
      } else if (!is_done(op.kind)) {
        element_wise(s.op, x + i, m, y + i);
      }
      then.finished(y + i, m);
    }
  }
  static bool is_done(OpKind kind) {
    return kind == OpKind::kLinear || kind == OpKind::kConv || kind == OpKind::kConvTransposed ||
           kind == OpKind::kConcat;
  }

  // n elements from a multiple of the last axis on; y may be x.
  void element_wise(size_t index, const int32_t* x, size_t n, int32_t* y) const {
    const Op& op = p_.ops[index];
    if (op.kind == OpKind::kClamp) {
      k_.clamp(x, n, op.lo, op.hi, y);
    } else if (op.kind == OpKind::kRequantise) {
      k_.rescale(x, n, plan_.multipliers[index].rescale, y);
    } else if (op.kind == OpKind::kTable) {
      k_.look_up(x, n, op.first, op.table.data(), y);
    } else if (x != y) {  // kReshape
      std::memcpy(y, x, n * sizeof *y);
    }
  }

  void concat(const Op& op, int32_t* y) const {
    for (size_t item = 0; item < items_; ++item) {
      for (const uint32_t v : op.in) {
        std::memcpy(y, value(v) + item * count(v), count(v) * sizeof *y);
        y += count(v);
      }
    }
  }

  const Program& p_;
  const Plan& plan_;
  const ProgramKernels& k_;
  size_t items_ = 0;
  std::vector<const int32_t*> inputs_;
  std::vector<int32_t*> results_;  // of the values that a step ends in
  std::vector<Aligned<int32_t>> buffers_;
  Aligned<uint8_t> scratch_;
};

class Simd final : public Backend {
 public:
  Simd(SimdTarget target, const char* name) : target_(target), name_(name) {}
  const char* name() const override { return name_; }
  bool available() const override { return program_kernels(target_) != nullptr; }
  bool allowed() const override { return target_ <= allowed_target(); }

  std::vector<Batch> execute(const Program& p, std::span<const Batch> inputs, size_t items) const override {
    const ProgramKernels& k = *program_kernels(target_);
    const Plan& plan = p.prepared->get<Plan>(this, [&] { return make_plan(p, k); });
    constexpr size_t kTile = size_t{1} << 16;  // elements of all values
    const size_t step = std::max<size_t>(1, kTile / std::max<size_t>(1, p.activations));
    std::vector<Batch> outputs(p.outputs.size());
    for (size_t o = 0; o < outputs.size(); ++o) outputs[o].resize(items * p.values[p.outputs[o]].count());
    Interpreter run(p, plan, k);
    for (size_t first = 0; first < items; first += step) {
      run.run(inputs, first, std::min(step, items - first), outputs);
    }
    return outputs;
  }

 private:
  SimdTarget target_;
  const char* name_;
};

}  // namespace

const std::vector<const Backend*>& simd_backends() {
  // Never destroyed, as all statics of the engine: readers may still run while the process exits.
  static const auto& all = *new std::vector<const Backend*> {
#if defined(__x86_64__)
    new Simd(SimdTarget::kAvx2, "simd-avx2"), new Simd(SimdTarget::kAvx512, "simd-avx512"),
        new Simd(SimdTarget::kAvx512Vnni, "simd-avx512vnni")
#elif defined(__aarch64__)
    new Simd(SimdTarget::kNeon, "simd-neon")
#endif
  };
  return all;
}

}  // namespace h5neural

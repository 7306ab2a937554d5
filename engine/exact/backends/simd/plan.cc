// plan.cc: see plan.h.
#include "exact/backends/simd/plan.h"

#include <algorithm>
#include <limits>

namespace h5neural {
namespace {

bool element_wise(OpKind kind) {
  return kind == OpKind::kClamp || kind == OpKind::kRequantise || kind == OpKind::kTable ||
         kind == OpKind::kReshape;
}
bool has_sums(OpKind kind) {
  return kind == OpKind::kLinear || kind == OpKind::kConv || kind == OpKind::kConvTransposed;
}

class Planner {
 public:
  Planner(const Program& p, const ProgramKernels& kernels) : p_(p), kernels_(kernels) {}

  std::unique_ptr<Plan> make() {
    count_readers();
    std::vector<bool> taken(p_.ops.size());
    for (size_t i = 0; i < p_.ops.size(); ++i) {
      if (taken[i]) continue;
      plan_->steps.push_back(step(i));
      for (const size_t j : plan_->steps.back().then) taken[j] = true;
    }
    for (size_t i = 0; i < p_.ops.size(); ++i) {
      plan_->multipliers.emplace_back();
      if (p_.ops[i].kind == OpKind::kRequantise) repeat(i, plan_->multipliers.back());
    }
    assign_buffers();
    return std::move(plan_);
  }

 private:
  // How often each value is read, by operations or as an output, and by which operation last.
  void count_readers() {
    readers_.resize(p_.values.size());
    reader_.resize(p_.values.size());
    for (size_t i = 0; i < p_.ops.size(); ++i) {
      for (const uint32_t v : p_.ops[i].in) {
        ++readers_[v];
        reader_[v] = i;
      }
    }
    for (const uint32_t v : p_.outputs) readers_[v] += 2;  // kept to the end: never overwritten
  }

  Step step(size_t op) const {
    Step s;
    s.op = op;
    s.value = p_.inputs + op;
    s.period = p_.values[s.value].shape.back();
    if (has_sums(p_.ops[op].kind)) s.sums = Sums::make(p_, op, kernels_);
    while (readers_[s.value] == 1) {
      const size_t next = reader_[s.value];
      const Op& o = p_.ops[next];
      if (!element_wise(o.kind) || (o.multiplier.size() > 1 && o.multiplier.size() != s.period)) break;
      s.then.push_back(next);
      s.value = p_.inputs + next;
    }
    return s;
  }

  // Short rows of multipliers are repeated until vectors come out even.
  void repeat(size_t index, Plan::Multipliers& m) const {
    const Op& op = p_.ops[index];
    constexpr size_t kLong = 4096;
    const size_t n = op.multiplier.size(), times = n > 1 && n * kernels_.lanes <= kLong ? kernels_.lanes : 1;
    for (size_t i = 0; i < times; ++i)
      m.repeated.insert(m.repeated.end(), op.multiplier.begin(), op.multiplier.end());
    m.repeated.resize(n * times + ProgramKernels::kSlack);
    const Value& x = p_.values[op.in[0]];
    int64_t most = 0;  // |x|, then |x m| rounded and shifted
    for (size_t i = 0; i < x.count(); ++i) most = std::max({most, -int64_t{x.lo[i]}, int64_t{x.hi[i]}});
    int64_t factor = 0;
    for (const int32_t f : op.multiplier) factor = std::max({factor, -int64_t{f}, int64_t{f}});
    const int64_t half = op.shift == 0 ? 0 : int64_t{1} << (op.shift - 1);
    const bool fits = ((most * factor + half) >> op.shift) < std::numeric_limits<int32_t>::max();
    m.rescale = {m.repeated.data(), n * times, op.shift, op.lo, op.hi, fits};
  }

  // A buffer is free again after the last step that reads its value.
  void assign_buffers() {
    std::vector<size_t> last(p_.values.size(), 0);
    for (size_t s = 0; s < plan_->steps.size(); ++s) {
      for (const uint32_t v : p_.ops[plan_->steps[s].op].in) last[v] = s;
    }
    for (const uint32_t v : p_.outputs) last[v] = plan_->steps.size();
    plan_->buffer.resize(p_.values.size(), Plan::kNoBuffer);
    std::vector<size_t> held;  // the value in each buffer
    std::vector<bool> busy;
    for (size_t s = 0; s < plan_->steps.size(); ++s) {
      const size_t value = plan_->steps[s].value, count = p_.values[value].count();
      if (last[value] < plan_->steps.size()) {  // else it is an output, which is made in its place
        size_t b = 0;
        while (b < busy.size() && busy[b]) ++b;
        if (b == busy.size()) {
          busy.push_back(true);
          held.push_back(value);
          plan_->buffer_counts.push_back(0);
        }
        busy[b] = true;
        held[b] = value;
        plan_->buffer[value] = b;
        plan_->buffer_counts[b] = std::max(plan_->buffer_counts[b], count);
      }
      for (size_t i = 0; i < busy.size(); ++i) busy[i] = busy[i] && last[held[i]] > s;
    }
  }

  const Program& p_;
  const ProgramKernels& kernels_;
  std::vector<size_t> readers_, reader_;
  std::unique_ptr<Plan> plan_ = std::make_unique<Plan>();
};

}  // namespace

std::unique_ptr<Plan> make_plan(const Program& program, const ProgramKernels& kernels) {
  return Planner(program, kernels).make();
}

}  // namespace h5neural

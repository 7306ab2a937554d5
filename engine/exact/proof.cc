// proof.cc: see proof.h.
#include "exact/proof.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "support/failure.h"

namespace h5neural {
namespace {

constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
constexpr int64_t kMin = std::numeric_limits<int32_t>::min();

struct Interval {
  int64_t lo, hi;
};

class Prover {
 public:
  Prover(Program& program, const Op& op) : program_(program), op_(op) {}

  Value run() {
    for (const uint32_t v : op_.in) {
      if (v >= program_.values.size())
        fail("it reads value " + std::to_string(v) + ", which no earlier operation makes");
    }
    const size_t wanted = op_.kind == OpKind::kAdd ? 2 : op_.kind == OpKind::kConcat ? op_.in.size() : 1;
    if (op_.in.size() != wanted || op_.in.empty())
      fail("it has " + std::to_string(op_.in.size()) + " inputs");
    switch (op_.kind) {
      case OpKind::kLinear:
        return linear();
      case OpKind::kAdd:
        return add();
      case OpKind::kConcat:
        return concat();
      case OpKind::kReshape:
        return reshape();
      case OpKind::kClamp:
        return clamp();
      case OpKind::kRequantise:
        return requantise();
      case OpKind::kTable:
        return table();
    }
    fail("its kind is unknown");
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { refuse_program(program_.name, op_.name, what); }
  const Value& in(size_t i = 0) const { return program_.values[op_.in[i]]; }

  Value reserve(std::vector<uint32_t> shape, uint64_t count) const {
    account_activations(program_, op_.name, count);
    Value v;
    v.shape = std::move(shape);
    v.lo.reserve(count);
    v.hi.reserve(count);
    return v;
  }

  void push(Value& v, Interval r) const {
    if (r.lo < kMin || r.hi > kMax) {
      fail("its result can reach " + std::to_string(r.hi > kMax ? r.hi : r.lo) + ", beyond 32 bits");
    }
    v.lo.push_back(static_cast<int32_t>(r.lo));
    v.hi.push_back(static_cast<int32_t>(r.hi));
  }

  // The element-wise operations: one input element to one output element of the same shape.
  template <class F>
  Value map(F&& f) const {
    const Value& x = in();
    Value v = reserve(x.shape, x.count());
    for (size_t i = 0; i < x.count(); ++i) push(v, f(i, Interval{x.lo[i], x.hi[i]}));
    return v;
  }

  // y[.., o] = b[o] + sum_k w[o, k] x[.., k]. Any order of summation stays within sum_k |w| max|x| + |b|.
  Value linear() {
    const Value& x = in();
    if (x.shape.back() != op_.columns) {
      fail("its weights have " + std::to_string(op_.columns) + " columns for an input of " +
           std::to_string(x.shape.back()));
    }
    for (size_t i = 0; i < x.count(); ++i) {
      if (x.lo[i] < INT16_MIN || x.hi[i] > INT16_MAX)
        fail("its input can leave 16 bits; requantise it first");
    }
    const uint64_t items = x.count() / op_.columns;
    program_.macs += items * op_.rows * op_.columns;
    if (program_.macs > ProgramLimits::kMacs) fail("the work up to it is over the limit");
    std::vector<uint32_t> shape = x.shape;
    shape.back() = op_.rows;
    Value v = reserve(std::move(shape), items * op_.rows);
    for (uint64_t item = 0; item < items; ++item) {
      for (uint32_t o = 0; o < op_.rows; ++o) push(v, row(x, item * op_.columns, o));
    }
    return v;
  }

  Interval row(const Value& x, size_t first, uint32_t o) {
    const int16_t* w = op_.weights.data() + size_t{o} * op_.columns;
    int64_t lo = op_.bias[o], hi = lo;
    uint64_t sum = static_cast<uint64_t>(std::llabs(lo));
    for (uint32_t k = 0; k < op_.columns; ++k) {
      const int64_t a = int64_t{w[k]} * x.lo[first + k], b = int64_t{w[k]} * x.hi[first + k];
      lo += std::min(a, b);
      hi += std::max(a, b);
      sum += static_cast<uint64_t>(std::max(std::llabs(a), std::llabs(b)));
    }
    program_.largest_sum = std::max(program_.largest_sum, sum);
    if (sum > static_cast<uint64_t>(kMax)) {
      fail("row " + std::to_string(o) + ": sum |w| max|x| + |b| is " + std::to_string(sum) +
           ", not below 2^31");
    }
    return {lo, hi};
  }

  Value add() const {
    const Value &a = in(0), &b = in(1);
    if (a.shape != b.shape) fail("its inputs have different shapes");
    return map([&](size_t i, Interval x) { return Interval{x.lo + b.lo[i], x.hi + b.hi[i]}; });
  }

  // Along the first axis: the inputs' elements follow one another.
  Value concat() const {
    uint64_t first = 0, count = 0;
    for (size_t i = 0; i < op_.in.size(); ++i) {
      if (!std::equal(in(i).shape.begin() + 1, in(i).shape.end(), in(0).shape.begin() + 1,
                      in(0).shape.end())) {
        fail("its inputs differ in more than the first axis");
      }
      first += in(i).shape[0];
      count += in(i).count();
    }
    if (first > UINT32_MAX) fail("it is too long");
    std::vector<uint32_t> shape = in(0).shape;
    shape[0] = static_cast<uint32_t>(first);
    Value v = reserve(std::move(shape), count);
    for (size_t i = 0; i < op_.in.size(); ++i) {
      v.lo.insert(v.lo.end(), in(i).lo.begin(), in(i).lo.end());
      v.hi.insert(v.hi.end(), in(i).hi.begin(), in(i).hi.end());
    }
    return v;
  }

  Value reshape() const {
    uint64_t count = 1;
    for (const uint32_t n : op_.shape) {
      count *= n;
      if (n == 0 || count > in().count()) fail("its shape does not hold its input");
    }
    if (count != in().count()) fail("its shape does not hold its input");
    Value v = map([](size_t, Interval x) { return x; });
    v.shape = op_.shape;
    return v;
  }

  Value clamp() const {
    if (op_.lo > op_.hi) fail("its limits are empty");
    return map([&](size_t, Interval x) { return limit(x); });
  }
  Interval limit(Interval x) const {
    return {std::clamp<int64_t>(x.lo, op_.lo, op_.hi), std::clamp<int64_t>(x.hi, op_.lo, op_.hi)};
  }

  // y = clamp((x m + 2^(shift-1)) >> shift): |x m| <= 2^62 and the rounding term <= 2^61, so 64 bits hold it.
  Value requantise() const {
    if (op_.lo > op_.hi) fail("its limits are empty");
    if (op_.shift > 62) fail("its shift is over 62");
    const size_t last = in().shape.back(), m = op_.multiplier.size();
    if (m != 1 && m != last) fail("it has " + std::to_string(m) + " multipliers for " + std::to_string(last));
    return map([&](size_t i, Interval x) {
      const int64_t f = op_.multiplier[m == 1 ? 0 : i % last];
      const int64_t a = rescale(x.lo, f, op_.shift), b = rescale(x.hi, f, op_.shift);
      return limit({std::min(a, b), std::max(a, b)});
    });
  }
  static int64_t rescale(int64_t x, int64_t m, uint32_t shift) {
    return (x * m + (shift == 0 ? 0 : int64_t{1} << (shift - 1))) >> shift;
  }

  Value table() {
    const int64_t first = op_.first, last = first + static_cast<int64_t>(op_.table.size()) - 1;
    Interval seen{0, -1}, answer{0, 0};  // neighbours share their range, nearly always
    return map([&](size_t, Interval x) {
      if (x.lo < first || x.hi > last) {
        fail("its input can reach " + std::to_string(x.lo < first ? x.lo : x.hi) + ", outside of the table");
      }
      if (x.lo != seen.lo || x.hi != seen.hi) {
        seen = x;
        answer = entries(x.lo - first, x.hi - first);
      }
      return answer;
    });
  }
  // The range of the table's entries from..to. Looking at them is work too, and bounded with it.
  Interval entries(int64_t from, int64_t to) {
    program_.macs += static_cast<uint64_t>(to - from) + 1;
    if (program_.macs > ProgramLimits::kMacs) fail("the work up to it is over the limit");
    const auto [lo, hi] = std::minmax_element(op_.table.begin() + from, op_.table.begin() + to + 1);
    return {*lo, *hi};
  }

  Program& program_;
  const Op& op_;
};

}  // namespace

void prove(Program& program, const Op& op) { program.values.push_back(Prover(program, op).run()); }

void account_activations(Program& program, const std::string& where, uint64_t count) {
  program.activations += count;
  if (count > ProgramLimits::kActivations || program.activations > ProgramLimits::kActivations) {
    refuse_program(program.name, where, "the memory up to it is over the limit");
  }
}

void refuse_program(const std::string& program, const std::string& where, const std::string& what) {
  throw Failure(H5N_ERR_CORRUPT, "h5neural: the weights are refused: program '" + program + "', " + where +
                                     ": " + what + "; get the weights file again from where it came");
}

}  // namespace h5neural

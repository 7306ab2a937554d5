// proof.cc: see proof.h.
#include "exact/proof.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>

#include "exact/conv.h"
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
      case OpKind::kConv:
      case OpKind::kConvTransposed:
        return conv();
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

  void demand_16_bits(const Value& x) const {
    for (size_t i = 0; i < x.count(); ++i) {
      if (x.lo[i] < INT16_MIN || x.hi[i] > INT16_MAX)
        fail("its input can leave 16 bits; requantise it first");
    }
  }
  void account_macs(uint64_t macs) {
    program_.macs += macs;
    if (program_.macs > ProgramLimits::kMacs) fail("the work up to it is over the limit");
  }

  // y[.., o] = b[o] + sum_k w[o, k] x[.., k]. Any order of summation stays within sum_k |w| max|x| + |b|.
  Value linear() {
    const Value& x = in();
    const size_t n = op_.columns;
    if (x.shape.back() != n) {
      fail("its weights have " + std::to_string(n) + " columns for an input of " +
           std::to_string(x.shape.back()));
    }
    demand_16_bits(x);
    const uint64_t items = x.count() / n;
    account_macs(items * op_.rows * n);
    std::vector<uint32_t> shape = x.shape;
    shape.back() = op_.rows;
    Value v = reserve(std::move(shape), items * op_.rows);
    for (uint64_t item = 0; item < items; ++item) {
      const auto *lo = x.lo.data() + item * n, *hi = x.hi.data() + item * n;
      if (item > 0 && std::equal(lo, lo + n, lo - n) && std::equal(hi, hi + n, hi - n)) {
        repeat(v, op_.rows);  // most vectors have the ranges of the one before
        continue;
      }
      for (uint32_t o = 0; o < op_.rows; ++o) {
        Sum sum(op_.bias[o]);
        for (size_t k = 0; k < n; ++k) sum.add(op_.weights[size_t{o} * n + k], {lo[k], hi[k]});
        push(v, check(sum, o));
      }
    }
    return v;
  }

  // Appends the last n ranges again.
  static void repeat(Value& v, size_t n) {
    for (auto* r : {&v.lo, &v.hi}) {
      r->resize(r->size() + n);
      std::copy_n(r->end() - static_cast<ptrdiff_t>(2 * n), n, r->end() - static_cast<ptrdiff_t>(n));
    }
  }

  struct Sum {
    explicit Sum(int64_t bias) : lo(bias), hi(bias), size(static_cast<uint64_t>(std::llabs(bias))) {}
    void add(int64_t w, Interval x) {
      const int64_t a = w * x.lo, b = w * x.hi;
      lo += std::min(a, b);
      hi += std::max(a, b);
      size += static_cast<uint64_t>(std::max(std::llabs(a), std::llabs(b)));
    }
    int64_t lo, hi;
    uint64_t size;  // sum |w| max|x| + |b|
  };
  Interval check(const Sum& sum, uint32_t o) {
    program_.largest_sum = std::max(program_.largest_sum, sum.size);
    if (sum.size > static_cast<uint64_t>(kMax)) {
      fail("row " + std::to_string(o) + ": sum |w| max|x| + |b| is " + std::to_string(sum.size) +
           ", not below 2^31");
    }
    return {sum.lo, sum.hi};
  }

  // One range for each output and class of positions that see the same taps. A channel has one range for all
  // positions; with a border it holds 0.
  Value conv() {
    const Value& x = in();
    check_conv_shape(x);
    demand_16_bits(x);
    const ConvShape s = conv_shape(op_, x.shape);
    const bool transposed = op_.kind == OpKind::kConvTransposed;
    const uint64_t positions = static_cast<uint64_t>(s.out[0]) * s.out[1] * s.out[2];
    account_macs((transposed ? x.count() / s.channels : positions) * op_.columns * op_.rows);
    std::vector<uint32_t> shape(x.shape);
    for (size_t d = 0; d < op_.kernel.size(); ++d)
      shape[d] = static_cast<uint32_t>(s.out[3 - op_.kernel.size() + d]);
    shape.back() = op_.rows;
    Value v = reserve(std::move(shape), positions * op_.rows);
    std::array<int64_t, 3> classes{1, 1, 1};  // how many positions along an axis see different taps
    for (size_t d = 0; d < 3 && transposed; ++d) classes[d] = std::min(s.out[d], s.stride[d]);
    const std::vector<Interval> ranges = conv_ranges(s, classes, channel_ranges(x, s, transposed));
    for (int64_t a = 0; a < s.out[0]; ++a) {
      for (int64_t b = 0; b < s.out[1]; ++b) {
        for (int64_t c = 0; c < s.out[2]; ++c) {
          const int64_t at = ((a % classes[0]) * classes[1] + b % classes[1]) * classes[2] + c % classes[2];
          for (uint32_t o = 0; o < op_.rows; ++o) push(v, ranges[static_cast<size_t>(at) * op_.rows + o]);
        }
      }
    }
    return v;
  }

  void check_conv_shape(const Value& x) const {
    const size_t rank = op_.kernel.size();
    if (x.shape.size() != rank + 1) {
      fail("its weights have " + std::to_string(rank) + " spatial axes for an input of rank " +
           std::to_string(x.shape.size()));
    }
    uint64_t taps = 1, out = op_.rows, bordered = x.shape.back();
    for (const uint32_t k : op_.kernel) taps *= k;
    if (op_.columns != taps * x.shape.back()) {
      fail("its weights have " + std::to_string(op_.columns / taps) + " channels for an input of " +
           std::to_string(x.shape.back()));
    }
    const bool transposed = op_.kind == OpKind::kConvTransposed;
    for (size_t d = 0; d < rank; ++d) {
      const int64_t n = x.shape[d], k = op_.kernel[d], stride = op_.stride[d];
      if (op_.before[d] >= k || op_.after[d] >= k || op_.after[d] < (transposed ? 1 - stride : 0))
        fail("its border is wider than its kernel");
      const int64_t extent = conv_extent(transposed, n, k, stride, op_.before[d], op_.after[d]);
      if (extent < 1) fail("its result is empty");
      if (extent > static_cast<int64_t>(ProgramLimits::kActivations)) fail("its result is too large");
      // What a backend may lay out in memory: the result, and the input with its border.
      out *= static_cast<uint64_t>(extent);
      bordered *= static_cast<uint64_t>(transposed ? n + 2 * ((k - 1) / stride + 1)
                                                   : n + op_.before[d] + op_.after[d]);
      if (std::max(out, bordered) > ProgramLimits::kActivations)
        fail("its result, or its input with the border, is over the limit of memory");
    }
  }

  static std::vector<Interval> channel_ranges(const Value& x, const ConvShape& s, bool transposed) {
    const bool border = transposed || s.before != std::array<int64_t, 3>{} || s.after != s.before;
    std::vector<Interval> r(s.channels, border ? Interval{0, 0} : Interval{kMax, kMin});
    for (size_t i = 0; i < x.count(); ++i) {
      Interval& c = r[i % s.channels];
      c = {std::min<int64_t>(c.lo, x.lo[i]), std::max<int64_t>(c.hi, x.hi[i])};
    }
    return r;
  }

  // [classes, outputs]. A transposed convolution's result at q sees the taps t with t = q + before modulo the
  // stride.
  std::vector<Interval> conv_ranges(const ConvShape& s, const std::array<int64_t, 3>& classes,
                                    const std::vector<Interval>& channel) {
    const bool transposed = op_.kind == OpKind::kConvTransposed;
    std::vector<Interval> ranges;
    for (int64_t at = 0; at < classes[0] * classes[1] * classes[2]; ++at) {
      const std::array<int64_t, 3> of{at / (classes[1] * classes[2]), at / classes[2] % classes[1],
                                      at % classes[2]};
      std::array<int64_t, 3> first{}, step{1, 1, 1};
      for (size_t d = 0; d < 3 && transposed; ++d) {
        first[d] = (of[d] + s.before[d]) % s.stride[d];
        step[d] = s.stride[d];
      }
      for (uint32_t o = 0; o < op_.rows; ++o) {
        Sum sum(op_.bias[o]);
        const int16_t* w = op_.weights.data() + size_t{o} * op_.columns;
        for (int64_t a = first[0]; a < s.kernel[0]; a += step[0]) {
          for (int64_t b = first[1]; b < s.kernel[1]; b += step[1]) {
            for (int64_t c = first[2]; c < s.kernel[2]; c += step[2]) {
              const auto tap = static_cast<size_t>((a * s.kernel[1] + b) * s.kernel[2] + c);
              for (size_t i = 0; i < s.channels; ++i) sum.add(w[tap * s.channels + i], channel[i]);
            }
          }
        }
        ranges.push_back(check(sum, o));
      }
    }
    return ranges;
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
    account_macs(static_cast<uint64_t>(to - from) + 1);
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

// sums.cc: see sums.h.
#include "exact/backends/simd/sums.h"

#include <algorithm>
#include <cstring>

namespace h5neural {
namespace {

// Packed weights may take this many bytes, or this many for each weight.
constexpr size_t kAlways = size_t{16} << 20, kMost = 16;

size_t product(const std::array<int64_t, 3>& n) { return static_cast<size_t>(n[0] * n[1] * n[2]); }
size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// The numbers of one axis' taps that a phase sees, in the order in which they meet the input, and where on
// the input the first one stands for the phase's first position. Neighbours in the list meet neighbours.
struct AxisTaps {
  std::vector<int64_t> taps;
  int64_t at = 0;
};

AxisTaps axis_taps(const ConvShape& s, size_t axis, bool transposed, int64_t first) {
  AxisTaps a;
  if (!transposed) {
    for (int64_t t = 0; t < s.kernel[axis]; ++t) a.taps.push_back(t);
    a.at = -s.before[axis];
    return a;
  }
  const int64_t q = first + s.before[axis], stride = s.stride[axis];
  for (int64_t t = q % stride; t < s.kernel[axis]; t += stride) a.taps.push_back(t);
  std::reverse(a.taps.begin(), a.taps.end());
  if (!a.taps.empty()) a.at = (q - a.taps.front()) / stride;  // divides
  return a;
}

}  // namespace

std::unique_ptr<const Sums> Sums::make(const Program& program, size_t index, const ProgramKernels& kernels) {
  const Op& op = program.ops[index];
  const Value& in = program.values[op.in[0]];
  auto s = std::make_unique<Sums>();
  op.kind == OpKind::kLinear ? s->shape_linear(op, in) : s->shape_conv(op, in);
  s->cut_blocks(kernels);
  s->choose_type(op, in, kernels);
  const size_t packed = s->measure(kernels);
  if (packed > kAlways && packed / kMost > op.weights.size()) return nullptr;
  for (Phase& phase : s->phases_) s->pack(op, phase, kernels.lanes);
  return s;
}

// A vector of columns at each position, all in one row.
void Sums::shape_linear(const Op& op, const Value& in) {
  shape_.in[2] = shape_.out[2] = static_cast<int64_t>(in.count() / op.columns);
  shape_.channels = op.columns;
  shape_.outputs = op.rows;
  padded_ = shape_.in;
  x_step_ = y_step_ = {1, 1, 1};
  Phase phase;
  phase.count = {1, 1, static_cast<size_t>(shape_.out[2])};
  phase.segments = {{0, 0}};
  phase.columns = {0};
  phase.last_taps = {0};
  phases_.push_back(std::move(phase));
}

void Sums::shape_conv(const Op& op, const Value& in) {
  shape_ = conv_shape(op, in.shape);
  const ConvShape& s = shape_;
  const bool transposed = op.kind == OpKind::kConvTransposed;
  std::array<int64_t, 3> phases{1, 1, 1}, after{};
  for (size_t d = 0; d < 3 && transposed; ++d) phases[d] = std::min(s.stride[d], s.out[d]);
  (transposed ? y_step_ : x_step_) = s.stride;
  (transposed ? x_step_ : y_step_) = {1, 1, 1};
  std::vector<std::array<AxisTaps, 3>> all;
  for (size_t i = 0; i < product(phases); ++i) {
    Phase phase;
    const auto n = static_cast<int64_t>(i);
    phase.first = {n / (phases[1] * phases[2]), n / phases[2] % phases[1], n % phases[2]};
    all.emplace_back();
    for (size_t d = 0; d < 3; ++d) {
      phase.count[d] = static_cast<size_t>((s.out[d] - phase.first[d] - 1) / y_step_[d] + 1);
      const AxisTaps& a = all.back()[d] = axis_taps(s, d, transposed, phase.first[d]);
      const auto last = a.at + static_cast<int64_t>(phase.count[d] - 1) * x_step_[d] +
                        static_cast<int64_t>(a.taps.size()) - 1;
      if (a.taps.empty()) continue;
      border_[d] = std::max(border_[d], -a.at);
      after[d] = std::max(after[d], last - (s.in[d] - 1));
    }
    phases_.push_back(std::move(phase));
  }
  for (size_t d = 0; d < 3; ++d) padded_[d] = border_[d] + s.in[d] + after[d];
  for (size_t i = 0; i < phases_.size(); ++i) {
    Phase& phase = phases_[i];
    const auto& [a, b, c] = all[i];
    phase.last_taps.assign(c.taps.begin(), c.taps.end());
    for (size_t t0 = 0; t0 < a.taps.size(); ++t0) {
      for (size_t t1 = 0; t1 < b.taps.size() && !c.taps.empty(); ++t1) {
        const int64_t row = (border_[0] + a.at + static_cast<int64_t>(t0)) * padded_[1] + border_[1] + b.at +
                            static_cast<int64_t>(t1);
        phase.segments.push_back(
            {(row * padded_[2] + border_[2] + c.at) * static_cast<ptrdiff_t>(s.channels), 0});
        const int64_t tap = (a.taps[t0] * s.kernel[1] + b.taps[t1]) * s.kernel[2];
        phase.columns.push_back(static_cast<size_t>(tap) * s.channels);
      }
    }
  }
}

// As few blocks as hold all outputs, of nearly equal size.
void Sums::cut_blocks(const ProgramKernels& kernels) {
  const size_t vectors = (shape_.outputs + kernels.lanes - 1) / kernels.lanes;
  const size_t blocks = (vectors + kernels.most_vectors - 1) / kernels.most_vectors;
  for (size_t b = 0; b < blocks; ++b) {
    const size_t from = b * vectors / blocks, to = (b + 1) * vectors / blocks;
    const size_t first = from * kernels.lanes;
    blocks_.push_back({first, std::min(to * kernels.lanes, shape_.outputs) - first, to - from});
  }
}

// Bytes where the proved range of the input has at most 256 values (with 0, if there is a border) and all
// weights fit 8 bits.
void Sums::choose_type(const Op& op, const Value& in, const ProgramKernels& kernels) {
  int64_t lo = *std::min_element(in.lo.begin(), in.lo.end()),
          hi = *std::max_element(in.hi.begin(), in.hi.end());
  if (padded_ != shape_.in) {
    lo = std::min<int64_t>(lo, 0);
    hi = std::max<int64_t>(hi, 0);
  }
  const auto [least, most] = std::minmax_element(op.weights.begin(), op.weights.end());
  if (kernels.sum_bytes == nullptr || hi - lo > UINT8_MAX || *least < INT8_MIN || *most > INT8_MAX) return;
  if (lo >= 0 && hi <= UINT8_MAX) lo = 0;  // then nothing need be subtracted
  if (kernels.pairs_saturate && !pairs_fit(op, hi - lo)) return;
  bytes_ = true;
  base_ = static_cast<int32_t>(lo);
}

// Whether two neighbouring products with bytes up to `most` always fit 16 bits.
bool Sums::pairs_fit(const Op& op, int64_t most) const {
  for (const Phase& phase : phases_) {
    for (size_t segment = 0; segment < phase.segments.size(); ++segment) {
      for (size_t o = 0; o < op.rows; ++o) {
        for (size_t n = 0; n < phase.last_taps.size() * shape_.channels; n += 2) {
          const int64_t a = weight(op, phase, segment, o, n), b = weight(op, phase, segment, o, n + 1);
          const int64_t above = std::max<int64_t>(a, 0) + std::max<int64_t>(b, 0);
          const int64_t below = std::min<int64_t>(a, 0) + std::min<int64_t>(b, 0);
          if (above * most > INT16_MAX || below * most < INT16_MIN) return false;
        }
      }
    }
  }
  return true;
}

// Gives the segments their sizes, as the kernels take them, and says how many bytes the packed weights will
// take. Few outputs leave most lanes empty, unless the lanes go along the runs of the input.
size_t Sums::measure(const ProgramKernels& kernels) {
  const size_t number_bytes = bytes_ ? 1 : 2;
  size_t broadcasts = 0, vectors = 0;
  for (const Phase& phase : phases_) {
    const size_t bytes = phase.last_taps.size() * shape_.channels * number_bytes;
    broadcasts += phase.segments.size() * ((bytes + 3) / 4);
    vectors += phase.segments.size() * ((bytes + 4 * kernels.lanes - 1) / (4 * kernels.lanes));
  }
  constexpr size_t kReduction = 8;  // about what the sum of a vector's lanes costs, in products
  along_ = shape_.outputs <= ProgramKernels::kFew &&
           (vectors + kReduction * phases_.size()) * shape_.outputs < broadcasts;
  const size_t unit = along_ ? 4 * kernels.lanes : 4;
  size_t packed = 0;
  for (Phase& phase : phases_) {
    const size_t groups = (phase.last_taps.size() * shape_.channels * number_bytes + unit - 1) / unit;
    for (Segment& segment : phase.segments) {
      segment.groups = static_cast<ptrdiff_t>(groups);
      segment.offset *= static_cast<ptrdiff_t>(number_bytes);
    }
    phase.groups = groups * phase.segments.size();
    packed += phase.groups * unit * (along_ ? shape_.outputs : round_up(shape_.outputs, kernels.lanes));
  }
  return packed;
}

// The weight that number `number` of a segment is multiplied with; 0 beyond its end.
int16_t Sums::weight(const Op& op, const Phase& phase, size_t segment, size_t output, size_t number) const {
  const size_t tap = number / shape_.channels;
  if (tap >= phase.last_taps.size()) return 0;
  const size_t column =
      phase.columns[segment] + phase.last_taps[tap] * shape_.channels + number % shape_.channels;
  return op.weights[output * op.columns + column];
}

void Sums::pack(const Op& op, Phase& phase, size_t lanes) const {
  const size_t outputs = along_ ? op.rows : round_up(op.rows, lanes), unit = along_ ? 4 * lanes : 4;
  const size_t bytes = phase.groups * unit * outputs, number_bytes = bytes_ ? 1 : 2,
               numbers = unit / number_bytes;
  phase.weights.grow(bytes + 64);
  std::memset(phase.weights.data(), 0, bytes);
  phase.bias.assign(outputs, 0);
  for (const Block& block : blocks_) {
    uint8_t* const to = phase.weights.data() + block.first * phase.groups * unit;
    const size_t step = (along_ ? outputs : block.vectors * lanes) * unit;  // to an output's next group
    for (size_t o = 0; o < block.outputs; ++o) {
      uint32_t sum = 0;  // of the weights; modulo 2^32 like all sums
      uint8_t* at = to + o * unit;
      for (size_t segment = 0; segment < phase.segments.size(); ++segment) {
        const size_t count = static_cast<size_t>(phase.segments[segment].groups) * numbers;
        for (size_t n = 0; n < count; ++n) {
          const int16_t w = weight(op, phase, segment, block.first + o, n);
          sum += static_cast<uint32_t>(int32_t{w});
          std::memcpy(at + n % numbers * number_bytes, &w, number_bytes);  // little endian
          if (n % numbers == numbers - 1) at += step;
        }
      }
      phase.bias[block.first + o] = static_cast<int32_t>(static_cast<uint32_t>(op.bias[block.first + o]) +
                                                         sum * static_cast<uint32_t>(base_));
    }
  }
}

void Sums::run(const ProgramKernels& kernels, const int32_t* x, size_t items, int32_t* y,
               Aligned<uint8_t>& scratch, const Sink& sink) const {
  const size_t bytes = items * product(padded_) * shape_.channels * (bytes_ ? 1 : 2);
  scratch.grow(bytes + ProgramKernels::kSlack);
  std::memset(scratch.data() + bytes, 0, ProgramKernels::kSlack);
  narrow(kernels, x, items, scratch.data());
  const bool whole = phases_.size() == 1;  // then tiles of the result are finished one after the other
  for (const Phase& phase : phases_)
    run_phase(kernels, phase, items, scratch.data(), y, whole ? &sink : nullptr);
  if (whole) return;
  const size_t count = items * product(shape_.out) * shape_.outputs, part = tile() * shape_.outputs;
  for (size_t i = 0; i < count; i += part) sink.finished(y + i, std::min(part, count - i));
}

// The input in 8 or 16 bits, with its border.
void Sums::narrow(const ProgramKernels& kernels, const int32_t* x, size_t items, uint8_t* to) const {
  const size_t number_bytes = bytes_ ? 1 : 2, c = shape_.channels;
  const auto copy = [&](const int32_t* from, size_t n, uint8_t* y) {
    bytes_ ? kernels.to_bytes(from, n, base_, y) : kernels.to_words(from, n, reinterpret_cast<int16_t*>(y));
  };
  if (padded_ == shape_.in) return copy(x, items * product(padded_) * c, to);
  std::memset(to, bytes_ ? -base_ : 0, items * product(padded_) * c * number_bytes);
  const size_t row = static_cast<size_t>(shape_.in[2]) * c;
  for (size_t item = 0; item < items; ++item) {
    for (int64_t a = 0; a < shape_.in[0]; ++a) {
      for (int64_t b = 0; b < shape_.in[1]; ++b, x += row) {
        const int64_t at = ((a + border_[0]) * padded_[1] + b + border_[1]) * padded_[2] + border_[2];
        copy(x, row, to + (item * product(padded_) + static_cast<size_t>(at)) * c * number_bytes);
      }
    }
  }
}

// The loops over a phase's positions, outermost first; those that go on where the inner one ends are one.
std::vector<Sums::Level> Sums::levels(const Phase& phase, size_t items) const {
  const auto position = static_cast<ptrdiff_t>(shape_.channels * (bytes_ ? 1 : 2));
  const auto result = static_cast<ptrdiff_t>(shape_.outputs);
  std::vector<Level> all{{items, static_cast<ptrdiff_t>(product(padded_)) * position,
                          static_cast<ptrdiff_t>(product(shape_.out)) * result}};
  for (size_t d = 0; d < 3; ++d) {
    ptrdiff_t px = position * x_step_[d], py = result * y_step_[d];
    for (size_t inner = d + 1; inner < 3; ++inner) {
      px *= padded_[inner];
      py *= shape_.out[inner];
    }
    const Level l{phase.count[d], px, py};
    Level& outer = all.back();
    const auto n = static_cast<ptrdiff_t>(l.count);
    if (outer.count == 1 || (outer.x == n * l.x && outer.y == n * l.y)) {
      outer = {outer.count * l.count, l.x, l.y};
    } else if (l.count > 1) {
      all.push_back(l);
    }
  }
  return all;
}

// How many positions are worked on at a time: their results stay in the nearest cache.
size_t Sums::tile() const { return std::clamp<size_t>(8192 / shape_.outputs / 8 * 8, 8, kMostPositions); }

void Sums::run_phase(const ProgramKernels& kernels, const Phase& phase, size_t items, const uint8_t* x,
                     int32_t* y, const Sink* sink) const {
  const std::vector<Level> loops = levels(phase, items);
  size_t positions = 1;
  for (const Level& l : loops) positions *= l.count;
  std::array<size_t, 4> index{};
  ptrdiff_t from = 0,
            to = ((phase.first[0] * shape_.out[1] + phase.first[1]) * shape_.out[2] + phase.first[2]) *
                 static_cast<ptrdiff_t>(shape_.outputs);
  std::array<ptrdiff_t, kMostPositions> xo, yo;
  for (size_t done = 0; done < positions;) {
    const size_t n = std::min(tile(), positions - done);
    for (size_t p = 0; p < n;) {
      const Level& inner = loops.back();
      const size_t run = std::min(n - p, inner.count - index[loops.size() - 1]);
      for (size_t i = 0; i < run; ++i) {
        xo[p + i] = from + static_cast<ptrdiff_t>(i) * inner.x;
        yo[p + i] = to + static_cast<ptrdiff_t>(i) * inner.y;
      }
      p += run;
      from += static_cast<ptrdiff_t>(run) * inner.x;
      to += static_cast<ptrdiff_t>(run) * inner.y;
      index[loops.size() - 1] += run;
      // Where a loop ends, the next one outside goes on.
      for (size_t l = loops.size() - 1; l > 0 && index[l] == loops[l].count; --l) {
        from += loops[l - 1].x - static_cast<ptrdiff_t>(loops[l].count) * loops[l].x;
        to += loops[l - 1].y - static_cast<ptrdiff_t>(loops[l].count) * loops[l].y;
        index[l] = 0;
        ++index[l - 1];
      }
    }
    for (const Block& b : blocks_) {
      const SumTile t{x,
                      xo.data(),
                      n,
                      &phase.segments,
                      phase.weights.data() + (along_ ? 0 : b.first * phase.groups * 4),
                      phase.bias.data() + b.first,
                      y + b.first,
                      yo.data(),
                      b.outputs,
                      b.vectors};
      (along_ ? (bytes_ ? kernels.along_bytes : kernels.along_words)
              : (bytes_ ? kernels.sum_bytes : kernels.sum_words))(t);
    }
    if (sink != nullptr) sink->finished(y + yo[0], n * shape_.outputs);
    done += n;
  }
}

}  // namespace h5neural

// swae_chunk.cc: the whole-chunk form of SWAE. One latent vector z stands for the chunk; a small network
// turns it into the coefficients of the modes that the weights hold, beside the mean field; what the network
// misses of a coefficient can be sent as a residual. On the lattice
//
//     base = offset + scale * (mean + sum_k modes_k c_k),   c = network(z) + residual,   scale = mantissa
//     2^-shift.
//
// The latents section is one bit stream (entropy/bit_coder.h), in this order:
//   mantissa - 2^13 (13 bits), shift (6 bits), offset / 2^t (integer) and, unless it is 0, t (5 bits);
//   precision s (4 bits): latents are multiples of 2^s; how many numbers follow (8 bits): the rest are 0;
//   where that is more than there are latents: the residuals' own precision (4 bits);
//   the numbers, latents first: the low g bits as they are and the rest as an adaptive integer, where g is
//   the logarithm of the standard deviation that training saw, in steps.
#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>

#include "entropy/bit_coder.h"
#include "exact/backend.h"
#include "exact/json.h"
#include "models/residual_cost.h"
#include "models/swae.h"

namespace h5neural {
namespace {

constexpr int32_t kMantissa = 1 << 13;
constexpr int kMaxShift = 60, kMaxPrecision = 15;
constexpr int64_t kMaxLattice = int64_t{1} << 30;
constexpr size_t kMaxNumbers = 255;

// What a latents section says.
struct Latents {
  int32_t mantissa = kMantissa, shift = 0;
  int64_t offset = 0;
  int precision = 0, residual_precision = 0;
  std::vector<int32_t> q;  // latents, then residuals, in steps
};

class SwaeChunk final : public Model {
 public:
  explicit SwaeChunk(const WeightsFile& file)
      : name_(file.name()),
        hash_(file.hash()),
        coefficients_(file.program("coefficients")),
        field_(file.program("field")),
        encoder_(file.program("encode")) {
    const std::string what = "weights '" + name_ + "'";
    const Json config = parse_json_object(file.config(), what);
    const auto extents = json_ints(config, "extents", H5N_MAX_RANK, 1, 1 << 16, what);
    extents_.rank = static_cast<int>(extents.size());
    std::copy(extents.begin(), extents.end(), extents_.n.begin());
    units_ = json_ints(config, "units", kMaxNumbers, 0, 24, what);
    scales_ = json_ints(config, "scales", kMaxNumbers, 0, 30, what);
    check_programs();
    load_basis(file);
  }

  std::string name() const override { return name_; }
  std::string family() const override { return "swae"; }
  uint64_t hash() const override { return hash_; }
  bool serves(const Extents& extents) const override { return extents == extents_; }

  void decode(ByteSpan section, const Extents& extents, std::span<int32_t> base) const override {
    if (!serves(extents) || base.size() != points_) fail_corrupt("the model does not serve these extents");
    const Latents l = read(section);
    base_of(l, run(field_, coefficients_of(l), 1)[0], base);
  }

  LatentArray latents(ByteSpan section, const Extents& extents) const override {
    if (!serves(extents)) fail_corrupt("the model does not serve these extents");
    const Latents l = read(section);
    LatentArray a;
    for (const Batch& b : inputs_of(l)) a.values.insert(a.values.end(), b.begin(), b.end());
    a.numbers = a.values.size();
    a.latents = latents_;
    a.scale = {std::ldexp(static_cast<double>(l.mantissa), -l.shift)};
    a.offset = {static_cast<double>(l.offset)};
    return a;
  }

  std::optional<Bytes> encode(std::span<const int32_t> field, const Extents& extents,
                              int32_t bin) const override;

 private:
  friend class ChunkEncoder;

  [[noreturn]] void refuse(const std::string& problem) const {
    throw Failure(H5N_ERR_CORRUPT, "h5neural: weights '" + name_ + "' are refused: " + problem +
                                       "; get the weights file again from where it came");
  }

  // coefficients: latents [K], residuals [F] (and [C]) -> [F] (and [C]); field: [F] (and [C]) -> [points].
  void check_programs() {
    points_ = extents_.count();
    const auto &c = coefficients_, &f = field_;
    if (f.outputs.size() != 1 || f.values[f.outputs[0]].count() != points_)
      refuse("the field has not the chunk's size");
    if (c.inputs != c.outputs.size() + 1 || f.inputs != c.outputs.size() || f.inputs > 2) {
      refuse("its programs do not take what the other gives");
    }
    latents_ = c.values[0].count();
    for (size_t i = 0; i < f.inputs; ++i) {
      const Value &from = c.values[c.outputs[i]], &to = f.values[i], &residual = c.values[i + 1];
      if (from.count() != to.count() || residual.count() != to.count()) refuse("its programs differ in size");
      for (size_t e = 0; e < to.count(); ++e) {
        if (from.lo[e] < to.lo[e] || from.hi[e] > to.hi[e])
          refuse("a coefficient can leave the field program's range");
      }
      modes_ += to.count();
    }
    if (units_.size() != latents_ + modes_ || scales_.size() != units_.size()) {
      refuse("'units' and 'scales' have not one number for each latent and mode");
    }
    if (encoder_.inputs != 1 || encoder_.values[0].count() != modes_ || encoder_.outputs.size() != 1 ||
        encoder_.values[encoder_.outputs[0]].count() != latents_) {
      refuse("its encoder does not fit its decoder");
    }
  }

  // The modes as the writer needs them: one matrix [points, modes], and the mean.
  void load_basis(const WeightsFile& file) {
    basis_.resize(points_ * modes_);
    size_t column = 0;
    for (const char* name : {"fine", "coarse"}) {
      const Tensor* t = file.find(name);
      if (t == nullptr) continue;
      if (t->shape.size() != 2 || t->shape[0] != points_ || column + t->shape[1] > modes_ ||
          t->type == TensorType::kInt32) {
        refuse("tensor '" + std::string(name) + "' has not the modes' shape");
      }
      for (size_t p = 0; p < points_; ++p) {
        for (size_t k = 0; k < t->shape[1]; ++k) {
          basis_[p * modes_ + column + k] = static_cast<int16_t>(t->at(p * t->shape[1] + k));
        }
      }
      column += t->shape[1];
    }
    const Tensor *mean = file.find("mean"), *sigma = file.find("sigma");
    if (column != modes_ || mean == nullptr || mean->count() != points_ || sigma == nullptr ||
        sigma->count() != modes_) {
      refuse("its modes, mean or deviations are incomplete");
    }
    for (size_t p = 0; p < points_; ++p) mean_.push_back(mean->at(p));
    for (size_t k = 0; k < modes_; ++k) sigma_.push_back(std::max(1, sigma->at(k)));
  }

  int step_shift(size_t k, const Latents& l) const {
    return static_cast<int>(units_[k]) + (k < latents_ ? l.precision : l.residual_precision);
  }
  // Low bits of number k that are sent as they are.
  int raw_bits(size_t k, const Latents& l) const {
    return std::max(0, static_cast<int>(scales_[k]) - step_shift(k, l));
  }

  Bytes write(const Latents& l) const {
    BitEncoder out;
    IntModel offset, latent, residual;
    out.raw(static_cast<uint32_t>(l.mantissa - kMantissa), 13);
    out.raw(static_cast<uint32_t>(l.shift), 6);
    const int t = l.offset == 0 ? 0 : std::min(31, std::countr_zero(static_cast<uint64_t>(l.offset)));
    offset.encode(out, static_cast<int32_t>(l.offset / (int64_t{1} << t)));
    if (l.offset != 0) out.raw(static_cast<uint32_t>(t), 5);
    out.raw(static_cast<uint32_t>(l.precision), 4);
    size_t used = l.q.size();
    while (used > 0 && l.q[used - 1] == 0) --used;
    out.raw(static_cast<uint32_t>(used), 8);
    if (used > latents_) out.raw(static_cast<uint32_t>(l.residual_precision), 4);
    for (size_t k = 0; k < used; ++k) {
      const int g = raw_bits(k, l);
      (k < latents_ ? latent : residual).encode(out, l.q[k] >> g);
      out.raw(static_cast<uint32_t>(l.q[k]) & ((1u << g) - 1), g);
    }
    return out.finish();
  }

  Latents read(ByteSpan section) const {
    BitDecoder in(section);
    IntModel offset, latent, residual;
    Latents l;
    l.mantissa = kMantissa + static_cast<int32_t>(in.raw(13));
    l.shift = static_cast<int32_t>(in.raw(6));
    l.offset = offset.decode(in);
    if (l.offset != 0) l.offset *= int64_t{1} << in.raw(5);
    l.precision = static_cast<int>(in.raw(4));
    const size_t used = in.raw(8);
    if (l.shift > kMaxShift || std::abs(l.offset) > kMaxLattice || used > units_.size())
      fail_corrupt("latents");
    if (used > latents_) l.residual_precision = static_cast<int>(in.raw(4));
    l.q.assign(units_.size(), 0);
    for (size_t k = 0; k < used; ++k) {
      const int g = raw_bits(k, l);
      const int64_t high = (k < latents_ ? latent : residual).decode(in);
      const int64_t q = high * (int64_t{1} << g) + in.raw(g);
      if (std::abs(q) > INT16_MAX) fail_corrupt("a latent is out of its range");
      l.q[k] = static_cast<int32_t>(q);
    }
    return l;
  }

  // The numbers in their own units, as inputs of the coefficients program. Clipped: an encoder's step may end
  // outside.
  std::vector<Batch> inputs_of(const Latents& l) const {
    std::vector<Batch> in(coefficients_.inputs);
    size_t k = 0;
    for (size_t v = 0; v < in.size(); ++v) {
      const Value& value = coefficients_.values[v];
      for (size_t e = 0; e < value.count(); ++e, ++k) {
        const int64_t x = int64_t{l.q[k]} * (int64_t{1} << step_shift(k, l));
        in[v].push_back(static_cast<int32_t>(std::clamp<int64_t>(x, value.lo[e], value.hi[e])));
      }
    }
    return in;
  }
  std::vector<Batch> coefficients_of(const Latents& l) const { return run(coefficients_, inputs_of(l), 1); }

  static void base_of(const Latents& l, std::span<const int32_t> y, std::span<int32_t> base) {
    const int64_t half = l.shift == 0 ? 0 : int64_t{1} << (l.shift - 1);
    for (size_t i = 0; i < y.size(); ++i) {
      const int64_t n = l.offset + ((int64_t{y[i]} * l.mantissa + half) >> l.shift);
      base[i] = static_cast<int32_t>(std::clamp(n, -kMaxLattice, kMaxLattice));
    }
  }

  // What the writer derives from the modes, once.
  struct Fit {
    std::vector<double> energy;              // sum over the points of each mode's square
    std::vector<float> mean_rest, one_rest;  // the mean and the constant 1, less their parts in the modes
    double mean_mean = 0, mean_one = 0, one_one = 0;  // products of (mean, 1) with the rests
  };
  const Fit& fit() const;
  std::vector<double> project(std::span<const float> x) const;               // basis^T x
  void subtract(std::vector<float>& x, const std::vector<double>& c) const;  // x -= basis c

  std::string name_;
  uint64_t hash_;
  Program coefficients_, field_, encoder_;
  Extents extents_;
  std::vector<int64_t> units_, scales_;
  size_t points_ = 0, latents_ = 0, modes_ = 0;
  std::vector<int16_t> basis_;  // [points, modes]
  std::vector<int32_t> mean_, sigma_;
  mutable std::once_flag fit_once_;
  mutable Fit fit_;
};

std::vector<double> SwaeChunk::project(std::span<const float> x) const {
  std::vector<double> total(modes_, 0.0);
  std::vector<float> part(modes_);
  constexpr size_t kRows = 256;  // sums of so few terms are exact enough in single precision
  for (size_t first = 0; first < points_; first += kRows) {
    std::fill(part.begin(), part.end(), 0.0f);
    for (size_t p = first; p < std::min(points_, first + kRows); ++p) {
      const int16_t* row = basis_.data() + p * modes_;
      for (size_t k = 0; k < modes_; ++k) part[k] += x[p] * static_cast<float>(row[k]);
    }
    for (size_t k = 0; k < modes_; ++k) total[k] += part[k];
  }
  return total;
}

void SwaeChunk::subtract(std::vector<float>& x, const std::vector<double>& c) const {
  const std::vector<float> f(c.begin(), c.end());
  for (size_t p = 0; p < points_; ++p) {
    const int16_t* row = basis_.data() + p * modes_;
    float sum = 0;
    for (size_t k = 0; k < modes_; ++k) sum += f[k] * static_cast<float>(row[k]);
    x[p] -= sum;
  }
}

// The modes are orthogonal up to their rounding, so a few Jacobi steps solve for coefficients.
const SwaeChunk::Fit& SwaeChunk::fit() const {
  std::call_once(fit_once_, [&] {
    fit_.energy.assign(modes_, 1e-9);
    for (size_t i = 0; i < basis_.size(); ++i)
      fit_.energy[i % modes_] += static_cast<double>(basis_[i]) * basis_[i];
    fit_.mean_rest.assign(mean_.begin(), mean_.end());
    fit_.one_rest.assign(points_, 1.0f);
    for (auto* rest : {&fit_.mean_rest, &fit_.one_rest}) {
      for (int step = 0; step < 4; ++step) {
        auto c = project(*rest);
        for (size_t k = 0; k < modes_; ++k) c[k] /= fit_.energy[k];
        subtract(*rest, c);
      }
    }
    for (size_t p = 0; p < points_; ++p) {
      fit_.mean_mean += static_cast<double>(mean_[p]) * fit_.mean_rest[p];
      fit_.mean_one += static_cast<double>(mean_[p]) * fit_.one_rest[p];
      fit_.one_one += fit_.one_rest[p];
    }
  });
  return fit_;
}

// Finds the latents of one chunk. Floats may err here: whatever is found is transmitted, and the base that
// follows is what the reader computes.
class ChunkEncoder {
 public:
  ChunkEncoder(const SwaeChunk& model, std::span<const int32_t> field, int32_t bin)
      : m_(model), field_(field), bin_(bin) {}

  std::optional<Bytes> run() {
    if (!set_scale() || !find_coefficients()) return std::nullopt;
    search();
    if (best_section_.empty()) return std::nullopt;
    return best_section_;
  }

 private:
  // scale and offset by least squares, apart from what the modes can say.
  bool set_scale() {
    const auto& f = m_.fit();
    double a = 0, b = 0;
    for (size_t p = 0; p < field_.size(); ++p) {
      a += static_cast<double>(field_[p]) * f.mean_rest[p];
      b += static_cast<double>(field_[p]) * f.one_rest[p];
    }
    const double det = f.mean_mean * f.one_one - f.mean_one * f.mean_one;
    double scale = (a * f.one_one - b * f.mean_one) / det;
    double offset = (b * f.mean_mean - a * f.mean_one) / det;
    if (!(std::fabs(offset) >= bin_ / 8.0)) {  // not worth sending: what it changes stays far inside a bin
      scale = a / f.mean_mean;
      offset = 0;
    }
    if (std::fabs(offset) > static_cast<double>(kMaxLattice) / 2) return false;
    if (!(scale > 0)) return false;
    const int exponent = std::ilogb(scale);  // mantissa in [2^13, 2^14)
    l_ = Latents{};
    l_.shift = 13 - exponent;
    if (l_.shift < 0 || l_.shift > kMaxShift) return false;
    l_.mantissa =
        std::min<int32_t>(2 * kMantissa - 1, static_cast<int32_t>(std::lround(std::ldexp(scale, l_.shift))));
    const int64_t step = int64_t{1} << std::max(0, std::ilogb(bin_ / 8.0));
    l_.offset = std::llround(offset / static_cast<double>(step)) * step;
    l_.q.assign(m_.units_.size(), 0);
    return true;
  }

  // The coefficients of the field, in their own units. False when the modes say too little of it.
  bool find_coefficients() {
    const double scale = std::ldexp(l_.mantissa, -l_.shift);
    std::vector<float> rest(field_.size());
    double mean = 0, before = 0, after = 0;
    for (size_t p = 0; p < rest.size(); ++p) {
      rest[p] = static_cast<float>((static_cast<double>(field_[p]) - static_cast<double>(l_.offset)) / scale -
                                   m_.mean_[p]);
      mean += field_[p];
    }
    mean /= static_cast<double>(field_.size());
    c_.assign(m_.modes_, 0.0);
    for (int step = 0; step < 2; ++step) {
      auto more = m_.project(rest);
      for (size_t k = 0; k < c_.size(); ++k) {
        more[k] /= m_.fit().energy[k];
        c_[k] += more[k];
      }
      m_.subtract(rest, more);
    }
    for (size_t p = 0; p < rest.size(); ++p) {
      before += (field_[p] - mean) * (field_[p] - mean);
      after += static_cast<double>(rest[p]) * rest[p] * scale * scale;
    }
    return after < before / 16;
  }

  // The coefficients that the network gives for latents z, in steps of 2^precision; one row for each
  // candidate.
  std::vector<std::vector<double>> network(const std::vector<std::vector<int32_t>>& candidates) const {
    std::vector<Batch> in(m_.coefficients_.inputs);
    for (const auto& z : candidates) {
      for (size_t k = 0; k < z.size(); ++k) {
        const Value& v = m_.coefficients_.values[0];
        in[0].push_back(std::clamp(z[k], v.lo[k], v.hi[k]));
      }
    }
    for (size_t v = 1; v < in.size(); ++v)
      in[v].assign(candidates.size() * m_.coefficients_.values[v].count(), 0);
    const auto out = h5neural::run(m_.coefficients_, in, candidates.size());
    std::vector<std::vector<double>> rows(candidates.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      for (const Batch& part : out) {
        const size_t n = part.size() / rows.size();
        rows[i].insert(rows[i].end(), part.begin() + static_cast<ptrdiff_t>(i * n),
                       part.begin() + static_cast<ptrdiff_t>((i + 1) * n));
      }
    }
    return rows;
  }

  // Squared distance to the field's coefficients, in the field's own norm.
  double distance(const std::vector<double>& c) const {
    double d = 0;
    for (size_t k = 0; k < c.size(); ++k) d += (c[k] - c_[k]) * (c[k] - c_[k]) * m_.fit().energy[k];
    return d;
  }

  std::vector<int32_t> first_guess() const {
    std::vector<Batch> in(1);
    for (size_t k = 0; k < m_.modes_; ++k) {
      const double u = c_[k] * 256 / m_.sigma_[k] * 1024;  // sigma in 2^-8 of the coefficient's unit
      in[0].push_back(static_cast<int32_t>(std::clamp(u, -8191.0, 8191.0)));
    }
    const Batch correction = h5neural::run(m_.encoder_, in, 1)[0];
    std::vector<int32_t> z(m_.latents_);
    for (size_t k = 0; k < z.size(); ++k) {
      z[k] = static_cast<int32_t>(std::lround(std::clamp(c_[k], -30000.0, 30000.0))) + correction[k];
    }
    return z;
  }

  // Gauss-Newton on the integer network, its derivatives from differences.
  std::vector<int32_t> refine(std::vector<int32_t> z) const {
    constexpr int kStep = 16;
    const size_t n = z.size();
    double best = distance(network({z})[0]);
    for (int iteration = 0; iteration < 3; ++iteration) {
      std::vector<std::vector<int32_t>> candidates(2 * n, z);
      for (size_t k = 0; k < n; ++k) {
        candidates[2 * k][k] += kStep;
        candidates[2 * k + 1][k] -= kStep;
      }
      candidates.push_back(z);
      const auto y = network(candidates);
      std::vector<std::vector<double>> slope(n, std::vector<double>(m_.modes_));
      for (size_t k = 0; k < n; ++k) {
        for (size_t j = 0; j < m_.modes_; ++j) slope[k][j] = (y[2 * k][j] - y[2 * k + 1][j]) / (2 * kStep);
      }
      const auto move = solve(slope, y.back());
      std::vector<int32_t> next = z;
      for (size_t k = 0; k < n; ++k)
        next[k] += static_cast<int32_t>(std::lround(std::clamp(move[k], -4096.0, 4096.0)));
      const double d = distance(network({next})[0]);
      if (!(d < best)) break;
      best = d;
      z = next;
    }
    return z;
  }

  // Normal equations (J^T E J + small) x = J^T E (c - y), by Cholesky without pivots.
  std::vector<double> solve(const std::vector<std::vector<double>>& slope,
                            const std::vector<double>& y) const {
    const size_t n = slope.size();
    std::vector<double> a(n * n), x(n, 0.0);
    const auto& e = m_.fit().energy;
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < m_.modes_; ++j) x[i] += slope[i][j] * e[j] * (c_[j] - y[j]);
      for (size_t k = 0; k <= i; ++k) {
        for (size_t j = 0; j < m_.modes_; ++j) a[i * n + k] += slope[i][j] * e[j] * slope[k][j];
      }
    }
    double trace = 0;
    for (size_t i = 0; i < n; ++i) trace += a[i * n + i];
    for (size_t i = 0; i < n; ++i) a[i * n + i] += 1e-6 * trace + 1e-9;
    for (size_t i = 0; i < n; ++i) {
      for (size_t k = 0; k <= i; ++k) {
        double s = a[i * n + k];
        for (size_t j = 0; j < k; ++j) s -= a[i * n + j] * a[k * n + j];
        a[i * n + k] = i == k ? std::sqrt(std::max(s, 1e-12)) : s / a[k * n + k];
      }
    }
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < i; ++j) x[i] -= a[i * n + j] * x[j];
      x[i] /= a[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
      for (size_t j = i + 1; j < n; ++j) x[i] -= a[j * n + i] * x[j];
      x[i] /= a[i * n + i];
    }
    return x;
  }

  // Rounds to multiples of 2^precision, then moves single latents by a step while that brings the network
  // closer.
  std::vector<int32_t> round_latents(const std::vector<int32_t>& z, int precision) const {
    const int32_t step = 1 << precision;
    std::vector<int32_t> q(z.size());
    for (size_t k = 0; k < z.size(); ++k)
      q[k] = static_cast<int32_t>(std::lround(static_cast<double>(z[k]) / step)) * step;
    double best = distance(network({q})[0]);
    for (int round = 0; round < 6; ++round) {
      std::vector<std::vector<int32_t>> candidates(2 * q.size(), q);
      for (size_t k = 0; k < q.size(); ++k) {
        candidates[2 * k][k] += step;
        candidates[2 * k + 1][k] -= step;
      }
      const auto y = network(candidates);
      size_t winner = candidates.size();
      for (size_t i = 0; i < y.size(); ++i) {
        if (const double d = distance(y[i]); d < best) best = d, winner = i;
      }
      if (winner == candidates.size()) break;
      q = candidates[winner];
    }
    return q;
  }

  // All precisions from fine to coarse, with and without residuals; keeps the cheapest in best_section_.
  void search() {
    const std::vector<int32_t> z = refine(first_guess());
    double last = 1e300;
    for (int precision = 1; precision <= 9; ++precision) {
      Latents l = l_;
      l.precision = precision;
      const auto rounded = round_latents(z, precision);
      for (size_t k = 0; k < rounded.size(); ++k) l.q[k] = rounded[k] >> precision;
      double cost = consider(l);
      const auto y = network({rounded})[0];
      for (int coarser = 0; coarser <= 3; ++coarser) {
        l.residual_precision = std::min(precision + coarser, kMaxPrecision);
        set_residuals(l, y);
        cost = std::min(cost, consider(l));
      }
      if (cost > 1.5 * last) break;  // coarser only gets worse
      last = std::min(last, cost);
    }
  }

  // Residuals of at least 0.7 steps; smaller ones cost more than they bring.
  void set_residuals(Latents& l, const std::vector<double>& y) const {
    for (size_t k = 0; k < m_.modes_; ++k) {
      const size_t at = m_.latents_ + k;
      const double r = (c_[k] - y[k]) / std::ldexp(1.0, m_.step_shift(at, l));
      const double magnitude = std::floor(std::fabs(r) + 0.3);
      l.q[at] = static_cast<int32_t>(std::copysign(std::min(magnitude, 16000.0), r));
    }
  }

  double consider(const Latents& l) {
    Bytes section = m_.write(l);
    std::vector<int32_t> base(field_.size());
    SwaeChunk::base_of(l, h5neural::run(m_.field_, m_.coefficients_of(l), 1)[0], base);
    const double cost = 8.0 * static_cast<double>(section.size()) + residual_entropy(field_, base, bin_);
    if (cost < best_cost_) {
      best_cost_ = cost;
      best_section_ = std::move(section);
    }
    return cost;
  }

  const SwaeChunk& m_;
  std::span<const int32_t> field_;
  int32_t bin_;
  Latents l_;
  std::vector<double> c_;
  double best_cost_ = 1e300;
  Bytes best_section_;
};

std::optional<Bytes> SwaeChunk::encode(std::span<const int32_t> field, const Extents& extents,
                                       int32_t bin) const {
  if (!serves(extents) || field.size() != points_ || bin < 1) return std::nullopt;
  return ChunkEncoder(*this, field, bin).run();
}

}  // namespace

std::shared_ptr<const Model> make_swae_chunk(const WeightsFile& file) {
  return std::make_shared<SwaeChunk>(file);
}

}  // namespace h5neural

// linear.cc: see linear.h. With basis fields B_k and their exponents e_k (2^e_k is about the root mean square
// of B_k), E the largest of these, and latents q_k, a point p of the base is
//
//     base = offset + (sum_k q_k 2^(E - e_k) B_k[p] + 2^(shift-1)) >> shift         clipped to +-2^30
//
// so that one step of any latent moves the base by about 2^(E - shift) lattice units in the mean. The sum
// stays below 2^15 * 2^31 * 2^8 = 2^54: latents are refused whose product with 2^(E - e_k) leaves 32 bits.
//
// The latents section is one bit stream (entropy/bit_coder.h):
//   shift (6 bits); offset / 2^u (integer) and, unless it is 0, u (5 bits); n (8 bits): of each vector the
//   first n numbers follow, the rest are 0; one vector for the chunk: level (5 bits), then each number: its
//   low g bits as they are, the rest as an adaptive integer, g = level - scale_k, at least 0; blocks: the
//   vectors in row-major order, each number as an adaptive integer of its own place, the first one less that
//   of the block before.
#include "models/linear.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <mutex>

#include "corrections/walk.h"
#include "entropy/bit_coder.h"
#include "exact/json.h"
#include "models/residual_cost.h"

namespace h5neural {
namespace {

constexpr int64_t kMaxLattice = int64_t{1} << 30;
constexpr int kMaxShift = 61, kMaxLevel = 31, kMaxStepBits = 24;
constexpr uint64_t kMostPadding = 8;  // blocks may hold so many times the points of the chunk

// What a latents section says.
struct Latents {
  int shift = 0, level = 0;
  int64_t offset = 0;
  size_t used = 0;         // numbers of a vector that are sent
  std::vector<int32_t> q;  // [blocks, modes]
};

// The blocks of a chunk, in row-major order. One block where the chunk is the block.
class Grid {
 public:
  Grid(const Extents& chunk, const Extents& block) : chunk_(chunk), block_(block) {
    for (int a = 0; a < chunk.rank; ++a) blocks_.push_back((chunk.n[a] + block.n[a] - 1) / block.n[a]);
  }
  const std::vector<uint64_t>& blocks() const { return blocks_; }
  size_t count() const {
    size_t c = 1;
    for (const uint64_t n : blocks_) c *= n;
    return c;
  }

  // Calls row(p, at, inside) for each row of block b: its points start at p in the block and at `at` in the
  // chunk, where `inside` of them lie; rows outside of the chunk come with the nearest row's `at` and
  // inside = -(the number of that row's points).
  template <class Row>
  void each_row(size_t b, Row&& row) const {
    const int rank = chunk_.rank;
    std::array<uint64_t, H5N_MAX_RANK> first{}, at{};
    for (int a = rank - 1; a >= 0; --a) {
      first[a] = b % blocks_[a] * block_.n[a];
      b /= blocks_[a];
    }
    const uint64_t length = block_.n[rank - 1];
    const auto some = static_cast<int64_t>(std::min(length, chunk_.n[rank - 1] - first[rank - 1]));
    for (size_t p = 0; p < block_.count(); p += length) {
      uint64_t index = 0;
      bool inside = true;
      for (int a = 0; a < rank; ++a) {
        const uint64_t x = first[a] + at[a];
        inside = inside && x < chunk_.n[a];
        index = index * chunk_.n[a] + std::min(x, chunk_.n[a] - 1);
      }
      row(p, index, inside ? some : -some);
      for (int a = rank - 2; a >= 0; --a) {
        if (++at[a] < block_.n[a]) break;
        at[a] = 0;
      }
    }
  }

 private:
  const Extents &chunk_, &block_;
  std::vector<uint64_t> blocks_;
};

// Solves A x = b for the leading n rows and columns of the symmetric matrix A [size, size], by Cholesky's
// decomposition with a little added to the diagonal.
std::vector<double> solve(const std::vector<double>& a, size_t size, std::vector<double> b, size_t n) {
  std::vector<double> l(n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k <= i; ++k) {
      double s = a[i * size + k] * (i == k ? 1 + 1e-10 : 1);
      for (size_t j = 0; j < k; ++j) s -= l[i * n + j] * l[k * n + j];
      l[i * n + k] = i == k ? std::sqrt(std::max(s, 1e-10 * a[i * size + i] + 1e-30)) : s / l[k * n + k];
    }
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < i; ++j) b[i] -= l[i * n + j] * b[j];
    b[i] /= l[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t j = i + 1; j < n; ++j) b[i] -= l[j * n + i] * b[j];
    b[i] /= l[i * n + i];
  }
  b.resize(n);
  return b;
}

class Linear final : public Model {
 public:
  explicit Linear(const WeightsFile& file) : name_(file.name()), hash_(file.hash()) {
    const std::string what = "weights '" + name_ + "'";
    const Json config = parse_json_object(file.config(), what);
    const std::string form = json_string(config, "form", what);
    if (form != "chunk" && form != "block") {
      throw Failure(H5N_ERR_CORRUPT, "h5neural: " + what +
                                         " are of a form of linear that this version does not know; install "
                                         "a newer h5neural");
    }
    whole_ = form == "chunk";
    const auto extents = json_ints(config, "extents", H5N_MAX_RANK, 1, 1 << 22, what);
    if (extents.empty()) refuse("its extents are empty");
    block_.rank = static_cast<int>(extents.size());
    std::copy(extents.begin(), extents.end(), block_.n.begin());
    exponents_ = json_ints(config, "exponents", kMostLinearModes, 0, kMostLinearExponent, what);
    scales_ = json_ints(config, "scales", kMostLinearModes, 0, kMaxLevel, what);
    modes_ = exponents_.size();
    if (modes_ == 0 || scales_.size() != modes_)
      refuse("'exponents' and 'scales' have not one number a mode");
    top_ = *std::max_element(exponents_.begin(), exponents_.end());
    points_ = 1;  // cannot overflow: checked at every step
    for (const int64_t n : extents) {
      points_ *= static_cast<uint64_t>(n);
      if (points_ * modes_ > kMostLinearNumbers) refuse("its basis is too large");
    }
    if (!whole_ && points_ > kMostLinearBlock) refuse("its blocks are too large");
    load_basis(file, json_ints(config, "bytes", kMostLinearModes, 0, INT32_MAX, what),
               json_ints(config, "bits", kMostLinearModes, 0, kMaxStepBits, what));
  }

  std::string name() const override { return name_; }
  std::string family() const override { return "linear"; }
  uint64_t hash() const override { return hash_; }
  bool general() const override { return !whole_; }

  bool serves(const Extents& e) const override {
    if (whole_ || e.rank != block_.rank) return whole_ && e == block_;
    uint64_t count = 1, padded = 1;
    for (int a = 0; a < e.rank; ++a) {
      if (e.n[a] == 0 || e.n[a] > (uint64_t{1} << 31)) return false;
      count *= e.n[a];
      padded *= (e.n[a] + block_.n[a] - 1) / block_.n[a] * block_.n[a];
      if (count > (uint64_t{1} << 31) || padded > (uint64_t{1} << 32)) return false;
    }
    return padded <= kMostPadding * count;
  }

  void decode(ByteSpan section, const Extents& extents, std::span<int32_t> base) const override {
    check_extents(extents);
    if (base.size() != extents.count()) fail_corrupt("the model does not serve these extents");
    const Grid grid(extents, block_);
    fill(read(section, grid.count()), grid, base);
  }

  // Numbers are q_k 2^(E - e_k); their sum over the basis fields is what scale and offset belong to.
  LatentArray latents(ByteSpan section, const Extents& extents) const override {
    check_extents(extents);
    const Grid grid(extents, block_);
    const Latents l = read(section, grid.count());
    LatentArray a;
    if (!whole_) a.grid = grid.blocks();
    a.numbers = a.latents = modes_;
    for (size_t i = 0; i < l.q.size(); ++i) a.values.push_back(weight(l.q[i], i % modes_));
    a.scale.assign(grid.count(), std::ldexp(1.0, -l.shift));
    a.offset.assign(grid.count(), static_cast<double>(l.offset));
    return a;
  }

  std::optional<Bytes> encode(std::span<const int32_t> field, const Extents& extents,
                              int32_t bin) const override;

 private:
  friend class LinearEncoder;

  [[noreturn]] void refuse(const std::string& problem) const {
    throw Failure(H5N_ERR_CORRUPT, "h5neural: weights '" + name_ + "' are refused: " + problem +
                                       "; get the weights file again from where it came");
  }

  void check_extents(const Extents& extents) const {
    if (!serves(extents)) fail_corrupt("the model does not serve these extents");
  }

  void load_basis(const WeightsFile& file, const std::vector<int64_t>& bytes,
                  const std::vector<int64_t>& bits) {
    const Tensor* t = file.find("basis");
    if (t == nullptr || t->type != TensorType::kInt8) refuse("it has no basis");
    if (bytes.size() != modes_ || bits.size() != modes_)
      refuse("'bytes' and 'bits' have not one number a mode");
    basis_.resize(modes_ * points_);
    ByteSpan left = t->bytes;
    std::vector<int32_t> field(points_);
    for (size_t k = 0; k < modes_; ++k) {
      const auto size = static_cast<size_t>(bytes[k]);
      if (size > left.size()) refuse("its basis ends early");
      WalkInput in;
      in.n = fold(block_);
      in.step_bits = static_cast<int>(bits[k]);
      try {
        decode_walk(in, left.first(size), field);
      } catch (const Failure&) {
        refuse("mode " + std::to_string(k) + " of its basis is damaged");
      }
      left = left.subspan(size);
      constexpr int32_t kMost = (1 << kLinearBits) - 1;
      for (size_t p = 0; p < points_; ++p)
        basis_[k * points_ + p] = static_cast<int16_t>(std::clamp(field[p], -kMost, kMost));
    }
    if (!left.empty()) refuse("its basis has bytes to spare");
  }

  // What a latent is multiplied with the basis field by; q is in its range.
  int32_t weight(int32_t q, size_t k) const { return q * (1 << (top_ - exponents_[k])); }
  int64_t most(size_t k) const { return INT32_MAX >> (top_ - exponents_[k]); }
  // Low bits of number k that are sent as they are.
  int raw_bits(size_t k, int level) const { return std::max(0, level - static_cast<int>(scales_[k])); }

  Bytes write(const Latents& l) const {
    BitEncoder out;
    out.raw(static_cast<uint32_t>(l.shift), 6);
    IntModel offset;
    const int u = l.offset == 0 ? 0 : std::countr_zero(static_cast<uint64_t>(l.offset));
    offset.encode(out, static_cast<int32_t>(l.offset / (int64_t{1} << u)));
    if (l.offset != 0) out.raw(static_cast<uint32_t>(u), 5);
    out.raw(static_cast<uint32_t>(l.used), 8);
    std::vector<IntModel> models(whole_ ? 1 : l.used);
    if (whole_) out.raw(static_cast<uint32_t>(l.level), 5);
    int32_t last = 0;
    for (size_t b = 0; b < l.q.size(); b += modes_) {
      for (size_t k = 0; k < l.used; ++k) {
        const int32_t q = l.q[b + k];
        if (whole_) {
          const int g = raw_bits(k, l.level);
          models[0].encode(out, q >> g);
          put_low(out, static_cast<uint32_t>(q), g);
        } else {
          models[k].encode(out, k == 0 ? q - last : q);
        }
      }
      last = l.q[b];
    }
    return out.finish();
  }

  static void put_low(BitEncoder& out, uint32_t q, int g) {
    if (g > 0) out.raw(q & ((uint32_t{1} << g) - 1), g);
  }

  Latents read(ByteSpan section, size_t blocks) const {
    BitDecoder in(section);
    Latents l;
    l.shift = static_cast<int>(in.raw(6));
    IntModel offset;
    l.offset = offset.decode(in);
    if (l.offset != 0) l.offset *= int64_t{1} << in.raw(5);
    l.used = in.raw(8);
    if (l.shift > kMaxShift || std::abs(l.offset) > kMaxLattice || l.used > modes_) fail_corrupt("latents");
    if (whole_) l.level = static_cast<int>(in.raw(5));
    l.q.assign(blocks * modes_, 0);
    std::vector<IntModel> models(whole_ ? 1 : l.used);
    int64_t last = 0;
    for (size_t b = 0; b < l.q.size(); b += modes_) {
      for (size_t k = 0; k < l.used; ++k) {
        int64_t q = models[whole_ ? 0 : k].decode(in);
        if (whole_) {
          const int g = raw_bits(k, l.level);
          q = q * (int64_t{1} << g) + (g > 0 ? in.raw(g) : 0);
        } else if (k == 0) {
          q += last;
        }
        if (std::abs(q) > most(k)) fail_corrupt("a latent is out of its range");
        l.q[b + k] = static_cast<int32_t>(q);
      }
      last = l.q[b];
    }
    return l;
  }

  void fill(const Latents& l, const Grid& grid, std::span<int32_t> base) const {
    if (whole_) {
      sum_block(l, 0, base);
      return;
    }
    std::vector<int32_t> block(points_);
    for (size_t b = 0; b < grid.count(); ++b) {
      sum_block(l, b, block);
      grid.each_row(b, [&](size_t p, size_t at, int64_t inside) {
        if (inside > 0) std::copy_n(block.begin() + static_cast<ptrdiff_t>(p), inside, &base[at]);
      });
    }
  }

  void sum_block(const Latents& l, size_t b, std::span<int32_t> out) const {
    constexpr size_t kRun = 512;  // points at a time, so that sums stay near
    std::array<int64_t, kRun> sum;
    const int64_t half = l.shift == 0 ? 0 : int64_t{1} << (l.shift - 1);
    for (size_t first = 0; first < points_; first += kRun) {
      const size_t n = std::min(kRun, points_ - first);
      sum.fill(half);
      for (size_t k = 0; k < l.used; ++k) {
        const int64_t w = weight(l.q[b * modes_ + k], k);
        if (w == 0) continue;
        const int16_t* mode = basis_.data() + k * points_ + first;
        for (size_t i = 0; i < n; ++i) sum[i] += w * mode[i];
      }
      for (size_t i = 0; i < n; ++i) {
        out[first + i] =
            static_cast<int32_t>(std::clamp(l.offset + (sum[i] >> l.shift), -kMaxLattice, kMaxLattice));
      }
    }
  }

  // What the writer derives from the basis, once: products of all pairs of fields, the constant 1 the last.
  const std::vector<double>& gram() const;
  double product(size_t k, std::span<const float> x) const;

  std::string name_;
  uint64_t hash_;
  bool whole_ = true;
  Extents block_;
  std::vector<int64_t> exponents_, scales_;
  int64_t top_ = 0;
  size_t modes_ = 0;
  uint64_t points_ = 0;         // of the chunk or block
  std::vector<int16_t> basis_;  // [modes, points]
  mutable std::once_flag gram_once_;
  mutable std::vector<double> gram_;  // [modes + 1, modes + 1]
};

double Linear::product(size_t k, std::span<const float> x) const {
  constexpr size_t kRun = 256;  // sums of so few terms are exact enough in single precision
  const int16_t* mode = basis_.data() + k * points_;
  double total = 0;
  for (size_t first = 0; first < points_; first += kRun) {
    const size_t n = std::min<size_t>(kRun, points_ - first);
    std::array<float, 8> part{};
    for (size_t i = 0; i + 8 <= n; i += 8) {
      for (size_t j = 0; j < 8; ++j) part[j] += x[first + i + j] * static_cast<float>(mode[first + i + j]);
    }
    for (size_t i = n / 8 * 8; i < n; ++i) part[0] += x[first + i] * static_cast<float>(mode[first + i]);
    for (const float v : part) total += v;
  }
  return total;
}

const std::vector<double>& Linear::gram() const {
  std::call_once(gram_once_, [&] {
    const size_t size = modes_ + 1;
    gram_.assign(size * size, 0);
    std::vector<float> x(points_);
    for (size_t k = 0; k < size; ++k) {
      for (size_t p = 0; p < points_; ++p)
        x[p] = k < modes_ ? static_cast<float>(basis_[k * points_ + p]) : 1.0f;
      for (size_t j = 0; j < modes_; ++j) gram_[k * size + j] = gram_[j * size + k] = product(j, x);
    }
    gram_.back() = static_cast<double>(points_);
  });
  return gram_;
}

// Finds the latents of one chunk. Floats may err here: whatever is found is transmitted.
class LinearEncoder {
 public:
  LinearEncoder(const Linear& model, std::span<const int32_t> field, const Extents& extents, int32_t bin)
      : m_(model), field_(field), extents_(extents), bin_(bin), grid_(extents, model.block_) {}

  std::optional<Bytes> run() {
    project();
    offset_ = m_.whole_ && offset_pays();
    search();
    if (best_section_.empty() || best_cost_ >= most_useful()) return std::nullopt;
    return best_section_;
  }

 private:
  // Products of each block with the basis fields and with 1.
  void project() {
    std::vector<float> x(m_.points_);
    for (size_t b = 0; b < grid_.count(); ++b) {
      grid_.each_row(b, [&](size_t p, size_t at, int64_t inside) {
        const auto n = static_cast<size_t>(std::abs(inside));
        const auto length = m_.block_.n[static_cast<size_t>(m_.block_.rank - 1)];
        for (size_t i = 0; i < length; ++i) x[p + i] = static_cast<float>(field_[at + std::min(i, n - 1)]);
      });
      for (size_t k = 0; k < m_.modes_; ++k) products_.push_back(m_.product(k, x));
      double sum = 0;
      for (const float v : x) sum += v;
      products_.push_back(sum);
    }
  }

  // What the leading n basis fields say of the chunk: coefficients in units of the fields, [blocks, n].
  struct Fit {
    std::vector<double> c;
    double offset = 0;
  };

  // Normal equations of one block: the leading n fields, and the constant 1 the last.
  struct Equations {
    std::vector<double> left, right;
  };
  Equations equations(size_t n, size_t b) const {
    const size_t size = m_.modes_ + 1;
    const auto& g = m_.gram();
    const auto at = [&](size_t i) { return i < n ? i : m_.modes_; };
    Equations e;
    for (size_t i = 0; i <= n; ++i) {
      for (size_t j = 0; j <= n; ++j) e.left.push_back(g[at(i) * size + at(j)]);
      e.right.push_back(products_[b * size + at(i)]);
    }
    return e;
  }

  const Fit& fit(size_t n, bool stressed) {
    const auto known = fits_.find({n, stressed});
    if (known != fits_.end()) return known->second;
    Fit f;
    for (size_t b = 0; b < grid_.count(); ++b) {
      Equations e = equations(n, b);
      auto x = solve(e.left, n + 1, e.right, offset_ ? n + 1 : n);
      for (int round = 0; round < (stressed ? kRounds : 0); ++round) {
        if (!stress(e, x, n)) break;
        x = solve(e.left, n + 1, e.right, x.size());
      }
      if (offset_) f.offset = x.back();
      f.c.insert(f.c.end(), x.begin(), x.begin() + static_cast<ptrdiff_t>(n));
    }
    return fits_[{n, stressed}] = std::move(f);
  }

  // Corrections pay for the points outside of their bin, not for the mean square: such points get more weight
  // (iteratively reweighted least squares; Lawson, 1961). False when there are none.
  bool stress(Equations& e, const std::vector<double>& x, size_t n) {
    rest_.assign(field_.begin(), field_.end());
    for (size_t k = 0; k < x.size(); ++k) {
      const auto c = static_cast<float>(x[k]);
      const int16_t* mode = m_.basis_.data() + k * m_.points_;
      for (size_t p = 0; p < rest_.size(); ++p) rest_[p] -= c * (k < n ? static_cast<float>(mode[p]) : 1.0f);
    }
    std::vector<std::pair<float, size_t>> outside;
    const float limit = kInside * static_cast<float>(bin_);
    for (size_t p = 0; p < rest_.size(); ++p) {
      if (std::fabs(rest_[p]) > limit) outside.emplace_back(-std::fabs(rest_[p]), p);
    }
    if (outside.empty()) return false;
    if (outside.size() > kMostStressed) {
      std::nth_element(outside.begin(), outside.begin() + kMostStressed, outside.end());
      outside.resize(kMostStressed);
    }
    std::vector<double> row(n + 1, 1.0);
    for (const auto& [negative, p] : outside) {
      const double ratio = -static_cast<double>(negative) / limit,
                   w = std::min(kMostWeight, std::pow(ratio, 4));
      for (size_t k = 0; k < n; ++k) row[k] = m_.basis_[k * m_.points_ + p];
      for (size_t i = 0; i <= n; ++i) {
        for (size_t j = 0; j <= n; ++j) e.left[i * (n + 1) + j] += w * row[i] * row[j];
        e.right[i] += w * row[i] * field_[p];
      }
    }
    return true;
  }

  // Whether an offset is worth sending: it moves the field by more than a small part of a bin.
  bool offset_pays() {
    offset_ = true;
    const double offset = fit(m_.modes_, false).offset;
    fits_.clear();
    return std::fabs(offset) >= bin_ / 8.0 && std::fabs(offset) < static_cast<double>(kMaxLattice) / 2;
  }

  // First how many fields with a fine step, then the step. Fields with a peak need finer ones than their mean
  // square says.
  void search() {
    constexpr int kFirst = 6, kCoarsest = -1, kFinest = 12;
    size_t best_n = m_.modes_;
    double last = 1e300;
    for (size_t n = m_.modes_; n > 0; n = n * 2 / 3) {
      const double cost = consider(n, kFirst);
      if (cost < last) best_n = n;
      if (cost > 1.1 * last) break;
      last = std::min(last, cost);
    }
    for (const int direction : {1, -1}) {
      double before = last;
      for (int finer = kFirst + direction; finer >= kCoarsest && finer <= kFinest; finer += direction) {
        const double cost = consider(best_n, finer);
        if (cost > before) break;
        before = cost;
      }
    }
  }

  // Latents in steps of 2^-finer bins; its cost in bits.
  double consider(size_t n, int finer) {
    const double plain = consider(n, finer, false);
    return m_.whole_ ? std::min(plain, consider(n, finer, true)) : plain;
  }
  double consider(size_t n, int finer, bool stressed) {
    Latents l;
    const int step = std::ilogb(bin_) - finer;  // logarithm, lattice units
    l.shift = std::clamp(static_cast<int>(m_.top_) - step, 0, kMaxShift);
    l.q.assign(grid_.count() * m_.modes_, 0);
    const auto& [c, offset] = fit(n, stressed);
    const int fine = std::max(0, std::ilogb(bin_) - 3);
    l.offset = std::llround(std::ldexp(offset, -fine)) * (int64_t{1} << fine);
    for (size_t i = 0; i < c.size(); ++i) {
      const size_t k = i % n;
      const double q = std::ldexp(c[i], l.shift - static_cast<int>(m_.top_ - m_.exponents_[k]));
      if (!(std::fabs(q) < static_cast<double>(m_.most(k)))) return 1e300;
      const double magnitude = std::floor(std::fabs(q) + (k == 0 ? 0.5 : 0.4));
      l.q[i / n * m_.modes_ + k] = static_cast<int32_t>(std::copysign(magnitude, q));
      if (magnitude > 0) l.used = std::max(l.used, k + 1);
    }
    if (l.used == 0) return 1e300;
    if (m_.whole_) l.level = best_level(l);
    Bytes section = m_.write(l);
    base_.resize(field_.size());
    m_.fill(l, grid_, base_);
    const double cost = 8.0 * static_cast<double>(section.size()) + corrections_cost();
    if (cost < best_cost_) {
      best_cost_ = cost;
      best_section_ = std::move(section);
    }
    return cost;
  }

  // About the bits of the corrections: the entropy of what is left in bins, and, where little is, what it
  // takes to say where that is (measured on two-puncture fields: 12 bytes times the square root of the number
  // of points outside of their bin, up to 60 bytes).
  double corrections_cost() const {
    size_t outside = 0;
    for (size_t p = 0; p < base_.size(); ++p) outside += std::abs(int64_t{field_[p]} - base_[p]) > bin_ / 2;
    return residual_entropy(field_, base_, bin_) +
           8 * std::min(60.0, 12 * std::sqrt(static_cast<double>(outside)));
  }

  // The level under which the numbers take the fewest bits, by about what an adaptive integer takes.
  int best_level(const Latents& l) const {
    int best = 0;
    double least = 1e300;
    for (int level = 0; level <= kMaxLevel; ++level) {
      double bits = 0;
      for (size_t k = 0; k < l.used; ++k) {
        const int g = m_.raw_bits(k, level);
        const int32_t high = l.q[k] >> g;
        bits += g + 1 + 2 * std::log2(1 + std::fabs(static_cast<double>(high)));
      }
      if (bits < least) least = bits, best = level;
    }
    return best;
  }

  // A base must take away much of what there is to say, or the corrections alone do better.
  double most_useful() const {
    const std::vector<int32_t> none(field_.size(), static_cast<int32_t>(mean()));
    const double plain = residual_entropy(field_, none, bin_);
    return m_.whole_ || extents_.rank != 3 ? plain : std::min(plain, plain_entropy(field_, extents_, bin_));
  }
  double mean() const {
    double sum = 0;
    for (const int32_t v : field_) sum += v;
    return sum / static_cast<double>(field_.size());
  }

  static constexpr int kRounds = 4;              // of reweighting
  static constexpr float kInside = 0.3f;         // of a bin: what may be left without more weight
  static constexpr size_t kMostStressed = 2000;  // points a round
  static constexpr double kMostWeight = 1000;    // a point a round

  const Linear& m_;
  std::span<const int32_t> field_;
  const Extents& extents_;
  int32_t bin_;
  Grid grid_;
  std::map<std::pair<size_t, bool>, Fit> fits_;  // by number of fields, with and without stress
  std::vector<float> rest_;
  bool offset_ = false;
  std::vector<double> products_;  // [blocks, modes + 1]
  std::vector<int32_t> base_;
  double best_cost_ = 1e300;
  Bytes best_section_;
};

std::optional<Bytes> Linear::encode(std::span<const int32_t> field, const Extents& extents,
                                    int32_t bin) const {
  if (!serves(extents) || field.size() != extents.count() || bin < 1) return std::nullopt;
  return LinearEncoder(*this, field, extents, bin).run();
}

}  // namespace

std::shared_ptr<const Model> make_linear(const WeightsFile& file) { return std::make_shared<Linear>(file); }

}  // namespace h5neural

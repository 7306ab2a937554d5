// swae_block.cc: the first form of SWAE in blocks, which swae_blocks.h has replaced in training: blocks of
// 5^3, each normalised by its own middle and range, 16 latents a block. A chunk of any extents of rank 3 is
// cut into blocks; the last ones are padded by repeating the border. A block that needs no latents is flat:
// its base is its middle.
//
// The latents section is one bit stream (entropy/bit_coder.h):
//   t (5 bits): middles and flat blocks' values are multiples of 2^t; precision s (4 bits): latents are
//   multiples of 2^s; then for each block in row-major order: the middle (its difference from the Lorenzo
//   prediction of the blocks before it along each axis, Ibarria et al., 2003), whether it has latents, and if
//   so its range (a piecewise-linear logarithm with four steps an octave, its difference from the last one)
//   and its latents.
//
//     base = middle + (decoder(latents) * range) >> 13
#include <algorithm>
#include <cmath>

#include "entropy/bit_coder.h"
#include "exact/backend.h"
#include "exact/json.h"
#include "models/residual_cost.h"
#include "models/swae.h"

namespace h5neural {
namespace {

constexpr int kFraction = 13;  // of normalised values: (x - middle) / range in units of 2^-13
constexpr int64_t kMaxLattice = int64_t{1} << 30;
constexpr int32_t kRangeCodes = 128;  // up to 7 * 2^30

// 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, ...
int64_t range_of(int32_t code) { return int64_t{4 + (code & 3)} << (code >> 2); }
int32_t range_code(int64_t range) {
  int32_t code = 0;
  while (code + 1 < kRangeCodes && range_of(code) < range) ++code;
  return code;
}

struct Block {
  int64_t middle = 0;  // in steps of 2^t
  bool latents = false;
  int32_t range = 0;  // a code
  std::vector<int32_t> q;
};

// The blocks of a chunk.
struct Grid {
  Grid(const Extents& extents, uint64_t block_edge) : edge(block_edge) {
    for (int a = 0; a < 3; ++a) {
      n[a] = extents.n[a];
      blocks[a] = (n[a] + edge - 1) / edge;
    }
  }
  size_t count() const { return blocks[0] * blocks[1] * blocks[2]; }

  // Calls f(position in the block, position in the chunk) for all points of block b; border points are
  // repeated for those outside when `padded`, and left out otherwise.
  template <class F>
  void each(size_t b, bool padded, F&& f) const {
    const uint64_t at[3] = {b / (blocks[1] * blocks[2]) * edge, b / blocks[2] % blocks[1] * edge,
                            b % blocks[2] * edge};
    for (uint64_t z = 0; z < edge; ++z) {
      for (uint64_t y = 0; y < edge; ++y) {
        for (uint64_t x = 0; x < edge; ++x) {
          const uint64_t p[3] = {at[0] + z, at[1] + y, at[2] + x};
          if (!padded && (p[0] >= n[0] || p[1] >= n[1] || p[2] >= n[2])) continue;
          const uint64_t c[3] = {std::min(p[0], n[0] - 1), std::min(p[1], n[1] - 1),
                                 std::min(p[2], n[2] - 1)};
          f((z * edge + y) * edge + x, (c[0] * n[1] + c[1]) * n[2] + c[2]);
        }
      }
    }
  }

  // The middle that the blocks before block b suggest: the Lorenzo prediction.
  int64_t predict(const std::vector<Block>& done, size_t b) const {
    const size_t sz = blocks[1] * blocks[2], sy = blocks[2];
    const bool z = b >= sz, y = b / sy % blocks[1] > 0, x = b % sy > 0;
    const auto m = [&](bool dz, bool dy, bool dx) {
      if ((dz && !z) || (dy && !y) || (dx && !x)) return int64_t{0};
      return done[b - (dz ? sz : 0) - (dy ? sy : 0) - (dx ? 1 : 0)].middle;
    };
    const int64_t sum =
        m(1, 0, 0) + m(0, 1, 0) + m(0, 0, 1) - m(1, 1, 0) - m(1, 0, 1) - m(0, 1, 1) + m(1, 1, 1);
    return std::clamp(sum, 1 - kMaxLattice, kMaxLattice - 1);  // so that a difference fits 32 bits
  }

  uint64_t edge, n[3], blocks[3];
};

struct Blocks {
  int t = 0, precision = 0;
  std::vector<Block> blocks;
};

class SwaeBlock final : public Model {
 public:
  explicit SwaeBlock(const WeightsFile& file)
      : name_(file.name()),
        hash_(file.hash()),
        encoder_(file.program("encode")),
        decoder_(file.program("decode")) {
    const std::string what = "weights '" + name_ + "'";
    edge_ = static_cast<uint64_t>(json_int(parse_json_object(file.config(), what), "edge", 2, 64, what));
    constexpr int32_t kLimit = 1 << 20;  // of values, so that products with a range stay within 64 bits
    const size_t points = edge_ * edge_ * edge_;
    latents_ = decoder_.values[0].count();
    const bool fits =
        decoder_.inputs == 1 && decoder_.outputs.size() == 1 && encoder_.inputs == 1 &&
        encoder_.outputs.size() == 1 && decoder_.values[decoder_.outputs[0]].count() == points &&
        encoder_.values[0].count() == points && encoder_.values[encoder_.outputs[0]].count() == latents_ &&
        latents_ <= 64 &&
        std::ranges::all_of(decoder_.values[decoder_.outputs[0]].lo,
                            [](int32_t x) { return x >= -kLimit; }) &&
        std::ranges::all_of(decoder_.values[decoder_.outputs[0]].hi, [](int32_t x) { return x <= kLimit; });
    if (!fits) {
      throw Failure(H5N_ERR_CORRUPT, "h5neural: " + what +
                                         " are refused: encoder and decoder do not fit the block; get "
                                         "the weights file again from where it came");
    }
  }

  std::string name() const override { return name_; }
  std::string family() const override { return "swae"; }
  uint64_t hash() const override { return hash_; }
  bool serves(const Extents& e) const override {
    return e.rank == 3 && e.n[0] > 0 && e.n[1] > 0 && e.n[2] > 0 && e.count() <= (uint64_t{1} << 31);
  }

  void decode(ByteSpan section, const Extents& extents, std::span<int32_t> base) const override {
    if (!serves(extents) || base.size() != extents.count())
      fail_corrupt("the model does not serve these extents");
    const Grid grid(extents, edge_);
    fill(read(section, grid), grid, base);
  }

  // Blocks without latents have scale 0.
  LatentArray latents(ByteSpan section, const Extents& extents) const override {
    if (!serves(extents)) fail_corrupt("the model does not serve these extents");
    const Grid grid(extents, edge_);
    const Blocks b = read(section, grid);
    LatentArray a;
    a.grid.assign(grid.blocks, grid.blocks + 3);
    a.numbers = a.latents = latents_;
    for (const Block& k : b.blocks) {
      const Batch z = k.latents ? inputs_of(k, b.precision) : Batch(latents_);
      a.values.insert(a.values.end(), z.begin(), z.end());
      a.scale.push_back(k.latents ? std::ldexp(static_cast<double>(range_of(k.range)), -kFraction) : 0);
      a.offset.push_back(std::ldexp(static_cast<double>(k.middle), b.t));
    }
    return a;
  }

  bool general() const override { return true; }

  std::optional<Bytes> encode(std::span<const int32_t> field, const Extents& extents,
                              int32_t bin) const override;

 private:
  struct Models {
    IntModel middle, range;
    BitModel latents;
    std::vector<IntModel> q;
  };

  Bytes write(const Blocks& b, const Grid& grid) const {
    BitEncoder out;
    Models m;
    m.q.resize(latents_);
    out.raw(static_cast<uint32_t>(b.t), 5);
    out.raw(static_cast<uint32_t>(b.precision), 4);
    int32_t last = 0;
    for (size_t i = 0; i < b.blocks.size(); ++i) {
      const Block& k = b.blocks[i];
      m.middle.encode(out, static_cast<int32_t>(k.middle - grid.predict(b.blocks, i)));
      out.bit(m.latents, k.latents);
      if (!k.latents) continue;
      m.range.encode(out, k.range - last);
      last = k.range;
      for (size_t j = 0; j < latents_; ++j) m.q[j].encode(out, k.q[j]);
    }
    return out.finish();
  }

  Blocks read(ByteSpan section, const Grid& grid) const {
    BitDecoder in(section);
    Models m;
    m.q.resize(latents_);
    Blocks b;
    b.t = static_cast<int>(in.raw(5));
    b.precision = static_cast<int>(in.raw(4));
    int64_t last = 0;
    for (size_t i = 0; i < grid.count(); ++i) {
      Block k;
      b.blocks.emplace_back();
      k.middle = grid.predict(b.blocks, i) + m.middle.decode(in);
      if (std::abs(k.middle) > (kMaxLattice >> b.t)) fail_corrupt("a block's middle is out of its range");
      k.latents = in.bit(m.latents);
      if (k.latents) {
        last += m.range.decode(in);
        if (last < 0 || last >= kRangeCodes) fail_corrupt("a block's range is out of its range");
        k.range = static_cast<int32_t>(last);
        for (size_t j = 0; j < latents_; ++j) {
          const int64_t q = m.q[j].decode(in);
          if (std::abs(q) > INT16_MAX) fail_corrupt("a latent is out of its range");
          k.q.push_back(static_cast<int32_t>(q));
        }
      }
      b.blocks.back() = std::move(k);
    }
    return b;
  }

  // Runs the decoder for the blocks that have latents, in groups of bounded size, and writes the base.
  void fill(const Blocks& b, const Grid& grid, std::span<int32_t> base) const {
    constexpr size_t kGroup = 1024;
    std::vector<size_t> group;
    for (size_t i = 0; i < b.blocks.size(); ++i) {
      const Block& k = b.blocks[i];
      if (k.latents) {
        group.push_back(i);
      } else {
        const auto v =
            static_cast<int32_t>(std::clamp(k.middle * (int64_t{1} << b.t), -kMaxLattice, kMaxLattice));
        grid.each(i, false, [&](size_t, size_t at) { base[at] = v; });
      }
      if (group.size() == kGroup || (i + 1 == b.blocks.size() && !group.empty())) {
        fill_group(b, group, grid, base);
        group.clear();
      }
    }
  }

  // The latents of a block as the decoder takes them.
  Batch inputs_of(const Block& k, int precision) const {
    const Value& v = decoder_.values[0];
    Batch z;
    for (size_t j = 0; j < latents_; ++j) {
      const int64_t x = int64_t{k.q[j]} * (int64_t{1} << precision);
      z.push_back(static_cast<int32_t>(std::clamp<int64_t>(x, v.lo[j], v.hi[j])));
    }
    return z;
  }

  void fill_group(const Blocks& b, const std::vector<size_t>& group, const Grid& grid,
                  std::span<int32_t> base) const {
    std::vector<Batch> in(1);
    for (const size_t i : group) {
      const Batch z = inputs_of(b.blocks[i], b.precision);
      in[0].insert(in[0].end(), z.begin(), z.end());
    }
    const Batch y = run(decoder_, in, group.size())[0];
    const size_t points = edge_ * edge_ * edge_;
    for (size_t g = 0; g < group.size(); ++g) {
      const Block& k = b.blocks[group[g]];
      const int64_t middle = k.middle * (int64_t{1} << b.t), range = range_of(k.range);
      grid.each(group[g], false, [&](size_t p, size_t at) {
        const int64_t n =
            middle + ((y[g * points + p] * range + (int64_t{1} << (kFraction - 1))) >> kFraction);
        base[at] = static_cast<int32_t>(std::clamp(n, -kMaxLattice, kMaxLattice));
      });
    }
  }

  // ---- writer
  Batch latents_of(std::span<const int32_t> field, const Grid& grid, const Blocks& b,
                   std::span<const size_t> of) const;
  // Middle and range of every `every`-th block.
  Blocks survey(std::span<const int32_t> field, const Grid& grid, int32_t bin, size_t every) const;
  struct Choice {
    int precision = 4;
    int64_t flat = 0;  // blocks whose range is at most this have no latents
    double bits = 0;   // of all latents, about
  };
  // `share`: blocks to each one surveyed.
  Choice choose(std::span<const int32_t> field, const Grid& grid, const Blocks& b, int32_t bin,
                double share) const;
  double block_cost(std::span<const int32_t> field, const Grid& grid, const Blocks& b, size_t i,
                    std::span<const int32_t> y, int32_t bin) const;
  static double latents_bits(const Block& k) {
    double bits = 0;
    for (const int32_t q : k.q) bits += 1 + 2 * std::log2(1.0 + std::abs(q));
    return bits;
  }
  void round_latents(Block& k, std::span<const int32_t> z, int precision) const {
    k.q.clear();
    const int32_t half = precision == 0 ? 0 : 1 << (precision - 1);
    for (const int32_t v : z) k.q.push_back((v + half) >> precision);
  }

  std::string name_;
  uint64_t hash_, edge_ = 0;
  Program encoder_, decoder_;
  size_t latents_ = 0;
};

// Middle and range of every block, as if all had latents.
Blocks SwaeBlock::survey(std::span<const int32_t> field, const Grid& grid, int32_t bin, size_t every) const {
  Blocks b;
  b.t = std::clamp(std::ilogb(bin / 2.0), 0, 20);
  b.blocks.resize(grid.count());
  const int64_t half = b.t == 0 ? 0 : int64_t{1} << (b.t - 1);
  for (size_t i = 0; i < b.blocks.size(); i += every) {
    int64_t lo = INT64_MAX, hi = INT64_MIN;
    grid.each(i, false, [&](size_t, size_t at) {
      lo = std::min<int64_t>(lo, field[at]);
      hi = std::max<int64_t>(hi, field[at]);
    });
    b.blocks[i].middle = ((lo + hi) / 2 + half) >> b.t;
    b.blocks[i].range = range_code(hi - lo);
    b.blocks[i].latents = hi - lo >= bin;
  }
  return b;
}

// The encoder's latents of the blocks `of`, one row each.
Batch SwaeBlock::latents_of(std::span<const int32_t> field, const Grid& grid, const Blocks& b,
                            std::span<const size_t> of) const {
  const size_t points = edge_ * edge_ * edge_;
  const Value& v = encoder_.values[0];
  std::vector<Batch> in(1, Batch(of.size() * points));
  for (size_t g = 0; g < of.size(); ++g) {
    const Block& k = b.blocks[of[g]];
    const int64_t middle = k.middle * (int64_t{1} << b.t), range = range_of(k.range);
    grid.each(of[g], true, [&](size_t p, size_t at) {
      const int64_t n = (field[at] - middle) * (int64_t{1} << kFraction) / range;
      in[0][g * points + p] = static_cast<int32_t>(std::clamp<int64_t>(n, v.lo[p], v.hi[p]));
    });
  }
  return run(encoder_, in, of.size())[0];
}

// What block i costs with the decoder's answer y (or flat, without one), in bits.
double SwaeBlock::block_cost(std::span<const int32_t> field, const Grid& grid, const Blocks& b, size_t i,
                             std::span<const int32_t> y, int32_t bin) const {
  const Block& k = b.blocks[i];
  const int64_t middle = k.middle * (int64_t{1} << b.t), range = range_of(k.range);
  std::vector<int32_t> from, base;
  grid.each(i, false, [&](size_t p, size_t at) {
    const int64_t n = middle + (y.empty() ? 0 : (y[p] * range) >> kFraction);
    from.push_back(field[at]);
    base.push_back(static_cast<int32_t>(std::clamp(n, -kMaxLattice, kMaxLattice)));
  });
  return residual_cost(from, base, bin) + (y.empty() ? 0.0 : latents_bits(k));
}

// Tries precisions and thresholds on a sample of the blocks.
SwaeBlock::Choice SwaeBlock::choose(std::span<const int32_t> field, const Grid& grid, const Blocks& b,
                                    int32_t bin, double share) const {
  constexpr size_t kSample = 96;
  std::vector<size_t> sample;
  for (size_t i = 0; i < b.blocks.size(); ++i) {
    if (b.blocks[i].latents) sample.push_back(i);
  }
  const double each =
      static_cast<double>(sample.size()) / static_cast<double>(std::min(kSample, sample.size()));
  if (sample.size() > kSample) {
    for (size_t i = 0; i < kSample; ++i) sample[i] = sample[i * sample.size() / kSample];
    sample.resize(kSample);
  }
  const Batch z = latents_of(field, grid, b, sample);
  const size_t points = edge_ * edge_ * edge_;
  Choice best{4, INT64_MAX, 0};
  double best_cost = 0;  // relative to all flat
  for (const int precision : {2, 3, 4, 5, 6, 7}) {
    Blocks trial{b.t, precision, b.blocks};
    std::vector<Batch> in(1);
    for (size_t g = 0; g < sample.size(); ++g) {
      Block& k = trial.blocks[sample[g]];
      round_latents(k, std::span(z).subspan(g * latents_, latents_), precision);
      const Value& v = decoder_.values[0];
      for (size_t j = 0; j < latents_; ++j)
        in[0].push_back(std::clamp(k.q[j] * (1 << precision), v.lo[j], v.hi[j]));
    }
    const Batch y = run(decoder_, in, sample.size())[0];
    for (int64_t flat = bin; flat <= int64_t{32} * bin; flat *= 2) {
      double cost = 0, bits = 0;
      for (size_t g = 0; g < sample.size(); ++g) {
        if (range_of(b.blocks[sample[g]].range) <= flat) continue;
        bits += latents_bits(trial.blocks[sample[g]]);
        cost += block_cost(field, grid, trial, sample[g], std::span(y).subspan(g * points, points), bin) -
                block_cost(field, grid, trial, sample[g], {}, bin);
      }
      if (cost < best_cost) best_cost = cost, best = {precision, flat, bits * each * share};
    }
  }
  return best;
}

std::optional<Bytes> SwaeBlock::encode(std::span<const int32_t> field, const Extents& extents,
                                       int32_t bin) const {
  if (!serves(extents) || field.size() != extents.count() || bin < 1) return std::nullopt;
  const Grid grid(extents, edge_);
  // A look at some of the blocks first: most fields are no work for this model.
  const size_t every = std::max<size_t>(1, grid.count() / 400);
  const Blocks some = survey(field, grid, bin, every);
  const Choice choice = choose(field, grid, some, bin, double(every));
  // Latents alone must stay well below what the field costs without them; for most fields they do not, and
  // the writer's time is better spent elsewhere.
  if (choice.flat == INT64_MAX) return std::nullopt;
  if (choice.bits > 0.5 * plain_entropy(field, extents, bin)) return std::nullopt;
  Blocks b = survey(field, grid, bin, 1);
  b.precision = choice.precision;
  std::vector<size_t> group;
  bool any = false;
  for (size_t i = 0; i < b.blocks.size(); ++i) {
    Block& k = b.blocks[i];
    k.latents = k.latents && range_of(k.range) > choice.flat;
    any = any || k.latents;
    if (k.latents) group.push_back(i);
    if (group.size() == 1024 || (i + 1 == b.blocks.size() && !group.empty())) {
      const Batch z = latents_of(field, grid, b, group);
      for (size_t g = 0; g < group.size(); ++g) {
        round_latents(b.blocks[group[g]], std::span(z).subspan(g * latents_, latents_), b.precision);
      }
      group.clear();
    }
  }
  if (!any) return std::nullopt;  // blocks of one value each are no model's work
  return write(b, grid);
}

}  // namespace

std::shared_ptr<const Model> make_swae_block(const WeightsFile& file) {
  return std::make_shared<SwaeBlock>(file);
}

}  // namespace h5neural

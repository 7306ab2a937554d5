// swae_blocks.cc: see swae_blocks.h. Loading and reading.
#include "models/swae_blocks.h"

#include <cmath>

#include "exact/json.h"
#include "models/swae.h"

namespace h5neural {
namespace {

constexpr uint64_t kMostPoints = 32768;  // of a block
constexpr uint64_t kMostPadding = 8;     // blocks may hold so many times the points of the chunk
constexpr int32_t kMostSpread = 63;
constexpr size_t kMostLatents = 64;
constexpr int64_t kContextLimit = 8191;  // of the two differences between blocks
constexpr int kOne = 1024;               // 1 to the context program
constexpr size_t kBesides = 3;           // inputs of the context program for a neighbour besides its latents

Normalise normalise_of(const std::string& name, const std::string& what) {
  if (name == "minmax") return Normalise::kMinMax;
  if (name == "zscore") return Normalise::kZScore;
  if (name == "pos_log") return Normalise::kPosLog;
  if (name == "none") return Normalise::kNone;
  throw Failure(H5N_ERR_CORRUPT, "h5neural: " + what + " normalise their blocks in a way that this version " +
                                     "does not know; install a newer h5neural");
}

Extents extents_of(const std::vector<int64_t>& n) {
  Extents e;
  for (const int64_t extent : n) e.n[static_cast<size_t>(e.rank++)] = static_cast<uint64_t>(extent);
  return e;
}

// So small that products with a range stay within 64 bits.
bool is_small(const Value& v) {
  constexpr int32_t kLimit = 1 << 20;
  return std::ranges::all_of(v.lo, [](int32_t x) { return x >= -kLimit; }) &&
         std::ranges::all_of(v.hi, [](int32_t x) { return x <= kLimit; });
}

bool takes_and_gives(const Program& p, size_t in, std::initializer_list<size_t> out) {
  if (p.inputs != 1 || p.values[0].count() != in || p.outputs.size() != out.size()) return false;
  return std::equal(out.begin(), out.end(), p.outputs.begin(),
                    [&](size_t n, uint32_t value) { return p.values[value].count() == n; });
}

}  // namespace

SwaeBlocks::SwaeBlocks(const WeightsFile& file)
    : name_(file.name()),
      hash_(file.hash()),
      encoder_(file.program("encode")),
      decoder_(file.program("decode")),
      context_(file.program("context")) {
  const std::string what = "weights '" + name_ + "'";
  const Json config = parse_json_object(file.config(), what);
  gain_ = json_int(config, "gain", 1, INT32_MAX, what);
  block_ = extents_of(json_ints(config, "block", BlockGrid::kAxes, 1, kMostPoints, what));
  normalise_ = normalise_of(json_string(config, "normalise", what), what);
  latents_ = decoder_.values[0].count();
  const auto axes = static_cast<size_t>(block_.rank);
  const uint64_t points = block_.count();
  const bool fits = block_.rank > 0 && points <= kMostPoints && latents_ <= kMostLatents &&
                    takes_and_gives(encoder_, points, {latents_}) &&
                    takes_and_gives(decoder_, latents_, {points}) &&
                    is_small(decoder_.values[decoder_.outputs[0]]) &&
                    takes_and_gives(context_, axes * (latents_ + kBesides), {latents_, latents_});
  if (!fits) {
    throw Failure(H5N_ERR_CORRUPT, "h5neural: " + what +
                                       " are refused: their programs do not fit the block; get the weights "
                                       "file again from where it came");
  }
}

bool SwaeBlocks::serves(const Extents& chunk) const {
  if (chunk.rank != block_.rank || chunk.count() == 0 || chunk.count() > (uint64_t{1} << 31)) return false;
  const BlockGrid grid(chunk, block_);
  return grid.count() * grid.points() <= kMostPadding * chunk.count();
}

void SwaeBlocks::decode(ByteSpan section, const Extents& chunk, std::span<int32_t> base) const {
  if (!serves(chunk) || base.size() != chunk.count()) fail_corrupt("the model does not serve these extents");
  const BlockGrid grid(chunk, block_);
  fill(read(section, grid), grid, base);
}

// Blocks without latents have scale 0.
LatentArray SwaeBlocks::latents(ByteSpan section, const Extents& chunk) const {
  if (!serves(chunk)) fail_corrupt("the model does not serve these extents");
  const BlockGrid grid(chunk, block_);
  const BlocksSection s = read(section, grid);
  LatentArray a;
  a.grid.assign(grid.blocks().end() - block_.rank, grid.blocks().end());
  a.numbers = a.latents = latents_;
  for (const BlockLatents& b : s.blocks) {
    a.values.insert(a.values.end(), b.z.begin(), b.z.end());
    if (!b.has) a.values.resize(a.values.size() + latents_);
    a.scale.push_back(b.has ? std::ldexp(static_cast<double>(log_value(b.range)), -kFraction) : 0);
    a.offset.push_back(std::ldexp(static_cast<double>(b.offset), s.t));
  }
  return a;
}

SwaeBlocks::Expected SwaeBlocks::expected(const BlocksSection& s, const BlockGrid& grid, size_t b) const {
  Expected e;
  const int64_t offset = grid.lorenzo(b, [&](size_t other) { return s.blocks[other].offset; });
  e.offset = std::clamp(offset, 1 - kMaxLattice, kMaxLattice - 1);  // so that a difference fits 32 bits
  int32_t sum = 0;
  for (int a = 0; a < BlockGrid::kAxes; ++a) {
    const auto other = grid.before(b, a);
    if (!other || !s.blocks[*other].has) continue;
    sum += s.blocks[*other].range;
    ++e.with_latents;
  }
  const auto n = static_cast<int32_t>(e.with_latents);
  e.range = n > 0 ? (sum + n / 2) / n : 4 * (s.t + 2);  // bins are about 2^(t + 1) wide
  return e;
}

// For one neighbour: its latents, 1 or -1 for whether it has them (0: there is no such block), by how many
// octaves its range is larger, and its offset less the own one in units of the own range.
void SwaeBlocks::append_neighbour(const BlocksSection& s, const BlockLatents& own, const BlockLatents* other,
                                  Batch& in) const {
  const bool has = other != nullptr && other->has;
  if (has) in.insert(in.end(), other->z.begin(), other->z.end());
  if (!has) in.resize(in.size() + latents_);
  const auto limit = [](int64_t x) {
    return static_cast<int32_t>(std::clamp(x, -kContextLimit, kContextLimit));
  };
  in.push_back(other == nullptr ? 0 : has ? kOne : -kOne);
  in.push_back(has ? limit((other->range - own.range) * (kOne / 4)) : 0);
  const int64_t above = other == nullptr ? 0 : (other->offset - own.offset) * (int64_t{1} << s.t);
  in.push_back(limit(above * kOne / log_value(own.range)));
}

SwaeBlocks::Context SwaeBlocks::context(const BlocksSection& s, const BlockGrid& grid,
                                        std::span<const size_t> of) const {
  std::vector<Batch> in(1);
  for (const size_t b : of) {
    for (int a = BlockGrid::kAxes - block_.rank; a < BlockGrid::kAxes; ++a) {
      const auto other = grid.before(b, a);
      append_neighbour(s, s.blocks[b], other ? &s.blocks[*other] : nullptr, in[0]);
    }
  }
  const Value& v = context_.values[0];
  for (size_t i = 0; i < in[0].size(); ++i) {
    const size_t place = i % v.count();
    in[0][i] = std::clamp(in[0][i], v.lo[place], v.hi[place]);
  }
  std::vector<Batch> out = h5neural::run(context_, in, of.size());
  for (int32_t& spread : out[1]) spread = std::clamp(spread, 0, kMostSpread);
  return {std::move(out[0]), std::move(out[1])};
}

int32_t SwaeBlocks::latent(int64_t mean, int64_t q, int64_t step, size_t place) const {
  const Value& v = decoder_.values[0];
  return static_cast<int32_t>(std::clamp<int64_t>(mean + q * step, v.lo[place], v.hi[place]));
}

void SwaeBlocks::read_numbers(BitDecoder& in, BlocksCoders& c, const Expected& e, BlocksSection& s,
                              size_t b) const {
  BlockLatents& k = s.blocks[b];
  k.offset = s.offset;
  k.range = s.range;
  if (normalise_ != Normalise::kNone) k.offset = e.offset + c.offset.decode(in);
  if (std::abs(k.offset) > (kMaxLattice >> s.t)) fail_corrupt("a block's offset is out of its range");
  k.has = in.bit(c.has[e.with_latents]);
  if (!k.has || normalise_ == Normalise::kNone) return;
  const int64_t range = int64_t{e.range} + c.range.decode(in);
  if (range < 0 || range >= kLogCodes) fail_corrupt("a block's range is out of its range");
  k.range = static_cast<int32_t>(range);
}

void SwaeBlocks::read_front(BitDecoder& in, BlocksCoders& c, const BlockGrid& grid,
                            std::span<const size_t> front, BlocksSection& s) const {
  std::vector<size_t> with;
  for (const size_t b : front) {
    read_numbers(in, c, expected(s, grid, b), s, b);
    if (s.blocks[b].has) with.push_back(b);
  }
  if (with.empty()) return;
  const Context e = context(s, grid, with);
  for (size_t i = 0; i < with.size(); ++i) {
    BlockLatents& k = s.blocks[with[i]];
    const int64_t step = s.step(k);
    for (size_t j = 0; j < latents_; ++j) {
      const int32_t q = c.latents.decode(in, e.spread[i * latents_ + j], step);
      k.z.push_back(latent(e.mean[i * latents_ + j], q, step, j));
    }
  }
}

BlocksSection SwaeBlocks::read(ByteSpan section, const BlockGrid& grid) const {
  BitDecoder in(section);
  BlocksCoders c;
  BlocksSection s;
  s.t = static_cast<int>(in.raw(5));
  s.gain_mantissa = static_cast<int>(in.raw(3));
  s.gain_exponent = static_cast<int>(in.raw(6));
  if (s.gain_exponent > BlocksSection::kMostGain) fail_corrupt("the latents' gain is out of its range");
  if (normalise_ == Normalise::kNone) {
    IntModel whole;
    s.offset = whole.decode(in);
    s.range = static_cast<int32_t>(in.raw(7));
  }
  s.blocks.resize(grid.count());
  for (const auto& front : grid.fronts()) {
    for (size_t at = 0; at < front.size(); at += kGroup) {
      read_front(in, c, grid, std::span(front).subspan(at, std::min(kGroup, front.size() - at)), s);
    }
  }
  return s;
}

Batch SwaeBlocks::decoded(const BlocksSection& s, std::span<const size_t> of) const {
  std::vector<Batch> in(1);
  for (const size_t b : of) in[0].insert(in[0].end(), s.blocks[b].z.begin(), s.blocks[b].z.end());
  return h5neural::run(decoder_, in, of.size())[0];
}

void SwaeBlocks::fill(const BlocksSection& s, const BlockGrid& grid, std::span<int32_t> base) const {
  std::vector<size_t> group;
  const auto offset = [&](size_t b) { return s.blocks[b].offset * (int64_t{1} << s.t); };
  for (size_t b = 0; b < s.blocks.size(); ++b) {
    if (s.blocks[b].has) {
      group.push_back(b);
    } else {
      grid.each(b, false, [&](size_t, size_t at) { base[at] = base_value(offset(b), 0, 0); });
    }
    if (group.size() < kGroup && b + 1 < s.blocks.size()) continue;
    if (group.empty()) continue;
    const Batch y = decoded(s, group);
    for (size_t g = 0; g < group.size(); ++g) {
      const int64_t from = offset(group[g]), range = log_value(s.blocks[group[g]].range);
      const auto values = std::span(y).subspan(g * grid.points(), grid.points());
      grid.each(group[g], false, [&](size_t p, size_t at) { base[at] = base_value(from, range, values[p]); });
    }
    group.clear();
  }
}

std::shared_ptr<const Model> make_swae_blocks(const WeightsFile& file) {
  return std::make_shared<SwaeBlocks>(file);
}

}  // namespace h5neural

// swae_blocks_encode.cc: see swae_blocks.h. Writing: each block's offset and range, the encoder's latents,
// and the gain that makes latents and corrections cheapest together.
#include <cmath>

#include "models/residual_cost.h"
#include "models/swae_blocks.h"

namespace h5neural {
namespace {

constexpr double kNumbersBits = 2;     // of a block's range, and of its offset as far as a flat one has none
constexpr double kLittle = 0.25;       // bits a value
constexpr uint64_t kSampleBlocks = 6;  // of a chunk, along each axis, that the gain is chosen by

void set_gain(BlocksSection& s, double gain) {
  const int exponent = std::clamp(std::ilogb(std::max(gain, 8.0)) - 3, 0, BlocksSection::kMostGain);
  s.gain_exponent = exponent;
  s.gain_mantissa = static_cast<int>(std::clamp(std::ldexp(gain, -exponent) - 8, 0.0, 7.0));
}

// The middle of a chunk, at most so many points along each axis.
std::vector<int32_t> middle_of(std::span<const int32_t> field, const Extents& chunk, const Extents& part) {
  std::vector<int32_t> out;
  out.reserve(part.count());
  for (size_t i = 0; i < part.count(); ++i) {
    size_t rest = i, at = 0, stride = 1;
    for (auto a = static_cast<size_t>(chunk.rank); a-- > 0;) {
      at += (rest % part.n[a] + (chunk.n[a] - part.n[a]) / 2) * stride;
      rest /= part.n[a];
      stride *= chunk.n[a];
    }
    out.push_back(field[at]);
  }
  return out;
}

}  // namespace

void SwaeBlocks::survey_block(std::span<const int32_t> field, const BlockGrid& grid, BlocksSection& s,
                              size_t b) const {
  int64_t low = INT64_MAX, high = INT64_MIN;
  double sum = 0, squares = 0, count = 0;
  grid.each(b, false, [&](size_t, size_t at) {
    low = std::min<int64_t>(low, field[at]);
    high = std::max<int64_t>(high, field[at]);
    sum += field[at];
    squares += static_cast<double>(field[at]) * field[at];
    ++count;
  });
  BlockLatents& k = s.blocks[b];
  int64_t offset = (low + high) / 2, range = high - low;
  if (normalise_ == Normalise::kZScore) {
    const double mean = sum / count;
    offset = std::llround(mean);
    range = std::llround(8 * std::sqrt(std::max(0.0, squares / count - mean * mean)));
  }
  const int64_t half = s.t == 0 ? 0 : int64_t{1} << (s.t - 1);
  k.offset = (offset + half) >> s.t;
  if (normalise_ == Normalise::kPosLog && k.has) k.offset = low >> s.t;
  k.range = log_code(range);
}

// Offset and range of every block, as if all whose values do not fit one bin had latents.
BlocksSection SwaeBlocks::survey(std::span<const int32_t> field, const BlockGrid& grid, int32_t bin) const {
  BlocksSection s;
  s.t = std::clamp(std::ilogb(bin / 2.0), 0, 20);
  s.blocks.resize(grid.count());
  if (normalise_ == Normalise::kNone) {
    const auto [low, high] = std::minmax_element(field.begin(), field.end());
    s.offset = ((int64_t{*low} + *high) / 2) >> s.t;
    s.range = log_code(int64_t{*high} - *low);
  }
  for (size_t b = 0; b < s.blocks.size(); ++b) {
    int32_t low = INT32_MAX, high = INT32_MIN;
    grid.each(b, false, [&](size_t, size_t at) {
      low = std::min(low, field[at]);
      high = std::max(high, field[at]);
    });
    BlockLatents& k = s.blocks[b];
    k.has = int64_t{high} - low >= bin / 4;
    if (normalise_ == Normalise::kNone) {
      k.offset = s.offset, k.range = s.range, k.has = true;
    } else {
      survey_block(field, grid, s, b);
    }
  }
  return s;
}

Batch SwaeBlocks::encoded(std::span<const int32_t> field, const BlockGrid& grid,
                          const BlocksSection& s) const {
  const size_t points = grid.points();
  const Value& v = encoder_.values[0];
  Batch out(grid.count() * latents_);
  std::vector<size_t> group;
  std::vector<Batch> in(1);
  for (size_t b = 0; b < s.blocks.size(); ++b) {
    const BlockLatents& k = s.blocks[b];
    if (k.has) {
      const int64_t offset = k.offset * (int64_t{1} << s.t), range = log_value(k.range);
      const size_t first = in[0].size();
      in[0].resize(first + points);
      grid.each(b, true, [&](size_t p, size_t at) {
        const int64_t n = (field[at] - offset) * (int64_t{1} << kFraction) / range;
        in[0][first + p] = static_cast<int32_t>(std::clamp<int64_t>(n, v.lo[p], v.hi[p]));
      });
      group.push_back(b);
    }
    if (group.empty() || (group.size() < kGroup && b + 1 < s.blocks.size())) continue;
    const Batch z = h5neural::run(encoder_, in, group.size())[0];
    for (size_t g = 0; g < group.size(); ++g) {
      const auto from = z.begin() + static_cast<ptrdiff_t>(g * latents_);
      std::copy_n(from, latents_, out.begin() + static_cast<ptrdiff_t>(group[g] * latents_));
    }
    group.clear();
    in[0].clear();
  }
  return out;
}

// About what the corrections pay for block b with the decoder's answer y, or flat, without one.
double SwaeBlocks::block_cost(std::span<const int32_t> field, const BlockGrid& grid, const BlocksSection& s,
                              size_t b, std::span<const int32_t> y, int32_t bin) const {
  const BlockLatents& k = s.blocks[b];
  const int64_t offset = k.offset * (int64_t{1} << s.t), range = log_value(k.range);
  std::vector<int32_t> from, base;
  grid.each(b, false, [&](size_t p, size_t at) {
    from.push_back(field[at]);
    base.push_back(y.empty() ? base_value(offset, 0, 0) : base_value(offset, range, y[p]));
  });
  return residual_cost(from, base, bin);
}

// Quantises the latents of a front, and takes them from blocks that are cheaper without. Returns the cost.
double SwaeBlocks::quantise_front(std::span<const int32_t> field, const BlockGrid& grid, const Batch& latents,
                                  int32_t bin, std::span<const size_t> front, Trial& t) const {
  BlocksSection& s = t.section;
  std::vector<size_t> with;
  double cost = 0;
  for (const size_t b : front) {
    if (s.blocks[b].has) with.push_back(b);
    if (!s.blocks[b].has) cost += block_cost(field, grid, s, b, {}, bin);
  }
  if (with.empty()) return cost;
  const Context e = context(s, grid, with);
  const SpreadCoder coder;
  std::vector<double> bits(with.size(), kNumbersBits);
  for (size_t i = 0; i < with.size(); ++i) {
    BlockLatents& k = s.blocks[with[i]];
    const int64_t step = s.step(k);
    for (size_t j = 0; j < latents_; ++j) {
      const int64_t mean = e.mean[i * latents_ + j], z = latents[with[i] * latents_ + j];
      const auto q = static_cast<int32_t>(std::llround(double(z - mean) / double(step)));
      bits[i] += coder.bits(q, e.spread[i * latents_ + j], step);
      k.q.push_back(q);
      k.z.push_back(latent(mean, q, step, j));
    }
  }
  const Batch y = decoded(s, with);
  for (size_t i = 0; i < with.size(); ++i) {
    const size_t b = with[i], points = grid.points();
    const double rest = block_cost(field, grid, s, b, std::span(y).subspan(i * points, points), bin);
    const double flat = block_cost(field, grid, s, b, {}, bin);
    cost += std::min(flat, rest + bits[i]);
    if (flat > rest + bits[i] || normalise_ == Normalise::kNone) {
      t.bits += bits[i];
    } else {
      s.blocks[b].has = false;
      s.blocks[b].q.clear();
      s.blocks[b].z.clear();
      if (normalise_ == Normalise::kPosLog) survey_block(field, grid, s, b);  // the middle again
    }
  }
  return cost;
}

SwaeBlocks::Trial SwaeBlocks::quantise(std::span<const int32_t> field, const BlockGrid& grid,
                                       const Batch& latents, int32_t bin, BlocksSection s) const {
  Trial t{std::move(s), 0, 0};
  for (const auto& front : grid.fronts()) t.cost += quantise_front(field, grid, latents, bin, front, t);
  return t;
}

// Tries gains around the usual one. Nothing where no block is cheaper with latents.
std::optional<SwaeBlocks::Trial> SwaeBlocks::best_gain(std::span<const int32_t> field, const Extents& chunk,
                                                       int32_t bin) const {
  const BlockGrid grid(chunk, block_);
  BlocksSection s = survey(field, grid, bin);
  const Batch latents = encoded(field, grid, s);
  std::optional<Trial> best;
  for (const double octaves : {0.0, 1.0, -1.0, 2.0, -2.0}) {
    set_gain(s, static_cast<double>(gain_) * bin / 16 * std::exp2(octaves));
    Trial t = quantise(field, grid, latents, bin, s);
    if (t.bits > 0 && (!best || t.cost < best->cost)) best = std::move(t);
  }
  return best;
}

void SwaeBlocks::write_front(BitEncoder& out, BlocksCoders& c, const BlockGrid& grid,
                             std::span<const size_t> front, const BlocksSection& s) const {
  std::vector<size_t> with;
  const bool numbers = normalise_ != Normalise::kNone;
  for (const size_t b : front) {
    const BlockLatents& k = s.blocks[b];
    const Expected e = expected(s, grid, b);
    if (numbers) c.offset.encode(out, static_cast<int32_t>(k.offset - e.offset));
    out.bit(c.has[e.with_latents], k.has);
    if (!k.has) continue;
    with.push_back(b);
    if (numbers) c.range.encode(out, k.range - e.range);
  }
  if (with.empty()) return;
  const Context e = context(s, grid, with);
  for (size_t i = 0; i < with.size(); ++i) {
    const BlockLatents& k = s.blocks[with[i]];
    for (size_t j = 0; j < latents_; ++j)
      c.latents.encode(out, k.q[j], e.spread[i * latents_ + j], s.step(k));
  }
}

Bytes SwaeBlocks::write(const BlocksSection& s, const BlockGrid& grid) const {
  BitEncoder out;
  BlocksCoders c;
  out.raw(static_cast<uint32_t>(s.t), 5);
  out.raw(static_cast<uint32_t>(s.gain_mantissa), 3);
  out.raw(static_cast<uint32_t>(s.gain_exponent), 6);
  if (normalise_ == Normalise::kNone) {
    IntModel whole;
    whole.encode(out, static_cast<int32_t>(s.offset));
    out.raw(static_cast<uint32_t>(s.range), 7);
  }
  for (const auto& front : grid.fronts()) {
    for (size_t at = 0; at < front.size(); at += kGroup) {
      write_front(out, c, grid, std::span(front).subspan(at, std::min(kGroup, front.size() - at)), s);
    }
  }
  return out.finish();
}

std::optional<Bytes> SwaeBlocks::encode(std::span<const int32_t> field, const Extents& chunk,
                                        int32_t bin) const {
  if (!serves(chunk) || field.size() != chunk.count() || bin < 1) return std::nullopt;
  Extents part = chunk;
  for (auto a = static_cast<size_t>(chunk.rank); a-- > 0;)
    part.n[a] = std::min(chunk.n[a], kSampleBlocks * block_.n[a]);
  const bool all = part == chunk;
  const std::vector<int32_t> sample = all ? std::vector<int32_t>() : middle_of(field, chunk, part);
  const std::span<const int32_t> looked_at = all ? field : sample;
  std::optional<Trial> t = best_gain(looked_at, part, bin);
  if (!t) return std::nullopt;
  // Most fields are none of this model's: the writer's time is better spent elsewhere. What costs little
  // either way is tried, since estimates are too coarse there.
  const double little = kLittle * static_cast<double>(part.count());
  if (chunk.rank == BlockGrid::kAxes && t->cost > std::max(little, plain_entropy(looked_at, part, bin)))
    return std::nullopt;
  const BlockGrid grid(chunk, block_);
  if (all) return write(t->section, grid);
  BlocksSection s = survey(field, grid, bin);
  s.gain_mantissa = t->section.gain_mantissa;
  s.gain_exponent = t->section.gain_exponent;
  const Batch latents = encoded(field, grid, s);
  const Trial whole = quantise(field, grid, latents, bin, std::move(s));
  if (whole.bits == 0) return std::nullopt;
  return write(whole.section, grid);
}

}  // namespace h5neural

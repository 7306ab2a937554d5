// latent_series.cc: see latent_series.h.
#include "models/latent_series.h"

#include <algorithm>

#include "support/philox.h"

namespace h5neural {
namespace {

constexpr uint64_t kMostPoints = uint64_t{1} << 31;
constexpr uint64_t kMostSpare = 8;  // points computed for each one of the chunk
constexpr int kSamplerBits = 14, kNoiseBits = 8;

// The groups as slices of a grid of cells.
Extents as_groups(const LatentWeights& w, const Extents& e) {
  const uint64_t frames = e.rank == 3 ? e.n[0] : 1, window = static_cast<uint64_t>(w.window);
  const auto last = static_cast<size_t>(e.rank - 1);
  return {3, {(frames + window - 1) / window, e.n[last - 1], e.n[last]}};
}

TileGrid grid_of(const LatentWeights& w, const Extents& e) { return {as_groups(w, e), {2, w.step, w.tile}}; }
TileGrid hyper_grid_of(const LatentWeights& w, const Extents& e) {
  const int64_t by = std::max<int64_t>(1, w.hyper);
  return {as_groups(w, e), {2, w.step * by, w.tile / by}};
}

}  // namespace

bool LatentSeries::serves(const LatentWeights& w, const Extents& e) {
  if (e.rank < 2 || e.rank > 3 || e.count() == 0 || e.count() > kMostPoints) return false;
  const TileGrid grid = grid_of(w, e);
  const uint64_t computed = grid.tile_count() * static_cast<uint64_t>(grid.tile_points() * w.window);
  return computed <= kMostSpare * e.count();
}

LatentWraps LatentSeries::may_wrap(const LatentWeights& w, const Extents& e) {
  const auto cell = static_cast<uint64_t>(w.step * std::max<int64_t>(1, w.hyper));
  const auto last = static_cast<size_t>(e.rank - 1);
  return {e.n[last - 1] % cell == 0, e.n[last] % cell == 0};
}

LatentSeries::LatentSeries(const LatentWeights& w, const Extents& e, const LatentWraps& wraps)
    : weights_(w),
      grid_(grid_of(w, e)),
      hyper_grid_(hyper_grid_of(w, e)),
      frames_(e.rank == 3 ? e.n[0] : 1),
      cells_(grid_.cell_count() / groups()),
      hyper_cells_(w.hyper > 0 ? hyper_grid_.cell_count() / groups() : 0),
      points_(e.count() / frames_),
      y_(groups() * cells_ * w.channels),
      decoded_(e.count()),
      seen_(w.motion > 0 ? points_ : 0) {
  grid_.wraps = hyper_grid_.wraps = {false, wraps.rows, wraps.columns};
}

size_t LatentSeries::blocks() const {
  const int64_t b = weights_.motion;
  return b == 0 ? 0 : static_cast<size_t>(((rows() + b - 1) / b) * ((columns() + b - 1) / b));
}

bool LatentSeries::coded(size_t g) const {
  const auto n = static_cast<size_t>(weights_.every);
  return g % n == 0 || g > (groups() - 1) / n * n;
}

void LatentSeries::fill_cells(const TileGrid& grid, const TileInput& in, size_t g, size_t tile,
                              std::span<const int32_t> from, std::span<int32_t> to) const {
  const auto before = static_cast<int64_t>(g * (grid.cell_count() / groups()));
  grid.each_cell_around(tile, in.halo, [&](size_t at, int64_t cell) {
    if (cell < 0) return;  // zeros outside
    std::copy_n(from.begin() + (cell - before) * static_cast<int64_t>(in.channels), in.channels,
                to.begin() + static_cast<ptrdiff_t>(at * in.channels));
  });
}

void LatentSeries::take_cells(size_t g, size_t tile, std::span<const int32_t> from,
                              std::span<int32_t> to) const {
  const size_t numbers = to.size() / cells_;
  grid_.each_cell(tile, 0, [&](size_t at, int64_t cell) {
    if (cell < 0) return;
    std::copy_n(from.begin() + static_cast<ptrdiff_t>(at * numbers), numbers,
                to.begin() + (cell - static_cast<int64_t>(g * cells_)) * static_cast<int64_t>(numbers));
  });
}

void LatentSeries::fill_seen(const TileInput& in, size_t g, size_t tile, std::span<int32_t> to) const {
  grid_.each_point_around(tile, in.halo, [&](size_t at, size_t from) {
    to[at] = std::clamp(seen_[from - g * points_], -in.limit, in.limit);
  });
}

void LatentSeries::run(GroupCoder& coder, uint32_t seed) {
  for (size_t g = 0; g < groups(); ++g) {
    if (!coded(g)) continue;
    if (weights_.motion > 0) look(g, coder);
    std::vector<int32_t> z(hyper_cells_ * weights_.hyper_channels);
    if (weights_.hyper > 0) coder.hyper(g, z);
    coder.latents(g, prior(g, z), latents_of(g));
    if (weights_.motion > 0) decode(g);
  }
  for (size_t g = 0; g < groups(); ++g) {
    if (!coded(g) && coded(g - 1)) generate(g - 1, seed);
  }
  for (size_t g = 0; g < groups() && weights_.motion == 0; ++g) decode(g);
}

// ---- what is expected of a group

std::vector<int32_t> LatentSeries::prior(size_t g, std::span<const int32_t> z) const {
  const LatentWeights& w = weights_;
  std::vector<int32_t> known(z.begin(), z.end());
  for (int32_t& v : known) v *= w.hyper_step;
  const std::vector<int32_t> before = remembered(g);
  const size_t memory = w.hyper > 0 ? 1 : 0, channels = 2 * w.channels;
  std::vector<int32_t> out(cells_ * channels);
  run_tiles(
      w.prior, g,
      [&](size_t v, size_t tile, std::span<int32_t> to) {
        const TileInput& in = w.prior.inputs[v];
        if (v == 0 && w.hyper > 0) {
          fill_cells(hyper_grid_, in, g, tile, known, to);
        } else if (v == memory && w.memory > 0) {
          fill_cells(grid_, in, g, tile, before, to);
        } else {
          fill_seen(in, g, tile, to);
        }
      },
      [&](size_t tile, std::span<const int32_t> from) { take_cells(g, tile, from, out); });
  return out;
}

// Latents of the groups before, the latest first, [cells, memory * channels]; zeros where there are none.
std::vector<int32_t> LatentSeries::remembered(size_t g) const {
  const size_t channels = weights_.channels, m = static_cast<size_t>(weights_.memory);
  std::vector<int32_t> out(cells_ * m * channels);
  for (size_t k = 0; k < std::min(m, g); ++k) {
    const auto from = latents(g - 1 - k);
    for (size_t c = 0; c < cells_; ++c) {
      std::copy_n(from.begin() + static_cast<ptrdiff_t>(c * channels), channels,
                  out.begin() + static_cast<ptrdiff_t>((c * m + k) * channels));
    }
  }
  return out;
}

// ---- the seen frame

void LatentSeries::look(size_t g, GroupCoder& coder) {
  if (g == 0) return;
  const size_t last = frame(g - 1, static_cast<size_t>(weights_.window) - 1);
  const auto before = std::span<const int32_t>(decoded_).subspan(last * points_, points_);
  std::vector<int32_t> d(2 * blocks());
  coder.displacements(g, before, d);
  displace(before, d);
}

void LatentSeries::displace(std::span<const int32_t> frame, std::span<const int32_t> d) {
  const int64_t h = rows(), w = columns(), b = weights_.motion, across = (w + b - 1) / b;
  for (int64_t i = 0; i < h; ++i) {
    for (int64_t j = 0; j < w; ++j) {
      const auto block = static_cast<size_t>(2 * (i / b * across + j / b));
      const int64_t y = grid_.inside(1, i + d[block]), x = grid_.inside(2, j + d[block + 1]);
      seen_[static_cast<size_t>(i * w + j)] = frame[static_cast<size_t>(y * w + x)];
    }
  }
}

// ---- frames of a group

void LatentSeries::decode(size_t g) {
  const size_t window = static_cast<size_t>(weights_.window), first = frame(g, 0),
               here = std::min(window, frames_ - first);
  run_tiles(
      weights_.decode, g,
      [&](size_t v, size_t tile, std::span<int32_t> to) {
        const TileInput& in = weights_.decode.inputs[v];
        v == 0 ? fill_cells(grid_, in, g, tile, latents(g), to) : fill_seen(in, g, tile, to);
      },
      [&](size_t tile, std::span<const int32_t> from) {
        grid_.each_point(tile, [&](size_t p, size_t at) {
          for (size_t w = 0; w < here; ++w)
            decoded_[(first + w) * points_ + at - g * points_] = from[p * window + w];
        });
      });
}

// ---- groups without latents of their own

// Groups a + 1 ... a + every - 1 from those at both ends.
void LatentSeries::generate(size_t a, uint32_t seed) {
  const LatentWeights& w = weights_;
  const size_t channels = w.channels, between = static_cast<size_t>(w.every) - 1,
               of_cell = between * channels;
  std::vector<int32_t> keys(cells_ * 2 * channels), x(cells_ * of_cell);
  for (size_t end = 0; end < 2; ++end) {
    const auto from = latents(a + end * static_cast<size_t>(w.every));
    for (size_t c = 0; c < cells_; ++c) {
      std::copy_n(from.begin() + static_cast<ptrdiff_t>(c * channels), channels,
                  keys.begin() + static_cast<ptrdiff_t>((2 * c + end) * channels));
    }
  }
  const auto noise = [&](size_t i, size_t k) {
    return int64_t{philox_normal(
        {static_cast<uint32_t>(i), static_cast<uint32_t>(k), static_cast<uint32_t>(a), 0}, seed)};
  };
  const auto limited = [&](int64_t v) {
    return static_cast<int32_t>(std::clamp<int64_t>(v, -w.limit, w.limit));
  };
  for (size_t i = 0; i < x.size() && w.start > 0; ++i) {
    x[i] = limited((noise(i, w.samples()) * w.start + (1 << (kNoiseBits - 1))) >> kNoiseBits);
  }
  for (size_t k = 0; k < w.samples(); ++k) {
    const std::vector<int32_t> y = denoised(a, k, x, keys);
    const int64_t A = w.sampler[3 * k], B = w.sampler[3 * k + 1], C = w.sampler[3 * k + 2];
    for (size_t i = 0; i < x.size(); ++i) {
      const int64_t random = C == 0 ? 0 : C * noise(i, k);
      x[i] = limited((A * x[i] + B * y[i] + random + (1 << (kSamplerBits - 1))) >> kSamplerBits);
    }
  }
  for (size_t j = 0; j < between; ++j) {
    const auto to = latents_of(a + 1 + j);
    for (size_t c = 0; c < cells_; ++c) {
      std::copy_n(x.begin() + static_cast<ptrdiff_t>(c * of_cell + j * channels), channels,
                  to.begin() + static_cast<ptrdiff_t>(c * channels));
    }
  }
}

std::vector<int32_t> LatentSeries::denoised(size_t a, size_t k, std::span<const int32_t> x,
                                            std::span<const int32_t> keys) const {
  const size_t e = weights_.level_channels;
  std::vector<int32_t> out(x.size());
  run_tiles(
      weights_.generate, a,
      [&](size_t v, size_t tile, std::span<int32_t> to) {
        if (v < 2) {
          fill_cells(grid_, weights_.generate.inputs[v], a, tile, v == 0 ? x : keys, to);
          return;
        }
        for (size_t i = 0; i < to.size(); ++i) to[i] = weights_.levels[k * e + i % e];
      },
      [&](size_t tile, std::span<const int32_t> from) { take_cells(a, tile, from, out); });
  return out;
}

}  // namespace h5neural

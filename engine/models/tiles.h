// tiles.h: how a chunk is cut into cells and tiles of cells, for models that are convolutions. The last two
// or three axes are the field's, those before it are slices, each with a grid of its own. Knows nothing of
// what is computed on a tile.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "support/extents.h"

namespace h5neural {

// Of rank 2 the slowest of three axes has cells and tiles of one point.
struct TileShape {
  int rank = 3;
  int64_t step = 4;  // points of a cell along each axis
  int64_t tile = 8;  // cells of a tile along each axis
};

class TileGrid {
 public:
  TileGrid(const Extents& extents, const TileShape& shape) {
    for (int a = 0; a < 3; ++a) {
      const bool used = a >= 3 - shape.rank;
      step[a] = used ? shape.step : 1;
      tile[a] = used ? shape.tile : 1;
      n[a] = used ? static_cast<int64_t>(extents.n[static_cast<size_t>(extents.rank + a - 3)]) : 1;
      cells[a] = (n[a] + step[a] - 1) / step[a];
      tiles[a] = (cells[a] + tile[a] - 1) / tile[a];
    }
    for (int a = 0; a < extents.rank - shape.rank; ++a)
      slices *= static_cast<int64_t>(extents.n[static_cast<size_t>(a)]);
  }

  size_t cell_count() const { return static_cast<size_t>(slices * cells[0] * cells[1] * cells[2]); }
  size_t tile_count() const { return static_cast<size_t>(slices * tiles[0] * tiles[1] * tiles[2]); }
  int64_t tile_points() const { return tile[0] * step[0] * tile[1] * step[1] * tile[2] * step[2]; }
  int64_t margin(int axis, int64_t halo) const { return tile[axis] == 1 && step[axis] == 1 ? 0 : halo; }

  // Calls f(position in the tile with its halo, position in the grid or -1 outside of it) for all cells.
  template <class F>
  void each_cell(size_t t, int64_t halo, F&& f) const {
    each_cell(t, halo, {}, f);
  }
  // The same, cells beyond an axis that wraps being those of the other end.
  template <class F>
  void each_cell_around(size_t t, int64_t halo, F&& f) const {
    each_cell(t, halo, wraps, f);
  }
  // Calls f(position in the tile, position in the chunk) for all points of the tile inside of the chunk.
  template <class F>
  void each_point(size_t t, F&& f) const {
    const Place p = place(t);
    each(scaled(p), 0, scaled(tile), [&](size_t at, const std::array<int64_t, 3>& c) {
      if (c[0] < n[0] && c[1] < n[1] && c[2] < n[2])
        f(at, static_cast<size_t>(((p.slice * n[0] + c[0]) * n[1] + c[1]) * n[2] + c[2]));
    });
  }
  // The same for all points of the tile with `halo` cells around it; for those outside of the chunk others
  // stand (`inside`).
  template <class F>
  void each_point_around(size_t t, int64_t halo, F&& f) const {
    const Place p = place(t);
    each(scaled(p), halo * std::max(step[1], step[2]), scaled(tile),
         [&](size_t at, const std::array<int64_t, 3>& c) {
           const int64_t z = inside(0, c[0]), y = inside(1, c[1]), x = inside(2, c[2]);
           f(at, static_cast<size_t>(((p.slice * n[0] + z) * n[1] + y) * n[2] + x));
         });
  }

  // The point of the chunk along an axis that stands for point `at`: that of the other end where the axis
  // wraps, else the mirrored one.
  int64_t inside(size_t axis, int64_t at) const {
    return wraps[axis] ? wrap(at, n[axis]) : reflect(at, n[axis]);
  }
  // ... n-2 n-1 0 1 ... n-1 0 1 ...
  static int64_t wrap(int64_t at, int64_t n) { return ((at % n) + n) % n; }
  // ... 1 0 0 1 ... n-1 n-1 n-2 ...
  static int64_t reflect(int64_t at, int64_t n) {
    const int64_t period = 2 * n, r = ((at % period) + period) % period;
    return r < n ? r : period - 1 - r;
  }

  std::array<int64_t, 3> n{}, step{}, tile{}, cells{}, tiles{};
  std::array<bool, 3> wraps{};  // axes whose ends meet; whoever sets one sees to it that it has whole cells
  int64_t slices = 1;

 private:
  struct Place {
    int64_t slice;
    std::array<int64_t, 3> first;  // cells, or points
  };
  Place place(size_t t) const {
    auto k = static_cast<int64_t>(t);
    Place p{};
    for (size_t a = 3; a-- > 0; k /= tiles[a]) p.first[a] = k % tiles[a] * tile[a];
    p.slice = k;
    return p;
  }
  std::array<int64_t, 3> scaled(const std::array<int64_t, 3>& c) const {
    return {c[0] * step[0], c[1] * step[1], c[2] * step[2]};
  }
  Place scaled(const Place& p) const { return {p.slice, scaled(p.first)}; }

  template <class F>
  void each_cell(size_t t, int64_t halo, const std::array<bool, 3>& around, F&& f) const {
    const Place p = place(t);
    each(p, halo, tile, [&](size_t at, std::array<int64_t, 3> c) {
      bool in_grid = true;
      for (size_t a = 0; a < 3; ++a) {
        if (around[a]) c[a] = wrap(c[a], cells[a]);
        in_grid = in_grid && c[a] >= 0 && c[a] < cells[a];
      }
      f(at, in_grid ? ((p.slice * cells[0] + c[0]) * cells[1] + c[1]) * cells[2] + c[2] : -1);
    });
  }
  template <class F>
  void each(const Place& p, int64_t halo, const std::array<int64_t, 3>& size, F&& f) const {
    size_t at = 0;
    const int64_t h0 = margin(0, halo), h1 = margin(1, halo), h2 = margin(2, halo);
    for (int64_t z = -h0; z < size[0] + h0; ++z) {
      for (int64_t y = -h1; y < size[1] + h1; ++y) {
        for (int64_t x = -h2; x < size[2] + h2; ++x)
          f(at++, std::array<int64_t, 3>{p.first[0] + z, p.first[1] + y, p.first[2] + x});
      }
    }
  }
};

}  // namespace h5neural

// frames.cc: see frames.h. Integer arithmetic throughout.
#include "models/frames.h"

#include <algorithm>

#include "exact/json.h"
#include "models/tiles.h"
#include "support/parallel.h"

namespace h5neural {
namespace {

constexpr int64_t kMostLattice = int64_t{1} << 28;
constexpr uint64_t kMostPoints = uint64_t{1} << 31;
constexpr uint64_t kMostSpare = 8;     // points computed for each one of a frame
constexpr uint64_t kLeastPoints = 64;  // of a frame: each takes time of its own
// Tiles run at once, bounded in memory: numbers of all values of a group.
constexpr uint64_t kGroupNumbers = uint64_t{1} << 22;

// The shape [n, n, (n,) last].
std::vector<uint32_t> cube(int rank, int64_t n, size_t last) {
  std::vector<uint32_t> shape(static_cast<size_t>(rank), static_cast<uint32_t>(n));
  shape.push_back(static_cast<uint32_t>(last));
  return shape;
}

int32_t number_of(const FrameScale& s, int32_t v) {
  const int64_t half = s.shift == 0 ? 0 : int64_t{1} << (s.shift - 1);
  const int64_t x = ((int64_t{v} - s.offset) * s.mantissa + half) >> s.shift;
  return static_cast<int32_t>(std::clamp<int64_t>(x, -kMostFrameInput, kMostFrameInput));
}

int32_t value_of(const FrameScale& s, int32_t y) {
  const int shift = FrameScale::kMostShift - s.shift;
  const int64_t inverse = (int64_t{1} << FrameScale::kMostShift) / s.mantissa;
  const int64_t half = shift == 0 ? 0 : int64_t{1} << (shift - 1);
  return static_cast<int32_t>(
      std::clamp(s.offset + ((y * inverse + half) >> shift), -kMostLattice, kMostLattice));
}

}  // namespace

Frames::Frames(const WeightsFile& file)
    : name_(file.name()), hash_(file.hash()), predict_(file.program("predict")) {
  const std::string what = "weights '" + name_ + "'";
  const Json config = parse_json_object(file.config(), what);
  rank_ = static_cast<int>(json_int(config, "rank", 2, 3, what));
  history_ = static_cast<int>(json_int(config, "history", 1, kMostHistory, what));
  tile_ = json_int(config, "tile", 1, 1024, what);
  halo_ = json_int(config, "halo", 0, 1024, what);
  unit_ = static_cast<int32_t>(json_int(config, "unit", 1, kMostFrameInput, what));
  check(predict_, static_cast<size_t>(history_));
  if (!file.has_program("between")) return;
  between_ = file.program("between");
  check(*between_, 2);
}

void Frames::refuse(const char* problem) const {
  throw Failure(H5N_ERR_CORRUPT, "h5neural: weights '" + name_ + "' are refused: " + problem +
                                     "; get the weights file again from where it came");
}

void Frames::check(const Program& p, size_t frames) const {
  if (p.inputs != 1 || p.outputs.size() != 1) refuse("a program has not one input and one output");
  const Value &in = p.values[0], &out = p.values[p.outputs[0]];
  if (in.shape != cube(rank_, tile_ + 2 * halo_, frames) || out.shape != cube(rank_, tile_, 1))
    refuse("a program does not fit its tiles");
  const auto all = [](const std::vector<int32_t>& v, auto fits) {
    return std::all_of(v.begin(), v.end(), fits);
  };
  if (!all(in.lo, [](int32_t v) { return v <= -kMostFrameInput; }) ||
      !all(in.hi, [](int32_t v) { return v >= kMostFrameInput; }))
    refuse("a program does not take every frame");
  if (!all(out.lo, [](int32_t v) { return v >= -kMostFrameOutput; }) ||
      !all(out.hi, [](int32_t v) { return v <= kMostFrameOutput; }))
    refuse("the output of a program is not limited");
}

bool Frames::serves(const Extents& e) const {
  if (e.rank != rank_ + 1 || e.n[0] < 2 || e.count() > kMostPoints) return false;
  uint64_t points = 1, computed = 1;
  for (int a = 1; a < e.rank; ++a) {
    const uint64_t n = e.n[static_cast<size_t>(a)], tile = static_cast<uint64_t>(tile_);
    points *= n;
    computed *= (n + tile - 1) / tile * tile;
  }
  return points >= kLeastPoints && computed <= kMostSpare * points;
}

void Frames::decode(ByteSpan, const Extents&, std::span<int32_t>) const {
  fail_corrupt("its model predicts frames");
}
LatentArray Frames::latents(ByteSpan, const Extents&) const { fail_corrupt("its model predicts frames"); }

void Frames::predict(const FrameScale& scale, const Extent& n,
                     std::span<const std::span<const int32_t>> given, std::span<int32_t> out) const {
  run_tiles(predict_, scale, n, given, out);
}

void Frames::between(const FrameScale& scale, const Extent& n, std::span<const int32_t> before,
                     std::span<const int32_t> after, std::span<int32_t> out) const {
  if (!between_) fail_corrupt("its model has no network for frames between others");
  const std::array<std::span<const int32_t>, 2> given{before, after};
  run_tiles(*between_, scale, n, given, out);
}

namespace {

// A frame cut into tiles, as three axes; without a third the slowest has one point.
struct Tiles {
  std::array<int64_t, 3> n{1, 1, 1}, tile{1, 1, 1}, halo{}, count{1, 1, 1};
  uint8_t wraps = 0;

  Tiles(const Frames::Extent& extent, int rank, int64_t points, int64_t around, uint8_t wrapped) {
    for (int a = 0; a < rank; ++a) {
      const auto to = static_cast<size_t>(3 - rank + a);
      n[to] = extent[static_cast<size_t>(a)];
      tile[to] = points;
      halo[to] = around;
      count[to] = (n[to] + points - 1) / points;
      if (wrapped >> a & 1) wraps |= static_cast<uint8_t>(1 << to);
    }
  }
  size_t all() const { return static_cast<size_t>(count[0] * count[1] * count[2]); }
  std::array<int64_t, 3> first(size_t t) const {
    auto k = static_cast<int64_t>(t);
    std::array<int64_t, 3> f{};
    for (size_t a = 3; a-- > 0; k /= count[a]) f[a] = k % count[a] * tile[a];
    return f;
  }
  // The points of the frame that stand for those of the tile from `first` on, and of its halo, along an axis.
  std::vector<int64_t> places(size_t a, int64_t first) const {
    std::vector<int64_t> p;
    for (int64_t x = first - halo[a]; x < first + tile[a] + halo[a]; ++x)
      p.push_back(wraps >> a & 1 ? TileGrid::wrap(x, n[a]) : TileGrid::reflect(x, n[a]));
    return p;
  }
};

}  // namespace

void Frames::run_tiles(const Program& program, const FrameScale& scale, const Extent& extent,
                       std::span<const std::span<const int32_t>> given, std::span<int32_t> out) const {
  const Tiles tiles(extent, rank_, tile_, halo_, scale.wraps);
  const size_t channels = given.size();
  std::vector<int32_t> x(out.size() * channels);
  for (size_t k = 0; k < channels; ++k) {
    for (size_t p = 0; p < out.size(); ++p) x[p * channels + k] = number_of(scale, given[k][p]);
  }
  const size_t takes = program.values[0].count(), gives = program.values[program.outputs[0]].count();
  const size_t group = std::max<uint64_t>(1, kGroupNumbers / std::max<uint64_t>(1, program.activations));
  const size_t count = tiles.all();
  parallel(static_cast<int>((count + group - 1) / group), [&](int g) {
    const size_t from = static_cast<size_t>(g) * group, to = std::min(count, from + group);
    std::vector<Batch> in(1, Batch((to - from) * takes));
    int32_t* next = in[0].data();
    for (size_t t = from; t < to; ++t) {
      const auto first = tiles.first(t);
      const auto zs = tiles.places(0, first[0]), ys = tiles.places(1, first[1]),
                 xs = tiles.places(2, first[2]);
      for (const int64_t pz : zs) {
        for (const int64_t py : ys) {
          const int32_t* row = x.data() + static_cast<size_t>((pz * tiles.n[1] + py) * tiles.n[2]) * channels;
          for (const int64_t px : xs) {
            next = std::copy_n(row + static_cast<size_t>(px) * channels, channels, next);
          }
        }
      }
    }
    const Batch y = std::move(run(program, in, to - from)[0]);
    for (size_t t = from; t < to; ++t) {
      const auto f = tiles.first(t);
      const int32_t* of = y.data() + (t - from) * gives;
      for (int64_t pz = 0; pz < std::min(tiles.tile[0], tiles.n[0] - f[0]); ++pz) {
        for (int64_t py = 0; py < std::min(tiles.tile[1], tiles.n[1] - f[1]); ++py) {
          const int32_t* row = of + (pz * tiles.tile[1] + py) * tiles.tile[2];
          int32_t* to_row = out.data() + ((f[0] + pz) * tiles.n[1] + f[1] + py) * tiles.n[2] + f[2];
          for (int64_t px = 0; px < std::min(tiles.tile[2], tiles.n[2] - f[2]); ++px)
            to_row[px] = value_of(scale, row[px]);
        }
      }
    }
  });
}

std::shared_ptr<const Model> make_frames(const WeightsFile& file) { return std::make_shared<Frames>(file); }

}  // namespace h5neural

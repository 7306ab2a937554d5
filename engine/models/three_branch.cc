// three_branch.cc: the family's weights, and the reader's side: latents section -> latents -> base, tile by
// tile. The writer's side is three_branch_encode.cc.
#include "models/three_branch.h"

#include "exact/backend.h"
#include "exact/json.h"
#include "support/parallel.h"

namespace h5neural {
namespace {

constexpr size_t kMostChannels = 64;
constexpr uint64_t kMostPoints = uint64_t{1} << 31;
constexpr uint64_t kMostSpare = 8;  // points computed for each one of the chunk
constexpr int64_t kMostStep = 16;

// Groups of tiles run at once, bounded in memory: numbers of all values of a group.
constexpr uint64_t kGroupNumbers = uint64_t{1} << 22;

// The shape [n, n, (n,) last].
std::vector<uint32_t> cube(int rank, int64_t n, size_t last) {
  std::vector<uint32_t> shape(static_cast<size_t>(rank), static_cast<uint32_t>(n));
  shape.push_back(static_cast<uint32_t>(last));
  return shape;
}

// The cells around a tile that make its extent n, or -1 when it is none.
int64_t halo_of(int64_t n, int64_t tile) { return n >= tile && (n - tile) % 2 == 0 ? (n - tile) / 2 : -1; }

}  // namespace

ThreeBranch::ThreeBranch(const WeightsFile& file)
    : name_(file.name()),
      hash_(file.hash()),
      encoder_(file.program("encode")),
      decoder_(file.program("decode")) {
  const std::string what = "weights '" + name_ + "'";
  const Json config = parse_json_object(file.config(), what);
  shape_.rank = static_cast<int>(json_int(config, "rank", 2, 3, what));
  shape_.step = json_int(config, "step", 2, kMostStep, what);
  shape_.tile = json_int(config, "tile", 1, 256, what);
  bins_ = json_ints(config, "bins", 64, 1, INT32_MAX, what);
  const auto demand = [&](bool fits, const char* problem) {
    if (!fits) {
      throw Failure(H5N_ERR_CORRUPT, "h5neural: " + what + " are refused: " + problem +
                                         "; get the weights file again from where it came");
    }
  };
  const Value &in = decoder_.values[0], &out = decoder_.values[decoder_.outputs[0]];
  channels_ = in.shape.back();
  decoder_halo_ = halo_of(in.shape[0], shape_.tile);
  demand(decoder_.inputs == 1 && decoder_.outputs.size() == 1 && channels_ <= kMostChannels &&
             decoder_halo_ >= 0 &&
             in.shape == cube(shape_.rank, shape_.tile + 2 * decoder_halo_, channels_) &&
             out.shape == cube(shape_.rank, shape_.tile * shape_.step, 1),
         "its decoder does not fit its tiles");
  const int32_t limit = in.hi[0];
  demand(limit > 0 && std::all_of(in.lo.begin(), in.lo.end(), [&](int32_t v) { return v <= -limit; }) &&
             std::all_of(in.hi.begin(), in.hi.end(), [&](int32_t v) { return v >= limit; }),
         "its decoder's inputs have no common range");
  demand(std::all_of(out.lo.begin(), out.lo.end(), [](int32_t v) { return v >= -kMostThreeBranchOutput; }) &&
             std::all_of(out.hi.begin(), out.hi.end(), [](int32_t v) { return v <= kMostThreeBranchOutput; }),
         "its decoder's output is not limited");
  const Value& points = encoder_.values[0];
  const int64_t n = points.shape[0];
  encoder_halo_ = n % shape_.step == 0 ? halo_of(n / shape_.step, shape_.tile) : -1;
  demand((encoder_.inputs == 1 || encoder_.inputs == 3) && encoder_.outputs.size() == 1 &&
             encoder_halo_ >= 0 &&
             encoder_.values[encoder_.outputs[0]].shape == cube(shape_.rank, shape_.tile, channels_),
         "its encoder does not fit its tiles");
  for (size_t v = 0; v < encoder_.inputs; ++v)
    demand(encoder_.values[v].shape == cube(shape_.rank, n, 1), "its encoder's inputs do not fit its tiles");
  coder_ = LatentCoder(file, shape_.rank, channels_, limit);
  demand(bins_.size() == coder_.gains() && std::is_sorted(bins_.begin(), bins_.end()) && !bins_.empty(),
         "its gains do not fit its bins");
}

bool ThreeBranch::serves(const Extents& e) const {
  if (e.rank < shape_.rank || e.count() == 0 || e.count() > kMostPoints) return false;
  const TileGrid grid = grid_of(e);
  return grid.tile_count() * static_cast<uint64_t>(grid.tile_points()) <= kMostSpare * e.count();
}

// u8 gain | BaseScale | latents
Bytes ThreeBranch::write(const Section& s, const TileGrid& grid) const {
  ByteWriter w;
  w.put(static_cast<uint8_t>(s.gain));
  s.scale.write(w);
  w.bytes(coder_.write(
      {grid.slices, {grid.cells[0], grid.cells[1], grid.cells[2]}, static_cast<int64_t>(channels_)}, s.gain,
      s.q));
  return w.take();
}

ThreeBranch::Section ThreeBranch::read(ByteSpan section, const TileGrid& grid) const {
  ByteReader r(section);
  Section s;
  s.gain = r.get<uint8_t>();
  if (s.gain >= coder_.gains()) fail_corrupt("a gain of the model is out of its range");
  s.scale = BaseScale::read(r);
  s.q = coder_.read(
      r.take(r.left()),
      {grid.slices, {grid.cells[0], grid.cells[1], grid.cells[2]}, static_cast<int64_t>(channels_)}, s.gain);
  return s;
}

Batch ThreeBranch::decode_tiles(const Section& s, const TileGrid& grid, std::span<const size_t> of) const {
  const size_t cells = decoder_.values[0].count() / channels_;
  std::vector<Batch> in(1, Batch(of.size() * cells * channels_));
  for (size_t k = 0; k < of.size(); ++k) {
    int32_t* to = in[0].data() + k * cells * channels_;
    grid.each_cell(of[k], decoder_halo_, [&](size_t at, int64_t from) {
      for (size_t c = 0; c < channels_ && from >= 0; ++c) {
        to[at * channels_ + c] = s.q[static_cast<size_t>(from) * channels_ + c] * coder_.step(s.gain, c);
      }
    });
  }
  return std::move(run(decoder_, in, of.size())[0]);
}

void ThreeBranch::decode(ByteSpan section, const Extents& extents, std::span<int32_t> base) const {
  if (!serves(extents) || base.size() != extents.count())
    fail_corrupt("the model does not serve these extents");
  const TileGrid grid = grid_of(extents);
  const Section s = read(section, grid);
  const auto points = static_cast<size_t>(grid.tile_points());
  const size_t group = std::max<uint64_t>(1, kGroupNumbers / std::max<uint64_t>(1, decoder_.activations));
  const size_t count = grid.tile_count();
  parallel(static_cast<int>((count + group - 1) / group), [&](int g) {
    std::vector<size_t> of;
    for (size_t t = static_cast<size_t>(g) * group; t < count && of.size() < group; ++t) of.push_back(t);
    const Batch y = decode_tiles(s, grid, of);
    for (size_t k = 0; k < of.size(); ++k) {
      grid.each_point(of[k], [&](size_t p, size_t at) { base[at] = s.scale.value(y[k * points + p]); });
    }
  });
}

LatentArray ThreeBranch::latents(ByteSpan section, const Extents& extents) const {
  if (!serves(extents)) fail_corrupt("the model does not serve these extents");
  const TileGrid grid = grid_of(extents);
  const Section s = read(section, grid);
  LatentArray a;
  for (int axis = 0; axis < extents.rank - shape_.rank; ++axis)
    a.grid.push_back(extents.n[static_cast<size_t>(axis)]);
  for (int axis = 3 - shape_.rank; axis < 3; ++axis)
    a.grid.push_back(static_cast<uint64_t>(grid.cells[static_cast<size_t>(axis)]));
  a.numbers = a.latents = channels_;
  for (size_t i = 0; i < s.q.size(); ++i) a.values.push_back(s.q[i] * coder_.step(s.gain, i % channels_));
  a.scale.assign(grid.cell_count(), std::ldexp(static_cast<double>(s.scale.mantissa), -s.scale.shift));
  a.offset.assign(grid.cell_count(), static_cast<double>(s.scale.mean));
  return a;
}

std::shared_ptr<const Model> make_three_branch(const WeightsFile& file) {
  return std::make_shared<ThreeBranch>(file);
}

}  // namespace h5neural

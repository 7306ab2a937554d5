// three_branch_encode.cc: the writer's side of family three-branch: a look at some tiles says whether latents
// pay and at which gain, then all tiles are encoded. Floats may err here: what is found is transmitted.
#include <algorithm>
#include <cmath>

#include "exact/backend.h"
#include "models/residual_cost.h"
#include "models/spectrum.h"
#include "models/three_branch.h"
#include "support/parallel.h"

namespace h5neural {
namespace {

constexpr size_t kSample = 6;       // tiles looked at first
constexpr double kBeyond = 1.5;     // of the bins that the gains were learned for
constexpr double kPays = 0.97;      // of what the corrections cost alone
constexpr double kDeadZone = 0.08;  // by how much less than 1/2 a latent must reach for the next step
constexpr uint64_t kGroupNumbers = uint64_t{1} << 22;
constexpr float kMagnitude = 1.0f / 8;  // log(1 + |F|) is scaled to about 1

}  // namespace

class ThreeBranchEncoder {
 public:
  ThreeBranchEncoder(const ThreeBranch& model, std::span<const int32_t> field, const Extents& extents,
                     int32_t bin)
      : m_(model), field_(field), grid_(model.grid_of(extents)), bin_(bin), moments_(field) {}

  std::optional<Bytes> run() {
    if (!set_scale()) return std::nullopt;
    const auto gain = choose_gain();
    if (!gain) return std::nullopt;
    ThreeBranch::Section s = section_;
    s.gain = *gain;
    s.q.resize(grid_.cell_count() * m_.channels_);
    const size_t group = group_size(), count = grid_.tile_count();
    parallel(static_cast<int>((count + group - 1) / group), [&](int g) {
      std::vector<size_t> of;
      for (size_t t = static_cast<size_t>(g) * group; t < count && of.size() < group; ++t) of.push_back(t);
      quantise(encode_tiles(of), of, s);
    });
    if (std::all_of(s.q.begin(), s.q.end(), [](int32_t q) { return q == 0; })) return std::nullopt;
    return m_.write(s, grid_);
  }

 private:
  size_t group_size() const {
    return std::max<uint64_t>(1, kGroupNumbers / std::max<uint64_t>(1, m_.encoder_.activations));
  }

  // Mean and deviation of the field. False where no gain was learned for such a bin.
  bool set_scale() {
    ratio_ = bin_ / moments_.deviation * 65536;
    if (!(ratio_ > static_cast<double>(m_.bins_.front()) / kBeyond &&
          ratio_ < static_cast<double>(m_.bins_.back()) * kBeyond)) {
      return false;
    }
    const auto scale = BaseScale::of(moments_.mean, moments_.deviation, kThreeBranchOutBits, bin_);
    if (scale) section_.scale = *scale;
    return scale.has_value();
  }

  // The encoder's latents of some tiles: [tiles, cells of a tile, channels], in the program's units.
  Batch encode_tiles(std::span<const size_t> of) const {
    const Program& p = m_.encoder_;
    const size_t points = p.values[0].count();
    std::vector<Batch> in(p.inputs, Batch(of.size() * points));
    std::vector<float> x(points);
    std::array<int64_t, 3> n{};
    for (size_t a = 0; a < 3; ++a) {
      n[a] = (grid_.tile[a] + 2 * grid_.margin(static_cast<int>(a), m_.encoder_halo_)) * grid_.step[a];
    }
    const auto store = [&](size_t v, size_t k, std::span<const float> from, double unit) {
      const Value& value = p.values[v];
      for (size_t i = 0; i < points; ++i) {
        in[v][k * points + i] =
            static_cast<int32_t>(std::lround(std::clamp<double>(from[i] * unit, value.lo[i], value.hi[i])));
      }
    };
    for (size_t k = 0; k < of.size(); ++k) {
      grid_.each_point_around(of[k], m_.encoder_halo_, [&](size_t at, size_t from) {
        x[at] = static_cast<float>((field_[from] - moments_.mean) / moments_.deviation);
      });
      store(0, k, x, 1 << kThreeBranchInBits);
      if (p.inputs == 1) continue;
      const Spectrum s = spectrum_of(x, n);
      store(1, k, s.magnitude, kMagnitude * (1 << kThreeBranchPhaseBits));
      store(2, k, s.phase, 1 << kThreeBranchPhaseBits);
    }
    return std::move(h5neural::run(p, in, of.size())[0]);
  }

  // z in steps of the section's gain, into its grid.
  void quantise(const Batch& z, std::span<const size_t> of, ThreeBranch::Section& s) const {
    const size_t channels = m_.channels_, per_tile = z.size() / of.size();
    for (size_t k = 0; k < of.size(); ++k) {
      grid_.each_cell(of[k], 0, [&](size_t at, int64_t to) {
        for (size_t c = 0; c < channels && to >= 0; ++c) {
          const int32_t v = z[k * per_tile + at * channels + c];
          const double steps = std::abs(v) / static_cast<double>(m_.coder_.step(s.gain, c));
          const auto q =
              static_cast<int32_t>(std::min<double>(steps + 0.5 - kDeadZone, m_.coder_.most(s.gain, c)));
          s.q[static_cast<size_t>(to) * channels + c] = v < 0 ? -q : q;
        }
      });
    }
  }

  // The gain whose latents and corrections cost least on some tiles; nothing where corrections alone cost
  // less.
  std::optional<size_t> choose_gain() {
    size_t nearest = 0;
    for (size_t g = 1; g < m_.bins_.size(); ++g) {
      const auto apart = [&](size_t k) {
        return std::abs(std::log(static_cast<double>(m_.bins_[k]) / ratio_));
      };
      if (apart(g) < apart(nearest)) nearest = g;
    }
    std::vector<size_t> of;
    const size_t count = grid_.tile_count(), taken = std::min(count, kSample);
    for (size_t k = 0; k < taken; ++k) of.push_back((2 * k + 1) * count / (2 * taken));
    std::vector<Batch> z;
    z.reserve(of.size());
    for (const size_t t : of) z.push_back(encode_tiles(std::span(&t, 1)));
    double best = 0;
    std::optional<size_t> gain;
    for (const size_t t : of) best += kPays * field_cost(t);
    for (size_t g = nearest == 0 ? 0 : nearest - 1; g <= nearest + 1 && g < m_.bins_.size(); ++g) {
      double cost = 0;
      for (size_t k = 0; k < of.size(); ++k) cost += tile_cost(g, of[k], z[k]);
      if (cost < best) {
        best = cost;
        gain = g;
      }
    }
    return gain;
  }

  // Bits of one tile with latents, as if it were a chunk of its own.
  double tile_cost(size_t gain, size_t t, const Batch& z) const {
    ThreeBranch::Section s = section_;
    s.gain = gain;
    s.q.assign(grid_.cell_count() * m_.channels_, 0);
    quantise(z, std::span(&t, 1), s);
    LatentGrid latents{1, {grid_.tile[0], grid_.tile[1], grid_.tile[2]}, static_cast<int64_t>(m_.channels_)};
    std::vector<int32_t> q(static_cast<size_t>(latents.count()));
    grid_.each_cell(t, 0, [&](size_t at, int64_t from) {
      if (from < 0) return;
      std::copy_n(s.q.begin() + from * latents.channels, latents.channels,
                  q.begin() + static_cast<ptrdiff_t>(at) * latents.channels);
    });
    const Batch y = m_.decode_tiles(s, grid_, std::span(&t, 1));
    std::vector<int32_t> rest(static_cast<size_t>(grid_.tile_points()));
    grid_.each_point(
        t, [&](size_t p, size_t at) { rest[p] = limited_difference(field_[at], s.scale.value(y[p])); });
    return m_.coder_.bits(latents, gain, q) + cost_of(rest);
  }

  double field_cost(size_t t) const {
    std::vector<int32_t> values(static_cast<size_t>(grid_.tile_points()));
    grid_.each_point(
        t, [&](size_t p, size_t at) { values[p] = limited_difference(field_[at], section_.scale.mean); });
    return cost_of(values);
  }

  // About what the corrections pay for a tile of differences.
  double cost_of(std::span<const int32_t> rest) const {
    const Extents e{3,
                    {static_cast<uint64_t>(grid_.tile[0] * grid_.step[0]),
                     static_cast<uint64_t>(grid_.tile[1] * grid_.step[1]),
                     static_cast<uint64_t>(grid_.tile[2] * grid_.step[2])}};
    return corrections_estimate(rest, e, bin_);
  }

  const ThreeBranch& m_;
  std::span<const int32_t> field_;
  TileGrid grid_;
  int32_t bin_;
  FieldMoments moments_;
  double ratio_ = 0;
  ThreeBranch::Section section_;
};

std::optional<Bytes> ThreeBranch::encode(std::span<const int32_t> field, const Extents& extents,
                                         int32_t bin) const {
  if (!serves(extents) || field.size() != extents.count() || bin < 1) return std::nullopt;
  return ThreeBranchEncoder(*this, field, extents, bin).run();
}

}  // namespace h5neural

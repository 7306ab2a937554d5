// schedule.cc: see schedule.h. The measure of an axis is the mean error of linear interpolation along it at
// the stride at hand; axes that are much smoother than the others are refined first (they are the cheap ones
// to interpolate).
#include "corrections/schedule.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

namespace h5neural {
namespace {

constexpr int kRootPoints = 4;  // grids of at most this many points are the root
constexpr int kMaxLevels = 4 * 32;

// Mean |x(p) - (x(p - s) + x(p + s)) / 2| along one axis over a sample of the points of the stride grid;
// negative where the axis is too short to tell.
double roughness(const Index4& n, const Index4& stride, int axis, const std::vector<double>& x,
                 const std::vector<uint8_t>& skip) {
  std::array<int64_t, kAxes> jump{};
  int64_t size = 1;
  for (int a = kAxes - 1; a >= 0; --a) {
    jump[a] = size;
    size *= n[a];
  }
  const int s = stride[axis];
  if (n[axis] <= 2 * s) return -1;
  Index4 count{};
  for (int a = 0; a < kAxes; ++a) count[a] = (n[a] + stride[a] - 1) / stride[a];
  count[axis] = (n[axis] - 1) / s - 1;  // centres at s, 2 s, ... with a neighbour on both sides
  const int64_t total = points(count);
  const int64_t every = std::max<int64_t>(1, total / 6000) | 1;  // odd: does not lock on to even extents
  double sum = 0;
  int64_t used = 0;
  for (int64_t k = 0; k < total; k += every) {
    int64_t rest = k, p = 0;
    for (int a = kAxes - 1; a >= 0; --a) {
      const int64_t i = rest % count[a] + (a == axis ? 1 : 0);
      rest /= count[a];
      p += i * stride[a] * jump[a];
    }
    const int64_t d = s * jump[axis];
    if (!skip.empty() && (skip[p] || skip[p - d] || skip[p + d])) continue;
    sum += std::abs(x[p] - 0.5 * (x[p - d] + x[p + d]));
    ++used;
  }
  return used == 0 ? -1 : sum / used;
}

struct Mean {
  double sum = 0;
  int64_t count = 0;
  void add(double v) {
    sum += v;
    ++count;
  }
  double mean() const { return sum / static_cast<double>(count); }
};

// Whether the field goes on over the seam of an axis as it does inside: |x(p) - (x(p - 1) + x(p + 1)) / 2| of
// the first and the last point, against the mean of four points inside, over a sample of the lines; and
// whether that helps, as it does not where points tell nothing of their neighbours.
bool wraps(const Index4& n, int axis, const std::vector<double>& x, const std::vector<uint8_t>& skip) {
  constexpr int kLeastExtent = 8;
  constexpr int64_t kMostLines = 4000;
  constexpr double kRougher = 1.5, kOfSteps = 0.8;
  if (n[axis] < kLeastExtent || n[axis] % 2 != 0) return false;
  int64_t inner = 1;
  for (int a = axis + 1; a < kAxes; ++a) inner *= n[a];
  const int64_t length = n[axis], lines = static_cast<int64_t>(x.size()) / length;
  const int64_t every = std::max<int64_t>(1, lines / kMostLines) | 1;
  Mean seam, inside, steps;
  for (int64_t line = 0; line < lines; line += every) {
    const int64_t first = line / inner * length * inner + line % inner;
    const auto at = [&](int64_t i) { return first + (i + length) % length * inner; };
    const auto bend = [&](int64_t i, Mean& mean, Mean* step) {
      const int64_t p = at(i - 1), q = at(i), r = at(i + 1);
      if (!skip.empty() && (skip[p] || skip[q] || skip[r])) return;
      mean.add(std::abs(x[q] - (x[p] + x[r]) / 2));
      if (step != nullptr) step->add(std::abs(x[q] - x[p]));
    };
    bend(0, seam, nullptr);
    bend(length - 1, seam, nullptr);
    for (int64_t k = 1; k <= 4; ++k) bend(k * length / 5, inside, &steps);
  }
  if (seam.count == 0 || inside.count == 0) return false;
  return seam.mean() <= kRougher * inside.mean() && seam.mean() <= kOfSteps * steps.mean();
}

struct Roughness {
  std::array<double, kAxes> of{};
  double least = -1;
};

Roughness measure(const Index4& n, const Index4& stride, const std::vector<double>& x,
                  const std::vector<uint8_t>& skip) {
  Roughness r;
  for (int a = 0; a < kAxes; ++a) {
    r.of[a] = roughness(n, stride, a, x, skip);
    if (r.of[a] >= 0 && (r.least < 0 || r.of[a] < r.least)) r.least = r.of[a];
  }
  return r;
}

// The way in which values best go on beyond the end of a line, judged inside: from two points `step` apart to
// the next one, each of the two off by `noise`.
uint8_t best_onward(const Index4& n, const Index4& stride, int axis, int step, const std::vector<double>& x,
                    const std::vector<uint8_t>& skip, double noise) {
  constexpr std::array<double, kOnwards> kSlope = {1, 0.625, 0};
  constexpr int64_t kSamples = 3000;
  constexpr int kLeastSamples = 20;
  std::array<int64_t, kAxes> jump{};
  Index4 count{};
  int64_t size = 1;
  for (int a = kAxes - 1; a >= 0; --a) {
    jump[a] = size;
    size *= n[a];
    count[a] = (n[a] + stride[a] - 1) / stride[a];
  }
  count[axis] = (n[axis] - 1) / step - 1;
  if (count[axis] <= 0) return kStraight;
  const int64_t total = points(count), every = std::max<int64_t>(1, total / kSamples) | 1;
  std::array<double, kOnwards> cost{};
  int64_t used = 0;
  for (int64_t k = 0; k < total; k += every) {
    int64_t rest = k, p = 0;
    for (int a = kAxes - 1; a >= 0; --a) {
      const int64_t i = rest % count[a];
      rest /= count[a];
      p += (a == axis ? i * step : i * stride[a]) * jump[a];
    }
    const int64_t d = step * jump[axis], q = p + d, r = q + d;
    if (!skip.empty() && (skip[p] || skip[q] || skip[r])) continue;
    ++used;
    // Once towards either end.
    for (int o = 0; o < kOnwards; ++o) {
      const double s = kSlope[o], spread = noise * noise * ((1 + s) * (1 + s) + s * s);
      const double up = x[r] - x[q] - s * (x[q] - x[p]), down = x[p] - x[q] - s * (x[q] - x[r]);
      cost[o] += std::sqrt(up * up + spread) + std::sqrt(down * down + spread);
    }
  }
  if (used < kLeastSamples) return kStraight;
  return static_cast<uint8_t>(std::min_element(cost.begin(), cost.end()) - cost.begin());
}

// What is measured about a field, each but once: the schedules that are proposed have levels in common.
class Measurements {
 public:
  Measurements(const Index4& n, const std::vector<double>& x, const std::vector<uint8_t>& skip, double noise)
      : n_(n), x_(x), skip_(skip), noise_(noise) {}
  const Roughness& roughness(const Index4& stride) {
    const auto [found, made] = roughness_.try_emplace(stride);
    if (made) found->second = measure(n_, stride, x_, skip_);
    return found->second;
  }
  uint8_t onward(const Index4& stride, int axis, int step) {
    const auto [found, made] = onward_.try_emplace({stride, axis, step});
    if (made) found->second = best_onward(n_, stride, axis, step, x_, skip_, noise_);
    return found->second;
  }

 private:
  const Index4& n_;
  const std::vector<double>& x_;
  const std::vector<uint8_t>& skip_;
  double noise_;
  std::map<Index4, Roughness> roughness_;
  std::map<std::tuple<Index4, int, int>, uint8_t> onward_;
};

// Refines together, at each level, the axes whose roughness is within `ratio` of the least.
Schedule propose(const Index4& n, double ratio, Measurements& of) {
  Schedule s;
  s.n = n;
  Index4 grid = n, stride{1, 1, 1, 1};
  Level before;
  while (points(grid) > kRootPoints) {
    const Roughness& r = of.roughness(stride);
    Level level;
    level.weight = before.weight;  // kept where an axis is too short to be measured again
    for (int a = 0; a < kAxes; ++a) {
      // Axes too short to be measured wait until the others are done.
      const bool smooth = r.least >= 0 && r.of[a] >= 0 && r.of[a] <= ratio * r.least;
      if (grid[a] > 1 && (smooth || r.least < 0)) level.mask |= static_cast<uint8_t>(1 << a);
      if (r.of[a] > 0 && r.least > 0) {
        // Interpolation error grows about linearly with distance on rough data: squared distance by its
        // square.
        const double w = 2 * std::log2(r.of[a] / r.least) * 1.2;
        level.weight[a] = static_cast<uint8_t>(std::clamp<long>(std::lround(w), 0, kMaxWeight));
      }
    }
    if (level.mask == 0) {  // all measured axes are constant
      for (int a = 0; a < kAxes; ++a) level.mask |= static_cast<uint8_t>((grid[a] > 1) << a);
    }
    if (std::popcount(level.mask) > 3) level.mask &= static_cast<uint8_t>(level.mask - 1);
    for (int a = 0; a < kAxes; ++a) {
      const int step = stride[a] << (level.mask >> a & 1);
      if (grid[a] > 1) level.onward[a] = of.onward(stride, a, step);
    }
    s.levels.push_back(level);
    before = level;
    grid = coarser(grid, level.mask);
    for (int a = 0; a < kAxes; ++a) stride[a] <<= level.mask >> a & 1;
  }
  return s;
}

}  // namespace

Index4 fold(const Extents& extents) {
  std::vector<int64_t> wide;
  for (int a = 0; a < extents.rank; ++a) {
    if (extents.n[a] > 1) wide.push_back(static_cast<int64_t>(extents.n[a]));
  }
  while (wide.size() > kAxes) {
    wide[1] *= wide[0];
    wide.erase(wide.begin());
  }
  Index4 n{1, 1, 1, 1};
  for (size_t k = 0; k < wide.size(); ++k) {
    if (wide[k] > std::numeric_limits<int32_t>::max() / 4) {
      throw Failure(H5N_ERR_UNSUPPORTED, "h5neural: an axis of the chunk is too long; use smaller chunks");
    }
    n[kAxes - wide.size() + k] = static_cast<int>(wide[k]);
  }
  return n;
}

int32_t bin_width(int step_bits, int finer) {
  static constexpr int32_t kQuarter[] = {65536, 55109, 46341, 38968};  // 2^(-k/4), units of 2^-16
  const int shift = 16 + finer / 4;
  const int64_t width = ((int64_t{kQuarter[finer % 4]} << step_bits) + (int64_t{1} << (shift - 1))) >> shift;
  return static_cast<int32_t>(std::max<int64_t>(1, width));
}

Index4 coarser(const Index4& n, uint8_t mask) {
  Index4 c = n;
  for (int a = 0; a < kAxes; ++a) {
    if (mask >> a & 1) c[a] = (n[a] + 1) / 2;
  }
  return c;
}

namespace {

// What write and read share: the models, and where the weights are expected (those of the finer level).
struct ScheduleModels {
  std::array<std::array<BitModel, 2>, kAxes> mask;
  IntModel weight, finer;
  BitModel plain, uniform, wraps, straight;
  std::array<BitModel, 2> onward;  // whether it changes; to which of the other two
};

}  // namespace

void write_schedule(BitEncoder& out, const Schedule& s) {
  ScheduleModels m;
  const auto all = [&](auto&& is) { return std::all_of(s.levels.begin(), s.levels.end(), is); };
  const bool uniform = all([](const Level& l) { return l.finer == 0; });
  const bool straight = all([](const Level& l) { return l.onward == std::array<uint8_t, kAxes>{}; });
  const bool special = !uniform || !straight || s.wraps != 0;
  out.bit(m.plain, special);
  if (special) {
    out.bit(m.uniform, !uniform);
    out.bit(m.straight, !straight);
    out.bit(m.wraps, s.wraps != 0);
    for (int a = 0; a < kAxes && s.wraps != 0; ++a) {
      if (s.n[a] > 1) out.raw(s.wraps >> a & 1, 1);
    }
  }
  Index4 grid = s.n;
  Level before;
  for (const Level& level : s.levels) {
    for (int a = 0; a < kAxes; ++a) {
      if (grid[a] == 1) continue;
      out.bit(m.mask[a][before.mask >> a & 1], level.mask >> a & 1);
      m.weight.encode(out, level.weight[a] - before.weight[a]);
      if (straight) continue;
      const int change = (level.onward[a] - before.onward[a] + kOnwards) % kOnwards;
      out.bit(m.onward[0], change != 0);
      if (change != 0) out.bit(m.onward[1], change == 2);
    }
    if (!uniform) m.finer.encode(out, level.finer - before.finer);
    grid = coarser(grid, level.mask);
    before = level;
  }
}

Schedule read_schedule(BitDecoder& in, const Index4& n) {
  ScheduleModels m;
  Schedule s;
  s.n = n;
  bool uniform = true, straight = true;
  if (in.bit(m.plain)) {
    uniform = !in.bit(m.uniform);
    straight = !in.bit(m.straight);
    const bool wraps = in.bit(m.wraps);
    for (int a = 0; a < kAxes && wraps; ++a) {
      if (n[a] > 1) s.wraps |= static_cast<uint8_t>(in.raw(1) << a);
    }
  }
  Index4 grid = n;
  Level before;
  while (points(grid) > kRootPoints) {
    Level level;
    for (int a = 0; a < kAxes; ++a) {
      if (grid[a] == 1) continue;
      level.mask |= static_cast<uint8_t>(in.bit(m.mask[a][before.mask >> a & 1]) << a);
      const int64_t w = int64_t{before.weight[a]} + m.weight.decode(in);
      if (w < 0 || w > kMaxWeight) fail_corrupt("an axis weight is out of range");
      level.weight[a] = static_cast<uint8_t>(w);
      if (straight) continue;
      const int change = in.bit(m.onward[0]) ? (in.bit(m.onward[1]) ? 2 : 1) : 0;
      level.onward[a] = static_cast<uint8_t>((before.onward[a] + change) % kOnwards);
    }
    if (!uniform) {
      const int64_t f = int64_t{before.finer} + m.finer.decode(in);
      if (f < 0 || f > kMaxFiner) fail_corrupt("a level's bins are out of range");
      level.finer = static_cast<uint8_t>(f);
    }
    if (level.mask == 0 || std::popcount(level.mask) > 3 || s.levels.size() >= kMaxLevels) {
      fail_corrupt("a level refines no axis, or too many");
    }
    s.levels.push_back(level);
    grid = coarser(grid, level.mask);
    before = level;
  }
  return s;
}

Schedule straightened(Schedule schedule) {
  for (Level& level : schedule.levels) level.onward = {};
  return schedule;
}

Schedule all_axes_alike(const Index4& n) {
  Schedule s;
  s.n = n;
  for (Index4 grid = n; points(grid) > kRootPoints; grid = coarser(grid, s.levels.back().mask)) {
    Level level;
    for (int a = 0; a < kAxes; ++a) level.mask |= static_cast<uint8_t>((grid[a] > 1) << a);
    if (std::popcount(level.mask) > 3) level.mask &= static_cast<uint8_t>(level.mask - 1);
    s.levels.push_back(level);
  }
  return s;
}

Schedule axis_by_axis(const Schedule& schedule) {
  Schedule s;
  s.n = schedule.n;
  s.wraps = schedule.wraps;
  Index4 grid = s.n;
  for (const Level& level : schedule.levels) {
    for (int a = 0; a < kAxes && points(grid) > kRootPoints; ++a) {
      if (!(level.mask >> a & 1)) continue;
      Level single = level;
      single.mask = static_cast<uint8_t>(1 << a);
      s.levels.push_back(single);
      grid = coarser(grid, single.mask);
    }
  }
  return s;
}

Schedule cropped(const Schedule& schedule, const Index4& n) {
  Schedule s;
  s.n = n;
  for (int a = 0; a < kAxes; ++a) {
    if (n[a] == schedule.n[a]) s.wraps |= static_cast<uint8_t>(schedule.wraps & 1 << a);
  }
  Index4 grid = n;
  for (size_t l = 0; points(grid) > kRootPoints; ++l) {
    Level level = schedule.levels[std::min(l, schedule.levels.size() - 1)];
    const bool last = l + 1 >= schedule.levels.size();
    for (int a = 0; a < kAxes; ++a) {
      if (grid[a] == 1) level.mask &= static_cast<uint8_t>(~(1 << a));
    }
    if (level.mask == 0 && last) {  // what is left lies along axes that the last level leaves alone
      for (int a = 0; a < kAxes; ++a) level.mask |= static_cast<uint8_t>((grid[a] > 1) << a);
      if (std::popcount(level.mask) > 3) level.mask &= static_cast<uint8_t>(level.mask - 1);
    }
    if (level.mask == 0) continue;
    s.levels.push_back(level);
    grid = coarser(grid, level.mask);
  }
  return s;
}

std::vector<Schedule> propose_schedules(const Index4& n, const std::vector<double>& values,
                                        const std::vector<uint8_t>& skip, double noise) {
  uint8_t around = 0;
  for (int a = 0; a < kAxes; ++a) around |= static_cast<uint8_t>(wraps(n, a, values, skip) << a);
  std::vector<Schedule> found;
  Measurements measurements(n, values, skip, noise);
  for (const double ratio : {1e300, 2.5, 1.3}) {
    Schedule s = propose(n, ratio, measurements);
    s.wraps = around;
    if (std::find(found.begin(), found.end(), s) == found.end()) found.push_back(std::move(s));
  }
  return found;
}

}  // namespace h5neural

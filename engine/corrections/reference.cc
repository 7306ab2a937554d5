// reference.cc: see reference.h.
#include "corrections/reference.h"

#include <algorithm>

namespace h5neural {
namespace {

constexpr int kFiner = 3;            // the mean is coded with bins of 2^-3 of the chunk's
constexpr int kLeastRepeats = 6;     // planes along the axis
constexpr double kLeastShare = 0.5;  // of the variance that the mean must explain

// The chunk seen as outer x length x inner along one axis.
struct Along {
  int64_t outer = 1, length, inner = 1;
  Along(const Index4& n, int axis) : length(n[axis]) {
    for (int a = 0; a < axis; ++a) outer *= n[a];
    for (int a = axis + 1; a < kAxes; ++a) inner *= n[a];
  }
  int64_t cells() const { return outer * inner; }
  int64_t first(int64_t cell) const { return cell / inner * length * inner + cell % inner; }
};

// Cells with no coded point at all: left out of the mean's walk, by reader and writer alike.
std::vector<uint8_t> empty_cells(const WalkInput& in, const Along& l) {
  std::vector<uint8_t> empty;
  if (in.skip.empty()) return empty;
  empty.assign(l.cells(), 1);
  for (int64_t c = 0; c < l.cells(); ++c) {
    for (int64_t k = 0; k < l.length && empty[c]; ++k) empty[c] = in.skip[l.first(c) + k * l.inner] != 0;
  }
  return empty;
}

WalkInput mean_input(const WalkInput& in, int axis, const std::vector<uint8_t>& skip) {
  WalkInput m;
  m.n = in.n;
  m.n[axis] = 1;
  m.step_bits = std::max(0, in.step_bits - kFiner);
  m.skip = skip;
  return m;
}

std::vector<int32_t> spread(const std::vector<int32_t>& mean, const Along& l) {
  std::vector<int32_t> base(l.cells() * l.length);
  for (int64_t c = 0; c < l.cells(); ++c) {
    for (int64_t k = 0; k < l.length; ++k) base[l.first(c) + k * l.inner] = mean[c];
  }
  return base;
}

struct Mean {
  std::vector<double> of;
  double left = 0;  // sum of squares about it
};

Mean mean_along(const WalkInput& in, const Along& l, std::span<const double> target) {
  Mean m;
  m.of.resize(l.cells());
  for (int64_t c = 0; c < l.cells(); ++c) {
    double sum = 0, squares = 0;
    int64_t used = 0;
    for (int64_t k = 0; k < l.length; ++k) {
      const int64_t p = l.first(c) + k * l.inner;
      if (!in.skip.empty() && in.skip[p]) continue;
      sum += target[p];
      squares += target[p] * target[p];
      ++used;
    }
    if (used == 0) continue;
    m.of[c] = sum / double(used);
    m.left += std::max(0.0, squares - sum * m.of[c]);
  }
  return m;
}

}  // namespace

std::optional<int> reference_axis(const WalkInput& in, std::span<const double> target) {
  double sum = 0, squares = 0, used = 0;
  for (size_t p = 0; p < target.size(); ++p) {
    if (!in.skip.empty() && in.skip[p]) continue;
    sum += target[p];
    squares += target[p] * target[p];
    ++used;
  }
  const double all = used == 0 ? 0 : squares - sum * sum / used;
  std::optional<int> best;
  double least = (1 - kLeastShare) * all;
  for (int a = 0; a < kAxes; ++a) {
    if (in.n[a] < kLeastRepeats || int64_t{in.n[a]} == static_cast<int64_t>(target.size())) continue;
    const double left = mean_along(in, Along(in.n, a), target).left;
    if (left < least) {
      least = left;
      best = a;
    }
  }
  return best;
}

Bytes encode_reference(const WalkInput& in, int axis, std::span<const double> target,
                       const WalkEffort& effort, std::vector<int32_t>& base) {
  const Along l(in.n, axis);
  const std::vector<uint8_t> skip = empty_cells(in, l);
  const WalkInput m = mean_input(in, axis, skip);
  const Mean mean = mean_along(in, l, target);
  const std::vector<Schedule> schedules = propose_schedules(m.n, mean.of, skip, usual_error(m));
  std::vector<int32_t> decoded;
  Bytes section = encode_walk(m, schedules.front(), mean.of, effort, decoded);
  base = spread(decoded, l);
  return section;
}

std::vector<int32_t> decode_reference(const WalkInput& in, int axis, ByteSpan section) {
  const Along l(in.n, axis);
  const std::vector<uint8_t> skip = empty_cells(in, l);
  std::vector<int32_t> mean(l.cells());
  decode_walk(mean_input(in, axis, skip), section, mean);
  return spread(mean, l);
}

}  // namespace h5neural

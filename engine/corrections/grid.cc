// grid.cc: see grid.h.
#include "corrections/grid.h"

#include "kernels/kernels.h"

namespace h5neural {

Layout Layout::make(const Index4& extents, uint8_t refined, uint8_t around, int apart) {
  Layout l;
  l.n = extents;
  l.mask = refined;
  l.wraps = around;
  const auto wide = std::count_if(l.n.begin(), l.n.end(), [](int extent) { return extent > 1; }) -
                    (apart >= 0 && l.n[apart] > 1 ? 1 : 0);
  // Stencils reach further where there are fewer axes to find neighbours on, and hardly along short axes,
  // whose ghosts would outnumber their points.
  const int far = wide <= 1 ? 9 : wide <= 3 ? 5 : 3;
  int64_t size = 1;
  for (int a = kAxes - 1; a >= 0; --a) {
    const int n = l.n[a];
    const bool halved = refined >> a & 1;
    l.reach[a] = n == 1 || a == apart ? 0 : n == 2 ? 1 : n <= 5 ? std::min(far, 2) : far;
    // Two points that are one in each class need no ghosts: either has but the other for a neighbour.
    l.margin[a] = !halved ? l.reach[a] : n <= 2 ? 0 : (l.reach[a] + 1) / 2;
    l.stride[a] = size;
    l.origin += l.margin[a] * size;
    size *= (halved ? (n + 1) / 2 : n) + 2 * l.margin[a];
  }
  l.size = size + kOverhang;
  return l;
}

namespace {

// Calls line(first) for the first point of each line of the class along axis a, lines through the ghosts of
// axes before it included. Lines along slower axes go by rows: each call then stands for all lines of a row.
template <class T, class Line>
void for_lines(const Layout& l, const Index4& count, int a, T* values, Line line) {
  Index4 from{}, to = count;
  for (int b = 0; b < a; ++b) {
    from[b] = -l.margin[b];
    to[b] = count[b] + l.margin[b];
  }
  to[a] = 1;
  to[kAxes - 1] = 1;
  from[kAxes - 1] = 0;
  Index4 i{};
  for (i[0] = from[0]; i[0] < to[0]; ++i[0]) {
    for (i[1] = from[1]; i[1] < to[1]; ++i[1]) {
      for (i[2] = from[2]; i[2] < to[2]; ++i[2]) line(values + l.at(i));
    }
  }
}

// Ghosts of the class along axis a, of each line by ghosts(first, step, inner, count, width): `count` ghosts
// from the outermost point `first` on, `step` apart, its neighbour in the class at `inner` from it; the same
// for `width` lines side by side. The compiler vectorises these.
template <class T, class Ghosts>
void extend_axis(const Layout& l, const Index4& count, int a, T* values, Ghosts ghosts) {
  const int64_t d = l.stride[a], inner = count[a] > 1 ? d : 0;
  const int width = a == kAxes - 1 ? 1 : count[kAxes - 1];
  // High ghosts reach as far as those of class 0, which may have one point more.
  const int beyond = l.margin[a] + (l.mask >> a & 1 ? (l.n[a] + 1) / 2 - count[a] : 0);
  for_lines(l, count, a, values, [&](T* first) {
    ghosts(first, -d, inner, l.margin[a], width);
    ghosts(first + (count[a] - 1) * d, d, -inner, beyond, width);
  });
}

// The same where the axis wraps: all its classes have as many points, and ghosts repeat them.
template <class T>
void wrap_axis(const Layout& l, const Index4& count, int a, T* values) {
  const int64_t d = l.stride[a];
  const int width = a == kAxes - 1 ? 1 : count[kAxes - 1], n = count[a];
  for_lines(l, count, a, values, [&](T* first) {
    for (int k = 0; k < l.margin[a]; ++k) {
      std::copy_n(first + (n - 1 - k % n) * d, width, first - (k + 1) * d);
      std::copy_n(first + k % n * d, width, first + (n + k) * d);
    }
  });
}

// Fills the ghosts of a class axis after axis, by the points of the other end or by extend(count, axis).
template <class T, class Extend>
void extend_class(const Layout& l, uint8_t axes, Array<T>& values, Extend extend) {
  const Index4 count = l.count(axes);
  if (points(count) == 0) return;
  // Along an axis already done the lines start in the ghosts as well, so corners are filled too.
  for (int a = 0; a < kAxes; ++a) {
    if (l.margin[a] == 0) continue;
    if (l.wraps >> a & 1) {
      wrap_axis(l, count, a, values.data());
    } else {
      extend(count, a);
    }
  }
}

constexpr int32_t kSteepest = kLatticeMax >> 2;  // ten steps of it stay within 32 bits
constexpr int kMostGhosts = 16;

// By how many 256ths of the slope the k-th ghost lies beyond the outermost point.
constexpr std::array<int32_t, kMostGhosts + 1> kDampedSteps = [] {
  std::array<int32_t, kMostGhosts + 1> sum{};
  for (int k = 1; k <= kMostGhosts; ++k) sum[k] = sum[k - 1] + (k <= 8 ? 160 >> (k - 1) : 0);
  return sum;
}();

// Calls out = next(k, point, slope) for the k-th ghost.
template <class Next>
auto by_slope(Next next) {
  return [next](int32_t* first, int64_t step, int64_t inner, int count, int width) {
    const auto slope = [&](int x) { return std::clamp(first[x] - first[x + inner], -kSteepest, kSteepest); };
    if (width == 1) {
      const int32_t p = *first, s = slope(0);
      for (int k = 1; k <= count; ++k) first[k * step] = next(k, p, s);
      return;
    }
    for (int k = 1; k <= count; ++k) {
      int32_t* out = first + k * step;
      for (int x = 0; x < width; ++x) out[x] = next(k, first[x], slope(x));
    }
  };
}

// Ghosts that repeat the outermost point.
template <class T>
auto level_ghosts() {
  return [](T* first, int64_t step, int64_t, int count, int width) {
    if (width == 1) {
      for (int k = 1; k <= count; ++k) first[k * step] = *first;
      return;
    }
    for (int k = 1; k <= count; ++k) std::copy_n(first, width, first + k * step);
  };
}

}  // namespace

void extend_values(const Layout& l, uint8_t axes, Array<int32_t>& values) {
  extend_class(l, axes, values, [&](const Index4& count, int a) {
    const auto along = [&](auto ghosts) { extend_axis(l, count, a, values.data(), ghosts); };
    if (l.onward[a] == kFlat) {
      along(level_ghosts<int32_t>());
    } else if (l.onward[a] == kDamped) {
      along(by_slope([](int k, int32_t p, int32_t slope) {
        // (w slope) >> 8, in two parts that fit in 32 bits.
        const int32_t w = kDampedSteps[k], part = w * (slope >> 8) + (w * (slope & 255) >> 8);
        return std::clamp(p + part, -kLatticeMax, kLatticeMax);
      }));
    } else {
      along(by_slope([](int k, int32_t p, int32_t slope) {
        return std::clamp(p + k * slope, -kLatticeMax, kLatticeMax);
      }));
    }
  });
}

void extend_magnitudes(const Layout& l, uint8_t axes, Array<uint16_t>& magnitudes) {
  extend_class(l, axes, magnitudes, [&](const Index4& count, int a) {
    extend_axis(l, count, a, magnitudes.data(), level_ghosts<uint16_t>());
  });
}

}  // namespace h5neural

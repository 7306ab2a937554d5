// grid.cc: see grid.h.
#include "corrections/grid.h"

#include "kernels/kernels.h"

namespace h5neural {

Layout Layout::make(const Index4& extents, uint8_t refined, uint8_t around) {
  Layout l;
  l.n = extents;
  l.mask = refined;
  l.wraps = around;
  const auto wide = std::count_if(l.n.begin(), l.n.end(), [](int extent) { return extent > 1; });
  // Stencils reach further where there are fewer axes to find neighbours on, and hardly along short axes,
  // whose ghosts would outnumber their points.
  const int far = wide <= 1 ? 9 : wide <= 3 ? 5 : 3;
  int64_t size = 1;
  for (int a = kAxes - 1; a >= 0; --a) {
    const int n = l.n[a];
    const bool halved = refined >> a & 1;
    l.reach[a] = n == 1 ? 0 : n == 2 ? 1 : n <= 5 ? std::min(far, 2) : far;
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

// Ghosts of the class along axis a: for each line, extend(k, first, second) for the k-th ghost before the
// first point, and likewise after the last one. The compiler vectorises rows.
template <class T, class Extend>
void extend_axis(const Layout& l, const Index4& count, int a, T* values, Extend extend) {
  const int64_t d = l.stride[a], inner = count[a] > 1 ? d : 0;
  const int width = a == kAxes - 1 ? 1 : count[kAxes - 1];
  // High ghosts reach as far as those of class 0, which may have one point more.
  const int beyond = l.margin[a] + (l.mask >> a & 1 ? (l.n[a] + 1) / 2 - count[a] : 0);
  for_lines(l, count, a, values, [&](T* first) {
    T* last = first + (count[a] - 1) * d;
    for (int k = 1; k <= l.margin[a]; ++k) {
      T* out = first - k * d;
      for (int x = 0; x < width; ++x) out[x] = extend(k, first[x], first[x + inner]);
    }
    for (int k = 1; k <= beyond; ++k) {
      T* out = last + k * d;
      for (int x = 0; x < width; ++x) out[x] = extend(k, last[x], last[x - inner]);
    }
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

// By how many 256ths of the slope the k-th ghost lies beyond the outermost point.
int32_t damped(int k) {
  int32_t sum = 0;
  for (int j = 0; j < k; ++j) sum += 160 >> j;
  return sum;
}

}  // namespace

void extend_values(const Layout& l, uint8_t axes, Array<int32_t>& values) {
  static constexpr int32_t kSteepest = kLatticeMax >> 2;  // ten steps of it stay within 32 bits
  const auto slope = [](int32_t p, int32_t inner) { return std::clamp(p - inner, -kSteepest, kSteepest); };
  extend_class(l, axes, values, [&](const Index4& count, int a) {
    const auto along = [&](auto extend) { extend_axis(l, count, a, values.data(), extend); };
    if (l.onward[a] == kFlat) {
      along([](int, int32_t p, int32_t) { return p; });
    } else if (l.onward[a] == kDamped) {
      along([&](int k, int32_t p, int32_t inner) {
        return clamp_lattice(p + (int64_t{damped(k)} * slope(p, inner) >> 8));
      });
    } else {
      along([&](int k, int32_t p, int32_t inner) {
        return std::clamp(p + k * slope(p, inner), -kLatticeMax, kLatticeMax);
      });
    }
  });
}

void extend_magnitudes(const Layout& l, uint8_t axes, Array<uint16_t>& magnitudes) {
  extend_class(l, axes, magnitudes, [&](const Index4& count, int a) {
    extend_axis(l, count, a, magnitudes.data(), [](int, uint16_t p, uint16_t) { return p; });
  });
}

}  // namespace h5neural

// box.h: a box in the middle of a chunk, on which the writer tries what it does not want to try on the whole.
#pragma once
#include <span>
#include <vector>

#include "corrections/grid.h"

namespace h5neural {

struct Box {
  static constexpr int kLeastExtent = 12;  // axes are not cut below it
  Index4 n, first{};

  // Of at most `most` points, where the axes are long enough for that. The longest axis is cut first; axes
  // that wrap later than others, since the part has ends that the chunk has not.
  Box(const Index4& whole, double most, uint8_t wraps = 0) : n(whole) {
    const auto length = [&](int a) { return n[a] == whole[a] && wraps >> a & 1 ? n[a] * 5 / 8 : n[a]; };
    while (double(points(n)) > most) {
      int cut = -1;
      for (int a = 0; a < kAxes; ++a) {
        if (n[a] >= 2 * kLeastExtent && (cut < 0 || length(a) > length(cut))) cut = a;
      }
      if (cut < 0) break;
      n[cut] = (n[cut] + 1) / 2;
    }
    for (int a = 0; a < kAxes; ++a) first[a] = (whole[a] - n[a]) / 2;
  }

  template <class T>
  std::vector<T> cut(std::span<const T> full, const Index4& whole) const {
    std::vector<T> part;
    if (full.empty()) return part;
    part.reserve(points(n));
    for_rows(n, [&](const Index4& i) {
      int64_t at = 0;
      for (int a = 0; a < kAxes; ++a) at = at * whole[a] + first[a] + i[a];
      part.insert(part.end(), full.begin() + at, full.begin() + at + n[kAxes - 1]);
    });
    return part;
  }
};

}  // namespace h5neural

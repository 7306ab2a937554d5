// stencil.cc: see stencil.h.
#include "corrections/stencil.h"

#include <algorithm>
#include <bit>
#include <iterator>

#include "support/failure.h"

namespace h5neural {
std::vector<uint8_t> coset_order(uint8_t mask) {
  std::vector<int> axis;
  for (int a = 0; a < kAxes; ++a) {
    if (mask >> a & 1) axis.push_back(a);
  }
  // Bits count from the slowest of the refined axes. Measured on turbulence (docs/design.md).
  // By number of axes; of each row the first 2^n - 1. Plain arrays: readers may still run while the process
  // exits.
  static constexpr uint8_t kOrders[][7] = {{}, {1}, {3, 2, 1}, {7, 6, 1, 5, 2, 3, 4}};
  if (axis.size() >= std::size(kOrders)) fail_corrupt("a level refines more than three axes");
  std::vector<uint8_t> order;
  for (size_t i = 0; i + 1 < size_t{1} << axis.size(); ++i) {
    const uint8_t bits = kOrders[axis.size()][i];
    uint8_t c = 0;
    for (size_t k = 0; k < axis.size(); ++k) {
      if (bits >> (axis.size() - 1 - k) & 1) c |= static_cast<uint8_t>(1 << axis[k]);
    }
    order.push_back(c);
  }
  return order;
}

Neighbour neighbour(const Layout& l, uint8_t axes, const Index4& d) {
  Neighbour n{axes, 0};
  for (int a = 0; a < kAxes; ++a) {
    int step = d[a];
    if (l.mask >> a & 1) {
      const int own = axes >> a & 1, other = own ^ (d[a] & 1);
      n.axes ^= static_cast<uint8_t>((own ^ other) << a);
      step = (own + d[a] - other) / 2;
    }
    // Without a margin there is one point in each class, the same on both sides.
    if (l.margin[a] > 0) n.offset += step * l.stride[a];
  }
  return n;
}

int64_t weighted_square(const Index4& d, const std::array<uint8_t, kAxes>& weight) {
  static constexpr int64_t kPower[kMaxWeight + 1] = {256,  362,  512,  724,  1024, 1448,
                                                     2048, 2896, 4096, 5793, 8192, 11585};
  int64_t h = 0;
  for (int a = 0; a < kAxes; ++a) h += int64_t{d[a]} * d[a] * kPower[weight[a]];
  return h;
}

Stencil make_stencil(const Layout& l, const Level& level, uint8_t axes, uint32_t known) {
  // Offsets are numbered in lexicographic order; those after the middle one have a positive first component.
  const Index4& r = l.reach;
  Index4 width{};
  for (int a = 0; a < kAxes; ++a) width[a] = 2 * r[a] + 1;
  const auto offset = [&](int64_t number) {
    Index4 d{};
    for (int a = kAxes - 1; a >= 0; --a) {
      d[a] = static_cast<int>(number % width[a]) - r[a];
      number /= width[a];
    }
    return d;
  };
  // Sorted by distance, then by number: one key holds both.
  constexpr int kNumberBits = 16;  // 19 or 11^3 or 7^4 offsets
  std::vector<int64_t> keys;
  const int64_t all = points(width), middle = all / 2;
  keys.reserve(middle);
  for (int64_t k = middle + 1; k < all; ++k) {
    const Index4 d = offset(k);
    uint8_t odd = axes;
    for (int a = 0; a < kAxes; ++a) odd ^= static_cast<uint8_t>((d[a] & level.mask >> a & 1) << a);
    if (known >> odd & 1) keys.push_back(weighted_square(d, level.weight) << kNumberBits | k);
  }
  const size_t keep = std::min<size_t>(keys.size(), kMaxPairs);
  std::partial_sort(keys.begin(), keys.begin() + static_cast<int64_t>(keep), keys.end());
  Stencil s;
  for (size_t k = 0; k < keep; ++k) {
    s.offset.push_back(offset(keys[k] & ((1 << kNumberBits) - 1)));
    s.distance.push_back(keys[k] >> kNumberBits);
  }
  return s;
}

}  // namespace h5neural

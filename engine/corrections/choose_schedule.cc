// choose_schedule.cc: see choose_schedule.h.
#include "corrections/choose_schedule.h"

#include <algorithm>
#include <utility>

#include "support/parallel.h"

namespace h5neural {
namespace {

constexpr double kLeastPoints = 6000;
constexpr int kLeastExtent = 12;  // axes are not cut below it

// A box in the middle of the chunk.
struct Box {
  Index4 n, first{};

  Box(const Index4& whole, double most) : n(whole) {
    while (double(points(n)) > most) {
      const auto longest = std::max_element(n.begin(), n.end());
      if (*longest < 2 * kLeastExtent) break;
      *longest = (*longest + 1) / 2;
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

}  // namespace

std::vector<Schedule> choose_schedules(const WalkInput& in, const std::vector<Schedule>& schedules,
                                       std::span<const double> target, double share, double slack) {
  if (schedules.size() == 1) return schedules;
  const Box box(in.n, std::max(kLeastPoints, share * double(target.size())));
  if (box.n == in.n) return schedules;  // a part as large as the chunk would be coded for nothing
  const std::vector<double> field = box.cut(target, in.n);
  const std::vector<int32_t> base = box.cut(in.base, in.n);
  const std::vector<uint8_t> skip = box.cut(in.skip, in.n);
  WalkInput part;
  part.n = box.n;
  part.step_bits = in.step_bits;
  part.base = base;
  part.skip = skip;
  WalkEffort effort;
  effort.samples = 700;
  effort.rounds = 1;
  std::vector<std::pair<size_t, size_t>> sizes(schedules.size());
  parallel(static_cast<int>(schedules.size()), [&](int t) {
    const auto k = static_cast<size_t>(t);
    std::vector<int32_t> decoded;
    sizes[k] = {encode_walk(part, cropped(schedules[k], box.n), field, effort, decoded).size(), k};
  });
  std::sort(sizes.begin(), sizes.end());
  std::vector<Schedule> chosen;
  for (const auto& [bytes, k] : sizes) {
    if (double(bytes) <= slack * double(sizes.front().first)) chosen.push_back(schedules[k]);
  }
  return chosen;
}

}  // namespace h5neural

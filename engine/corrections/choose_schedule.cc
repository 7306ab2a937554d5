// choose_schedule.cc: see choose_schedule.h.
#include "corrections/choose_schedule.h"

#include <algorithm>
#include <utility>

#include "corrections/box.h"
#include "support/parallel.h"

namespace h5neural {
namespace {

constexpr double kLeastPoints = 6000;

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

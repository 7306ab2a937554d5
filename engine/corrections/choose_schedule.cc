// choose_schedule.cc: see choose_schedule.h.
#include "corrections/choose_schedule.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "support/parallel.h"

namespace h5neural {

double chance_between(size_t bytes) {
  const double n = double(std::max<size_t>(bytes, 1));
  return 0.3 / std::sqrt(n) + 8 / n;
}

Audition choose_schedules(const WalkInput& in, const std::vector<Schedule>& schedules,
                          std::span<const double> target, const Box& box, const WalkEffort& effort,
                          double margin) {
  const Part part(in, target, box);
  using Sized = std::pair<size_t, const Schedule*>;
  std::vector<Sized> sizes(schedules.size());
  parallel(static_cast<int>(schedules.size()), [&](int t) {
    const auto k = static_cast<size_t>(t);
    std::vector<int32_t> decoded;
    sizes[k] = {encode_walk(part.in, cropped(schedules[k], box.n), part.field, effort, decoded).size(),
                &schedules[k]};
  });
  const auto smaller = [](const Sized& a, const Sized& b) { return a.first < b.first; };
  std::stable_sort(sizes.begin(), sizes.end(), smaller);
  Audition found;
  found.bytes = sizes.front().first;
  const double limit = double(found.bytes) * (1 + margin + chance_between(found.bytes));
  for (const auto& [bytes, schedule] : sizes) {
    if (!found.best.empty() && (margin < 0 || double(bytes) > limit)) break;
    found.best.push_back(*schedule);
  }
  return found;
}

}  // namespace h5neural

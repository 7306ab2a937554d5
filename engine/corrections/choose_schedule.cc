// choose_schedule.cc: see choose_schedule.h.
#include "corrections/choose_schedule.h"

#include <algorithm>
#include <utility>

#include "corrections/box.h"
#include "support/parallel.h"

namespace h5neural {
namespace {

constexpr double kLeastPoints = 6000;
constexpr double kAlike = 1.03;
constexpr size_t kTelling = 200;  // bytes of a part that says something about the chunk

using Sized = std::pair<size_t, const Schedule*>;  // bytes of the part

// Those within `slack` of the first, which is the smallest. Of two that differ only in their ends the better
// one is enough, where it is clear which.
std::vector<Schedule> with_verdict(const std::vector<Sized>& sizes, double slack) {
  const auto least = double(sizes.front().first);
  std::vector<Schedule> chosen;
  for (const auto& [bytes, schedule] : sizes) {
    if (double(bytes) > slack * least) break;
    const bool clear = double(bytes) > kAlike * least;
    const bool twin = std::any_of(chosen.begin(), chosen.end(), [&s = *schedule](const Schedule& other) {
      return straightened(other) == straightened(s);
    });
    if (!clear || !twin) chosen.push_back(*schedule);
  }
  return chosen;
}

// The part says too little to go by, also about axes that wrap: some of each kind.
std::vector<Schedule> without_verdict(const std::vector<Sized>& sizes) {
  constexpr size_t kMost = 4, kMostPlain = 2;
  std::vector<Schedule> chosen, plain;
  for (const auto& [bytes, schedule] : sizes) {
    if (chosen.size() < kMost) chosen.push_back(*schedule);
    Schedule s = straightened(*schedule);
    s.wraps = 0;
    if (plain.size() < kMostPlain && std::find(plain.begin(), plain.end(), s) == plain.end())
      plain.push_back(s);
  }
  for (Schedule& s : plain) {
    if (std::find(chosen.begin(), chosen.end(), s) == chosen.end()) chosen.push_back(std::move(s));
  }
  return chosen;
}

}  // namespace

std::vector<Schedule> choose_schedules(const WalkInput& in, const std::vector<Schedule>& schedules,
                                       std::span<const double> target, double share, double slack) {
  if (schedules.size() == 1) return schedules;
  const Box box(in.n, std::max(kLeastPoints, share * double(target.size())), schedules.front().wraps);
  if (box.n == in.n) return schedules;  // a part as large as the chunk would be coded for nothing
  const std::vector<double> field = box.cut(target, in.n);
  const std::vector<int32_t> base = box.cut(in.base, in.n);
  const std::vector<uint8_t> skip = box.cut(in.skip, in.n);
  WalkInput part;
  part.n = box.n;
  part.step_bits = in.step_bits;
  part.base = base;
  part.skip = skip;
  part.learns = in.learns;
  WalkEffort effort;
  effort.samples = 700;
  effort.rounds = 1;
  const auto size = [&](const Schedule& schedule) {
    std::vector<int32_t> decoded;
    return encode_walk(part, cropped(schedule, box.n), field, effort, decoded).size();
  };
  std::vector<Sized> sizes(schedules.size());
  parallel(static_cast<int>(schedules.size()), [&](int t) {
    const auto k = static_cast<size_t>(t);
    sizes[k] = {size(schedules[k]), &schedules[k]};
  });
  const auto smaller = [](const Sized& a, const Sized& b) { return a.first < b.first; };
  std::stable_sort(sizes.begin(), sizes.end(), smaller);
  return sizes.front().first < kTelling && slack > 1 ? without_verdict(sizes) : with_verdict(sizes, slack);
}

}  // namespace h5neural

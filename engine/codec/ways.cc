// ways.cc: see ways.h.
#include "codec/ways.h"

#include <algorithm>

#include "codec/chunk.h"
#include "corrections/walk.h"

namespace h5neural {
namespace {

// From this effort every schedule codes the whole chunk, below it the one that codes a part of it best.
constexpr uint32_t kAllSchedulesFrom = 8;
// From this effort each schedule is tried with straight ends as well.
constexpr uint32_t kStraightFrom = 5;

}  // namespace

Audition Ways::likely_schedules(const WalkInput& in, const std::vector<double>& target,
                                const std::vector<double>& rest) const {
  const std::vector<Schedule> all = proposed(in, rest);
  if (params_.effort >= kAllSchedulesFrom || (all.size() == 1 && params_.effort == 0)) return {all, 0};
  // An L2 bound is searched for by coding: what wins on the part at one bound may not at the next.
  const bool closest = params_.effort < 6 && !is_l2(params_);
  const double margin = params_.effort < 5 ? -1 : closest ? 0 : params_.effort < 7 ? 0.04 : 0.1;
  return choose_schedules(in, all, target, part_of(in, target, all.front().wraps), quick_effort(), margin);
}

std::vector<Schedule> Ways::proposed(const WalkInput& in, const std::vector<double>& rest) const {
  std::vector<Schedule> all =
      parts_.axes ? propose_schedules(in.n, rest, {in.skip.begin(), in.skip.end()}, usual_error(in))
                  : std::vector<Schedule>{all_axes_alike(in.n)};
  if (!parts_.order) {
    for (Schedule& schedule : all) schedule = axis_by_axis(schedule);
  }
  for (Schedule& schedule : all) {
    for (size_t l = 0; l < schedule.levels.size(); ++l) {
      schedule.levels[l].finer = static_cast<uint8_t>(std::min<size_t>(kMaxFiner, l * finer));
    }
  }
  // How values go on beyond the ends is a guess: straight on is always tried as well.
  for (size_t k = 0, n = all.size(); k < n && params_.effort >= kStraightFrom; ++k) {
    Schedule straight = straightened(all[k]);
    if (straight != all[k]) all.push_back(std::move(straight));
  }
  return all;
}

Box Ways::part_of(const WalkInput& in, const std::vector<double>& target, uint8_t wraps) const {
  constexpr double kLeastPoints = 10000, kMostPoints = 65536;
  const double share = params_.effort < 3 ? 1.0 / 16 : 1.0 / 4;
  Box box(in.n, std::clamp(share * double(target.size()), kLeastPoints, kMostPoints), wraps);
  box.seek(in, target);
  return box;
}

WalkEffort Ways::quick_effort() const {
  WalkEffort w = effort();
  w.samples = std::min(w.samples, 1000);
  w.pool = 5 * w.samples;
  w.every_kriging = false;
  w.rounds = 1;
  return w;
}

WalkEffort Ways::effort() const {
  WalkEffort w = walk_effort(params_.effort);
  w.fitted = w.fitted && parts_.fit;
  w.any_kriging = parts_.kriging;
  w.contexts = parts_.contexts;
  w.tables = parts_.tables;
  return w;
}

PlanEffort Ways::plan_effort() const {
  if (params_.effort < 3) return {1.0 / 8, 1, 1};
  if (params_.effort < 7) return {1.0 / 4, 4, 1};
  return params_.effort < 9 ? PlanEffort{1.0 / 2, 6, 1} : PlanEffort{1.0, 6, 2};
}

}  // namespace h5neural

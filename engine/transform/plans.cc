// plans.cc: see plans.h.
#include "transform/plans.h"

#include <algorithm>
#include <bit>

#include "corrections/box.h"
#include "support/parallel.h"

namespace h5neural {
namespace {

constexpr int kShortest = 4;       // axes with fewer points are not split any further
constexpr int kShortestOuter = 8;  // nor are shorter ones taken apart alone

// Splits the axes of `axes` together, as long as they are long enough.
std::vector<uint8_t> octaves(Index4 n, uint8_t axes, int shortest) {
  std::vector<uint8_t> masks;
  while (masks.size() < kMaxStageLevels) {
    uint8_t mask = 0;
    for (int a = 0; a < kAxes; ++a) {
      if (axes >> a & 1 && n[a] >= shortest) mask |= static_cast<uint8_t>(1 << a);
    }
    if (mask == 0) break;
    masks.push_back(mask);
    n = band_count(n, mask, 0);
  }
  return masks;
}

constexpr uint8_t kAll = kClasses - 1;

// The axes of each set taken apart one set after the other, what is left together at last.
WaveletPlan staged(const Index4& n, const std::vector<uint8_t>& sets) {
  WaveletPlan plan{n, {}};
  uint8_t rest = kAll;
  for (const uint8_t set : sets) {
    plan.stages.push_back(octaves(n, set, 2));
    rest &= static_cast<uint8_t>(~set);
  }
  plan.stages.push_back(octaves(n, rest, kShortest));
  return plan;
}

// One more stage than the best so far, for axes that are long enough.
std::vector<std::vector<uint8_t>> refinements(const Index4& n, const std::vector<uint8_t>& sets) {
  std::vector<std::vector<uint8_t>> next;
  uint8_t taken = 0;
  for (const uint8_t s : sets) taken |= s;
  int left = 0;
  for (int a = 0; a < kAxes; ++a) left += n[a] > 1 && !(taken >> a & 1) ? 1 : 0;
  if (left < 2 || sets.size() + 2 > kMaxStages) return next;
  for (int a = 0; a < kAxes; ++a) {
    if (n[a] < kShortestOuter || taken >> a & 1) continue;
    next.push_back(sets);
    next.back().push_back(static_cast<uint8_t>(1 << a));
  }
  return next;
}

// Plans on a part of the field, and what they take there.
class PlanSearch {
 public:
  PlanSearch(const WalkInput& in, std::span<const double> target, const TransformChoice& choice,
             const PlanEffort& effort)
      : whole_(in.n),
        box_(in.n, std::max(kLeastPoints, effort.share * double(target.size()))),
        field_(box_.cut(target, in.n)),
        skip_(box_.cut(in.skip, in.n)),
        choice_(choice),
        effort_(effort) {
    part_.n = box_.n;
    part_.step_bits = in.step_bits;
    part_.skip = skip_;
  }

  std::vector<WaveletPlan> run(const std::vector<Schedule>& schedules) {
    for (const Schedule& s : schedules) {
      WaveletPlan plan{whole_, {{}}};
      for (const Level& l : s.levels) plan.stages[0].push_back(l.mask);
      if (plan.stages[0].size() > kMaxStageLevels) plan.stages[0].resize(kMaxStageLevels);
      tried_.push_back({0, {}, plan});
    }
    tried_.push_back({0, {}, staged(whole_, {})});
    for (const auto& sets : pairs()) tried_.push_back({0, sets, staged(whole_, sets)});
    for (const auto& sets : refinements(whole_, {})) tried_.push_back({0, sets, staged(whole_, sets)});
    estimate(0);
    // Further stages where one has helped.
    for (size_t from = tried_.size(); !best().sets.empty();) {
      for (const auto& sets : refinements(whole_, best().sets))
        tried_.push_back({0, sets, staged(whole_, sets)});
      if (from == tried_.size()) break;
      const double before = best_bits(from);
      estimate(from);
      if (best_bits(tried_.size()) >= before) break;
      from = tried_.size();
    }
    rank(tried_);
    std::vector<Tried> finalists;
    for (Tried& t : tried_) {
      const auto same = [&](const Tried& other) { return other.plan == t.plan; };
      if (finalists.size() < std::max(effort_.trials, effort_.most) &&
          std::none_of(finalists.begin(), finalists.end(), same)) {
        finalists.push_back(std::move(t));
      }
    }
    if (finalists.size() > effort_.most) try_out(finalists);
    std::vector<WaveletPlan> plans;
    for (size_t k = 0; k < std::min(effort_.most, finalists.size()); ++k) plans.push_back(finalists[k].plan);
    return plans;
  }

 private:
  static constexpr double kLeastPoints = 32768;
  struct Tried {
    double bits = 0;
    std::vector<uint8_t> sets;  // of axes that are taken apart first
    WaveletPlan plan;
  };

  // Two axes together before two others.
  std::vector<std::vector<uint8_t>> pairs() const {
    std::vector<std::vector<uint8_t>> sets;
    if (*std::min_element(whole_.begin(), whole_.end()) < 2) return sets;
    for (uint8_t axes = 1; axes < kAll; ++axes) {
      if (std::popcount(axes) == 2) sets.push_back({axes});
    }
    return sets;
  }

  void estimate(size_t from) {
    parallel(static_cast<int>(tried_.size() - from), [&](int t) {
      Tried& tried = tried_[from + static_cast<size_t>(t)];
      WaveletPlan plan = tried.plan;
      plan.n = box_.n;
      tried.bits = estimated_bits(analyse(plan, field_), choice_.step);
    });
  }

  static void rank(std::vector<Tried>& tried) {
    std::stable_sort(tried.begin(), tried.end(),
                     [](const Tried& a, const Tried& b) { return a.bits < b.bits; });
  }

  // By coding them: bytes, and what is left of the field at what a bit is worth.
  void try_out(std::vector<Tried>& finalists) const {
    parallel(static_cast<int>(finalists.size()), [&](int t) {
      Tried& tried = finalists[static_cast<size_t>(t)];
      WaveletPlan plan = tried.plan;
      plan.n = box_.n;
      std::vector<int32_t> decoded;
      CoefficientMemory memory;
      tried.bits =
          8 * double(encode_transform(part_, analyse(plan, field_), choice_, field_, memory, decoded).size());
      if (choice_.pointwise) return;
      double squares = 0;
      for (size_t k = 0; k < decoded.size(); ++k) {
        if (skip_.empty() || skip_[k] == 0) squares += (field_[k] - decoded[k]) * (field_[k] - decoded[k]);
      }
      tried.bits += squares / (choice_.step * choice_.step * choice_.lambda);
    });
    rank(finalists);
  }

  const Tried& best() const {
    return *std::min_element(tried_.begin(), tried_.end(),
                             [](const Tried& a, const Tried& b) { return a.bits < b.bits; });
  }
  double best_bits(size_t count) const {
    double bits = 1e300;
    for (size_t k = 0; k < count; ++k) bits = std::min(bits, tried_[k].bits);
    return bits;
  }

  Index4 whole_;
  Box box_;
  std::vector<double> field_;
  std::vector<uint8_t> skip_;
  WalkInput part_;
  TransformChoice choice_;
  PlanEffort effort_;
  std::vector<Tried> tried_;
};

}  // namespace

std::vector<WaveletPlan> choose_plans(const WalkInput& in, const std::vector<Schedule>& schedules,
                                      std::span<const double> target, const TransformChoice& choice,
                                      const PlanEffort& effort) {
  return PlanSearch(in, target, choice, effort).run(schedules);
}

namespace {

// Means of the known points of each box of two along every axis; `known` counts them.
struct Pyramid {
  Index4 n;
  std::vector<double> value;
  std::vector<uint8_t> known;
};

Pyramid halved(const Pyramid& fine) {
  Pyramid coarse;
  for (int a = 0; a < kAxes; ++a) coarse.n[a] = (fine.n[a] + 1) / 2;
  const auto count = static_cast<size_t>(points(coarse.n));
  coarse.value.resize(count);
  coarse.known.resize(count);
  std::vector<uint8_t> members(count);
  int64_t at = 0;
  for_rows(fine.n, [&](const Index4& i) {
    const int64_t row = ((int64_t{i[0] / 2} * coarse.n[1] + i[1] / 2) * coarse.n[2] + i[2] / 2) * coarse.n[3];
    for (int k = 0; k < fine.n[3]; ++k, ++at) {
      if (!fine.known[at]) continue;
      coarse.value[row + k / 2] += fine.value[at];
      ++members[row + k / 2];
    }
  });
  for (size_t k = 0; k < count; ++k) {
    coarse.known[k] = members[k] > 0;
    if (members[k] > 0) coarse.value[k] /= members[k];
  }
  return coarse;
}

void fill_from(const Pyramid& coarse, Pyramid& fine) {
  int64_t at = 0;
  for_rows(fine.n, [&](const Index4& i) {
    const int64_t row = ((int64_t{i[0] / 2} * coarse.n[1] + i[1] / 2) * coarse.n[2] + i[2] / 2) * coarse.n[3];
    for (int k = 0; k < fine.n[3]; ++k, ++at) {
      if (!fine.known[at]) fine.value[at] = coarse.value[row + k / 2];
    }
  });
}

}  // namespace

std::vector<double> smooth_over(const Index4& n, std::span<const double> target,
                                std::span<const uint8_t> skip) {
  std::vector<double> field(target.begin(), target.end());
  if (skip.empty()) return field;
  std::vector<Pyramid> levels(1);
  levels[0].n = n;
  levels[0].value = std::move(field);
  for (const uint8_t s : skip) levels[0].known.push_back(s == 0);
  while (points(levels.back().n) > 1 &&
         std::find(levels.back().known.begin(), levels.back().known.end(), 0) != levels.back().known.end()) {
    levels.push_back(halved(levels.back()));
  }
  for (size_t l = levels.size() - 1; l-- > 0;) fill_from(levels[l + 1], levels[l]);
  return std::move(levels[0].value);
}

}  // namespace h5neural

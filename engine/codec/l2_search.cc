// l2_search.cc: see l2_search.h.
#include "codec/l2_search.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

namespace h5neural {

void search_step(const std::function<double(double step)>& code, double& step) {
  constexpr int kRounds = 6;
  constexpr double kNearly = 1.004;  // of the error that is allowed
  double last_step = 0, last_error = 0;
  for (int round = 0; round < kRounds; ++round) {
    const double error = code(step);
    if (error <= 0) return;
    const double factor = 1 / error;
    if (factor >= 1 && factor < kNearly) return;
    // By the power of the step with which the error grew from the round before.
    double power = 1;
    if (round > 0 && error != last_error) power = std::log(step / last_step) / std::log(error / last_error);
    last_step = step;
    last_error = error;
    step *= std::clamp(std::pow(factor * 0.9985, std::clamp(power, 0.5, 2.5)), 0.25, 4.0);
  }
}

void search_step(const L2Task& task, TransformChoice& choice) {
  CoefficientMemory memory;
  const auto code = [&](double step) {
    choice.step = step;
    std::vector<int32_t> points;
    const Bytes section = encode_transform(task.in, task.analysis, choice, task.target, memory, points);
    return task.offer(section, points);
  };
  double step = choice.step;
  search_step(code, step);
  choice.step = step;
}

namespace {

// What the sum of squares of a patch is mended to, of what is allowed: values are rounded to their type.
constexpr double kMended = 0.996;
// What weights aim at, of the error that is allowed, and how they follow it: up by a power of how far a patch
// is beyond, down by one of the room it has.
constexpr double kAim = 0.98, kUp = 3, kDown = 0.5, kMostUp = 8, kLowest = 0.25, kHighest = 64;

class PatchSearch {
 public:
  PatchSearch(const L2Task& task, const L2Error& errors, double limit, const TransformChoice& choice)
      : task_(task), errors_(errors), limit_(limit), choice_(choice) {
    choice_.chosen = [this](std::span<const int32_t> decoded) { return chosen(decoded); };
  }
  PatchSearch(const PatchSearch&) = delete;
  PatchSearch& operator=(const PatchSearch&) = delete;

  // Returns the step.
  double run(size_t bar) {
    constexpr int kRounds = 6;
    constexpr double kHopeless = 1.1;
    if (double(find_step()) > kHopeless * double(bar)) return choice_.step;
    weights_.assign(unmended_.size(), 1);
    for (int round = 0; round < kRounds; ++round) {
      if (round > 0) weigh();
      code();
    }
    return choice_.step;
  }

 private:
  // The step with which least is coded: half octaves downhill, then the vertex of a parabola. Returns the
  // least bytes on the way.
  size_t find_step() {
    constexpr int kMost = 8;
    std::map<int, size_t> tried;
    const double start = choice_.step;
    const auto bytes = [&](int k) {
      const auto [it, fresh] = tried.try_emplace(k);
      if (fresh) {
        choice_.step = start * std::exp2(k / 2.0);
        it->second = code();
      }
      return it->second;
    };
    const int way = bytes(1) < bytes(0) ? 1 : -1;
    int k = 0;
    while (std::abs(k) < kMost && bytes(k + way) < bytes(k)) k += way;
    const auto finer = double(bytes(k - 1)), here = double(bytes(k)), coarser = double(bytes(k + 1));
    const double bend = finer - 2 * here + coarser;
    const double vertex = bend > 0 ? std::clamp((finer - coarser) / (2 * bend), -0.5, 0.5) : 0;
    choice_.step = start * std::exp2((k + vertex) / 2);
    return bytes(k);
  }

  // Codes and offers with the step and the weights as they are. Returns the bytes.
  size_t code() {
    Bands<float> weights;
    if (!weights_.empty()) {
      std::vector<double> weight(errors_.values());
      errors_.patches().for_pieces(weight.size(), [&](size_t patch, size_t from, size_t to) {
        for (size_t k = from; k < to; ++k) weight[k] = weights_[patch];
      });
      weights = coefficient_weights(task_.analysis.plan, weight);
      choice_.weights = &weights;
    }
    std::vector<int32_t> points;
    const Bytes section = encode_transform(task_.in, task_.analysis, choice_, task_.target, memory_, points);
    choice_.weights = nullptr;
    task_.offer(section, points);
    return section.size();
  }

  void weigh() {
    for (size_t p = 0; p < weights_.size(); ++p) {
      const double beyond = unmended_[p] / (kAim * limit_);
      const double change = std::pow(beyond, beyond > 1 ? kUp : kDown);
      weights_[p] = std::clamp(weights_[p] * std::min(change, kMostUp), kLowest, kHighest);
    }
  }

  // The points to correct: in patches beyond the limit those that are furthest off. Empty: none.
  std::vector<uint8_t> chosen(std::span<const int32_t> decoded) {
    const double bin = std::ldexp(1.0, task_.in.step_bits), allowed = kMended * limit_ * limit_;
    const auto away = [&](size_t k) {
      return !task_.in.skip.empty() && task_.in.skip[k] ? 0 : task_.target[k] - decoded[k];
    };
    unmended_ = errors_.of_patches(away);
    struct Point {
      size_t patch, at;
      double away;
    };
    std::vector<Point> points;
    errors_.patches().for_pieces(decoded.size(), [&](size_t patch, size_t from, size_t to) {
      if (unmended_[patch] * unmended_[patch] <= allowed) return;
      for (size_t k = from; k < to; ++k) {
        if (std::abs(away(k)) > bin / 2) points.push_back({patch, k, std::abs(away(k))});
      }
    });
    if (points.empty()) return {};
    std::stable_sort(points.begin(), points.end(),
                     [](const Point& a, const Point& b) { return a.away > b.away; });
    std::vector<double> mean(unmended_.size());
    for (size_t p = 0; p < mean.size(); ++p) mean[p] = unmended_[p] * unmended_[p];
    std::vector<uint8_t> chosen(decoded.size());
    for (const Point& p : points) {
      if (mean[p.patch] <= allowed) continue;
      const double left = p.away - bin * std::nearbyint(p.away / bin);
      mean[p.patch] -= (p.away * p.away - left * left) / double(errors_.regular(p.patch));
      chosen[p.at] = 1;
    }
    return chosen;
  }

  const L2Task& task_;
  const L2Error& errors_;
  double limit_;
  TransformChoice choice_;
  CoefficientMemory memory_;
  std::vector<double> weights_;   // of patches; empty: all alike
  std::vector<double> unmended_;  // errors of patches, before points of them are corrected
};

}  // namespace

void search_patches(const L2Task& task, const L2Error& errors, double limit, size_t bar,
                    TransformChoice& choice) {
  choice.step = PatchSearch(task, errors, limit, choice).run(bar);
}

}  // namespace h5neural

// frames_samples.cc: see frames_samples.h.
#include "learn/frames_samples.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "learn/borders.h"

namespace h5neural::learn {
namespace {

constexpr int64_t kWindows = 3, kWindow = 96;        // of a step, and points of each along its axes
constexpr int64_t kLargestTile = 128;                // points along each axis
constexpr double kTightest = 1e-3, kLoosest = 1e-1;  // bounds, relative to the range of a chunk
constexpr double kAround = 3;                        // the same about a bound that was asked for, as a factor

int64_t pick(int64_t n) { return torch::randint(n, {1}).item<int64_t>(); }

}  // namespace

FramesSamples::FramesSamples(const Options& o) : o_(o), file_(o.data) {
  std::istringstream names(o.variable);
  for (std::string name; std::getline(names, name, ',');) add(name);
  const int64_t seen = std::max<int64_t>(o.history, o.order == "both" ? 2 : 1);
  if (extents_[0] <= seen)
    throw std::runtime_error("series of " + std::to_string(extents_[0]) +
                             " frames are too short to predict one from " + std::to_string(seen) + " others");
  say();
}

void FramesSamples::add(const std::string& name) {
  const auto a = file_.get(name);
  if (a.shape.size() != 4)
    throw std::runtime_error("array '" + name + "' has rank " + std::to_string(a.shape.size()) +
                             "; frames are learned from [count, frames, Y, X]");
  if (!sources_.empty() && !std::equal(extents_.begin(), extents_.end(), a.shape.begin() + 1))
    throw std::runtime_error("array '" + name + "' has other frames than the arrays before it");
  std::copy(a.shape.begin() + 1, a.shape.end(), extents_.begin());
  Source s;
  const int64_t count = a.shape[0];
  s.learned = count - (o_.validation > 0 ? o_.validation : std::max<int64_t>(1, count / 10));
  if (s.learned < 1) throw std::runtime_error("one series of array '" + name + "' is too few to learn from");
  s.x = torch::from_blob(const_cast<float*>(a.values.data()), a.shape);
  const auto flat = s.x.flatten(1);
  s.mean = flat.mean(1);
  s.deviation = flat.std(1, false);
  s.range = std::get<0>(flat.max(1)) - std::get<0>(flat.min(1));
  if (!(s.deviation.max().item<float>() > 0))
    throw std::runtime_error("all series of array '" + name + "' are constant");
  s.wraps = periodic_axes(a.values, {extents_[1], extents_[2]});
  sources_.push_back(std::move(s));
}

void FramesSamples::say() const {
  for (const Source& s : sources_)
    std::fprintf(stderr, "%ld series of %ld frames to learn from, %ld kept apart; %s\n",
                 static_cast<long>(s.learned), static_cast<long>(extents_[0]),
                 static_cast<long>(s.x.size(0) - s.learned), said(s.wraps).c_str());
}

bool FramesSamples::periodic() const {
  return std::all_of(sources_.begin(), sources_.end(),
                     [](const Source& s) { return s.wraps[0] && s.wraps[1]; });
}

std::vector<int64_t> FramesSamples::times(const FrameSight& sight) const {
  if (!sight.between) {
    std::vector<int64_t> t{pick(extents_[0] - sight.history)};
    while (static_cast<int64_t>(t.size()) <= sight.history) t.push_back(t.back() + 1);
    return t;
  }
  // As far apart, and as often, as the writer has them: level by level down to every frame, and where the
  // series ends before the frame after, the one before counts as both.
  for (;;) {
    const int64_t t = 1 + pick(extents_[0] - 1), apart = t & -t;
    if (2 * apart >= extents_[0]) continue;
    const int64_t after = t + apart < extents_[0] ? 2 * apart : 0,
                  first = pick(extents_[0] - std::max(after, apart));
    return {first, first + after, first + apart};
  }
}

// Every array as often as any other, whatever their sizes.
FrameWindows FramesSamples::draw(Part part, const FrameSight& sight) const {
  std::vector<torch::Tensor> all;
  std::vector<float> bins;
  const int64_t halo = sight.halo, window = sight.window;
  while (static_cast<int64_t>(all.size()) < kWindows) {
    const Source& s =
        sources_[sources_.size() == 1 ? 0 : static_cast<size_t>(pick(int64_t(sources_.size())))];
    const int64_t i = part == Part::kLearn ? pick(s.learned) : s.learned + pick(s.x.size(0) - s.learned);
    auto x = s.x[i].index_select(0, torch::tensor(times(sight)));
    for (size_t axis = 0; axis < 2; ++axis) {
      const int64_t n = extents_[1 + axis],
                    at = s.wraps[axis] ? pick(n) : pick(std::max<int64_t>(1, n - window + 1));
      x = x.index_select(1 + static_cast<int64_t>(axis),
                         torch::tensor(points_along(n, s.wraps[axis], at - halo, window + 2 * halo)));
    }
    const double deviation = s.deviation[i].item<double>(), range = s.range[i].item<double>();
    const bool blank = !(deviation > 0);
    const double bound = sight.bound > 0 ? sight.bound : drawn_bound();
    all.push_back((x - s.mean[i]) / (blank ? 1 : deviation));
    bins.push_back(static_cast<float>(blank ? 1 : 2 * bound * range / deviation));
  }
  const auto x = torch::stack(all), bin = torch::tensor(bins).view({-1, 1, 1, 1});
  const int64_t last = x.size(1) - 1;
  const auto seen = x.narrow(1, 0, last);
  return {seen + (torch::rand_like(seen) - 0.5) * bin,
          x.narrow(1, last, 1).narrow(2, halo, window).narrow(3, halo, window), bin};
}

int64_t FramesSamples::window() const {
  return std::min(kWindow,
                  (std::min(extents_[1], extents_[2]) + kFramesStep - 1) / kFramesStep * kFramesStep);
}

double FramesSamples::drawn_bound() const {
  const double low = o_.bound > 0 ? o_.bound / kAround : kTightest,
               high = o_.bound > 0 ? o_.bound * kAround : kLoosest;
  return low * std::pow(high / low, torch::rand({1}).item<double>());
}

std::vector<double> FramesSamples::bounds() const {
  if (o_.bound > 0) return {o_.bound * kAround, o_.bound, o_.bound / kAround};
  return {3e-2, 1e-2, 3e-3};
}

int64_t FramesSamples::tile(int64_t halo) const {
  int64_t best = kFramesStep, least = 0;
  for (int64_t t = kFramesStep; t <= kLargestTile; t += kFramesStep) {
    int64_t work = 1;
    for (const int64_t n : {extents_[1], extents_[2]}) work *= (n + t - 1) / t * (t + halo);
    if (least == 0 || work < least) least = work, best = t;
  }
  return best;
}

}  // namespace h5neural::learn

// fit.cc: see fit.h. Predictors are fitted by iteratively reweighted least squares towards fewer bits
// (weights fall with the residual, so that rough places do not decide for smooth ones), as differences from
// the kriging predictor.
#include "corrections/fit.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "support/about_log2.h"

namespace h5neural {
namespace {

// The lower triangle of weighted normal equations and what follows from it, for a growing number of unknowns.
class Normal {
 public:
  Normal(const Samples& s, const std::vector<float>& weight, const float* residual)
      : s_(s), weight_(weight), residual_(residual), n_(s.columns), a_(size_t(n_) * n_), b_(n_) {}

  // Solution for the leading m unknowns, fewer where it goes no further (their factor and half of their
  // solution are those of all).
  std::vector<double> solve(int m) {
    if (m > known_) {
      kernels().normal_equations(s_, known_, m, weight_.data(), residual_, a_.data(), b_.data());
      factor(std::exchange(known_, m), m);
    }
    std::vector<double> s(half_.begin(), half_.begin() + std::min<ptrdiff_t>(m, std::ssize(half_)));
    for (int i = static_cast<int>(s.size()) - 1; i >= 0; --i) {
      for (size_t k = i + 1; k < s.size(); ++k) s[i] -= a_[k * n_ + i] * s[k];
      s[i] /= a_[size_t(i) * n_ + i];
    }
    return s;
  }

 private:
  // Cholesky in place, with a small ridge, as far as it goes; then forward substitution.
  void factor(int from, int to) {
    if (from == 0) ridge_ = 1e-6 * a_[0] + 1e-9;
    for (int i = from; i < to && i == std::ssize(half_); ++i) {
      double* row = a_.data() + size_t(i) * n_;
      for (int j = 0; j <= i; ++j) {
        const double* other = a_.data() + size_t(j) * n_;
        double v = row[j] + (i == j ? ridge_ : 0);
        for (int k = 0; k < j; ++k) v -= row[k] * other[k];
        if (i != j) {
          row[j] = v / other[j];
        } else if (v > 0) {
          row[j] = std::sqrt(v);
        } else {
          return;
        }
      }
      double v = b_[i];
      for (int k = 0; k < i; ++k) v -= row[k] * half_[k];
      half_.push_back(v / row[i]);
    }
  }

  const Samples s_;
  const std::vector<float>& weight_;
  const float* residual_;
  int n_, known_ = 0;
  double ridge_ = 0;
  std::vector<double> a_, b_, half_;
};

std::vector<float> scaled(const std::vector<int32_t>& c, int bits) {
  std::vector<float> d;
  d.reserve(c.size());
  for (const int32_t v : c) d.push_back(std::ldexp(float(v), -bits));
  return d;
}

double side_bits(const std::vector<int32_t>& d) {
  double s = 0;
  for (const int32_t v : d) s += v == 0 ? 1 : 3 + 2 * std::log2(std::abs(double(v)));
  return s;
}

}  // namespace

void CosetFit::begin(const LevelState& level, const CosetState& coset, std::span<const double> target) {
  level_ = &level;
  coset_ = &coset;
  target_ = target;
  pick();
  if (chosen_.empty()) return;
  scatter();
  const auto rows = static_cast<int>(chosen_.size());
  const int pairs = std::min(static_cast<int>(coset_->geometry->stencil.offset.size()),
                             effort_.fitted ? kMaxPairs : kKrigingPairs);
  columns_ = pairs - 1 + shrink_columns();
  padded_ = (rows + kSampleBlock - 1) / kSampleBlock * kSampleBlock;
  share_.resize(padded_, 0);
  x_.resize(size_t(padded_) * columns_);
  y_.assign(padded_, 0);
  e_.assign(padded_, 0);
  nearest_.resize(rows);
  const PredictorTaps taps = predictor_taps(*level_, *coset_, {0});
  const auto unit = 1.0f / static_cast<float>(level_->bin);
  for (int i = 0; i < rows; ++i) {
    nearest_[i] = taps.plus[0][place_[i]] + taps.minus[0][place_[i]];
    y_[i] = static_cast<float>(target_[chosen_[i]] - nearest_[i] / 2.0) * unit;
  }
  filled_ = 0;
  fill(columns_of(kKrigingPairs));
  double squares = 0;
  for (size_t k = 0; k < size_t(padded_) * filled_; ++k) squares += double(x_[k]) * x_[k];
  const double wanted = 4 + std::log2(1e-3 + std::sqrt(squares / std::max(1.0, double(rows) * filled_)));
  precision_ = 0;
  while (precision_ + 1 < kFitPrecisions && kFitBits[precision_] < wanted) ++precision_;
}

// A pool of coded points spread evenly but not regularly over the coset, and of these the more the less they
// resemble their nearest neighbours: where there is nothing to say there is nothing to learn.
void CosetFit::pick() {
  const CosetState& c = *coset_;
  chosen_.clear();
  place_.clear();
  share_.clear();
  const double every = std::max(1.0, double(c.points) / effort_.pool);
  const int width = c.count[kAxes - 1];
  const PredictorTaps nearest = predictor_taps(*level_, c, {0});
  const auto unit = 1.0f / static_cast<float>(level_->bin);
  uint64_t seed = 1;
  int64_t first = 0, end = 0, place = 0;  // of the row at hand
  for (double at = 0; at < double(c.points); at += every) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    const auto k =
        std::min<int64_t>(c.points - 1, int64_t(at + every * double(seed >> 40) / double(1 << 24)));
    if (!c.skip.empty() && c.skip[k]) continue;
    if (k >= end) {
      const int64_t row = k / width;
      place = level_->layout.at({static_cast<int>(row / (int64_t{c.count[1]} * c.count[2])),
                                 static_cast<int>(row / c.count[2] % c.count[1]),
                                 static_cast<int>(row % c.count[2]), 0});
      first = row * width;
      end = first + width;
    }
    const int64_t p = place + (k - first);
    chosen_.push_back(k);
    place_.push_back(p);
    share_.push_back(static_cast<float>(target_[k] - (nearest.plus[0][p] + nearest.minus[0][p]) / 2.0) *
                     unit);
  }
  for (float& e : share_) e = 1.0f + about_log2(1 + 9 * e * e);
  double all = 0;
  for (const float s : share_) all += double(s);
  scale_ = chosen_.empty() ? 1 : double(c.points) / double(chosen_.size());
  size_t kept = 0;
  for (size_t i = 0; i < chosen_.size(); ++i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    const double chance = std::min(1.0, effort_.samples * double(share_[i]) / all);
    if (double(seed >> 40) / double(1 << 24) >= chance) continue;
    chosen_[kept] = chosen_[i];
    place_[kept] = place_[i];
    share_[kept++] = static_cast<float>(1 / chance);
  }
  chosen_.resize(kept);
  place_.resize(kept);
  share_.resize(kept);
}

constexpr size_t kParts = 4;

// Every fourth sample first, then those after them, and so on: a part of the samples is spread as they are.
void CosetFit::scatter() {
  const auto scattered = [](const auto& from) {
    auto to = from;
    size_t next = 0;
    for (size_t part = 0; part < kParts; ++part) {
      for (size_t i = part; i < from.size(); i += kParts) to[next++] = from[i];
    }
    return to;
  };
  chosen_ = scattered(chosen_);
  place_ = scattered(place_);
  share_ = scattered(share_);
}

// The columns up to `columns`; by blocks of samples, whose neighbours stay in the cache.
void CosetFit::fill(int columns) {
  const auto rows = static_cast<int>(chosen_.size());
  const int first = shrink_columns();
  const PredictorTaps taps =
      predictor_taps(*level_, *coset_, std::vector<int32_t>(static_cast<size_t>(columns + 1 - first)));
  const auto unit = 1.0f / static_cast<float>(level_->bin);
  for (int from = 0; from < padded_; from += kSampleBlock) {
    const int to = std::min(from + kSampleBlock, rows);
    for (int j = filled_; j < columns; ++j) {
      float* const x = x_.data() + size_t(j) * padded_;
      if (j < first) {
        for (int i = from; i < to; ++i) x[i] = static_cast<float>(nearest_[i]) * unit;
      } else {
        const int32_t *const plus = taps.plus[j + 1 - first], *const minus = taps.minus[j + 1 - first];
        for (int i = from; i < to; ++i) {
          x[i] = static_cast<float>(plus[place_[i]] + minus[place_[i]] - nearest_[i]) * unit;
        }
      }
      for (int i = to; i < from + kSampleBlock; ++i) x[i] = 0;
    }
  }
  filled_ = std::max(filled_, columns);
}

double CosetFit::bits(std::span<const float> coefficients, const float* y, int rows) const {
  Samples s = samples();
  s.rows = rows;
  return kernels().residual_bits(s, coefficients, y, share_.data(), e_.data());
}

std::vector<float> CosetFit::kriging(const PredictorChoice& choice) const {
  std::vector<float> c = scaled(coset_->geometry->kriging(choice.exponent, choice.nugget), kCoefficientBits);
  if (shrink_columns() != 0) c.insert(c.begin(), 0);
  return c;
}

// Downhill from the last choice over the table of exponents and nuggets, or all of it, on the first `rows`.
PredictorChoice CosetFit::search_kriging(const PredictorChoice& last, int rows) const {
  PredictorChoice best;
  double least = 1e300;
  const double scale = scale_ * padded_ / rows;
  std::array<bool, kExponents * kNuggets> tried{};
  const auto consider = [&](int exponent, int nugget) {
    if (exponent < 0 || exponent >= kExponents || nugget < 0 || nugget >= kNuggets) return;
    if (std::exchange(tried[exponent * kNuggets + nugget], true)) return;
    PredictorChoice choice;
    choice.exponent = exponent;
    choice.nugget = nugget;
    // A change of the last choice has to be told.
    const double told = (exponent != last.exponent ? 5 : 0) + (nugget != last.nugget ? 4 : 0);
    const double b = bits(kriging(choice), y_.data(), rows) + told / scale;
    if (b >= least) return;
    least = b;
    best = choice;
  };
  consider(last.exponent, last.nugget);
  if (!effort_.any_kriging) return best;
  if (effort_.every_kriging) {
    for (int k = 0; k < kExponents * kNuggets; ++k) consider(k / kNuggets, k % kNuggets);
    return best;
  }
  for (double before = 1e301; least < before;) {
    before = least;
    const int exponent = best.exponent, nugget = best.nugget;
    for (const int d : {-1, 1}) {
      consider(exponent + d, nugget);
      consider(exponent, nugget + d);
    }
  }
  return best;
}

// Few samples tell two kriging predictors apart.
CosetFit::Best CosetFit::best_kriging(const PredictorChoice& last) const {
  constexpr int kEnough = 2000;
  const int part = padded_ / static_cast<int>(kParts) / kSampleBlock * kSampleBlock;
  Best best;
  best.choice = search_kriging(last, part >= kEnough ? part : padded_);
  best.bits = bits(kriging(best.choice), y_.data(), padded_);
  best.residual = e_;
  return best;
}

// Quantises one solution and keeps it where it costs less.
void CosetFit::try_precision(const std::vector<double>& solution, int size, int precision, const Best& base,
                             Fit& best) const {
  PredictorChoice choice = base.choice;
  choice.fitted = true;
  choice.size = size;
  choice.precision = precision;
  const double limit = 4 << kFitBits[precision];
  for (const double v : solution) {
    const double q = std::clamp(std::ldexp(v, kFitBits[precision]), -limit, limit);
    choice.difference.push_back(static_cast<int32_t>(std::lround(q)));
  }
  const double cost =
      bits(scaled(choice.difference, kFitBits[precision]), base.residual.data(), padded_) * scale_ +
      side_bits(choice.difference) + 4;
  if (cost < best.cost) best = {cost, std::move(choice), solution};
}

// Fits of all sizes up to `columns` unknowns to what is left of the kriging predictor and `start`, weighed by
// it. Large ones only where the one before was worth it.
void CosetFit::fit_sizes(const float* residual, int columns, const std::vector<double>& start,
                         const Best& base, Fit& best) {
  constexpr int kAlways = 3;
  std::vector<float> weight(padded_);
  for (int i = 0; i < padded_; ++i) {
    weight[i] = share_[i] * about_exp2(-0.7f * about_log2(1 + residual[i] * residual[i] / 0.15f));
  }
  Normal normal(samples(), weight, residual);
  for (int size = 0; size < kFitSizes; ++size) {
    const int m = columns_of(kFitPairs[size]);
    if (m > columns || (size > 0 && m <= columns_of(kFitPairs[size - 1]))) break;
    if (size >= kAlways && start.empty() && best.choice.size < size - 1) break;
    if (m > filled_) fill(m);
    std::vector<double> s = normal.solve(m);
    if (static_cast<int>(s.size()) < m) break;
    for (size_t j = 0; j < s.size() && j < start.size(); ++j) s[j] += start[j];
    try_precision(s, size, precision_, base, best);
  }
}

PredictorChoice CosetFit::predictor(const PredictorChoice& last) {
  if (chosen_.empty() || columns_ == 0) return {};
  const Best base = best_kriging(last);
  int columns = std::min(columns_, static_cast<int>(chosen_.size()) / 6);
  if (!effort_.fitted || columns < 3) return base.choice;
  Fit best{base.bits * scale_, base.choice, {}};
  fit_sizes(base.residual.data(), columns, {}, base, best);
  if (!best.choice.fitted) return best.choice;
  for (int round = 1; round < effort_.rounds; ++round) {
    // Once more, weighed by the residuals of the last fit, and no larger than it.
    columns = static_cast<int>(best.choice.difference.size());
    const std::vector<float> start = scaled(best.choice.difference, kFitBits[best.choice.precision]);
    bits(start, base.residual.data(), padded_);
    const std::vector<float> residual = e_;
    fit_sizes(residual.data(), columns, {start.begin(), start.end()}, base, best);
  }
  const std::vector<double> solution = best.solution;
  const int size = best.choice.size;
  for (int p = 0; p < kFitPrecisions; ++p) try_precision(solution, size, p, base, best);
  return best.choice;
}

// Weighted least squares for the scale of the residuals, non-negative, weighed again by what it expects.
ContextWeights CosetFit::weights(const ContextWeights& last) {
  constexpr size_t kEnough = 3000, kLanes = 4;
  if (!effort_.contexts) return {};
  if (chosen_.size() < 50) return last;
  const auto unit = 1.0f / static_cast<float>(level_->bin);
  const size_t n = std::min(chosen_.size(), std::max(kEnough, chosen_.size() / 2));
  const size_t stride = (n + kLanes - 1) / kLanes * kLanes;
  // The features, then the residual.
  std::vector<float> f((kFeatures + 1) * stride), w(stride);
  const ContextTaps taps = context_taps(in_, *level_, *coset_, last);
  for (size_t i = 0; i < n; ++i) {
    const int32_t prediction = coset_->prediction[chosen_[i]];
    const auto raw = features(taps, prediction, place_[i]);
    for (size_t j = 0; j < kFeatures; ++j) f[j * stride + i] = static_cast<float>(raw[j]) * unit;
    f[kFeatures * stride + i] = static_cast<float>(std::abs(target_[chosen_[i]] - prediction)) * unit;
  }
  // Added up in lanes, so that it can be done by vectors.
  const auto product = [&](size_t j, size_t k) {
    std::array<double, kLanes> sum{};
    const float *const x = f.data() + j * stride, *const y = f.data() + k * stride;
    for (size_t i = 0; i < stride; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) {
        sum[lane] += double(w[i + lane] * x[i + lane]) * double(y[i + lane]);
      }
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
  };
  std::array<double, kFeatures> x{};
  for (int j = 0; j < kFeatures; ++j) x[j] = std::ldexp(double(context_weight(last[j])), -16);
  for (int round = 0; round < 3; ++round) {
    // Relative errors matter: a residual is weighed by what is expected of it.
    for (size_t i = 0; i < n; ++i) {
      float s = 0.05f;
      for (size_t j = 0; j < kFeatures; ++j) s += static_cast<float>(x[j]) * f[j * stride + i];
      w[i] = share_[i] / (s * s);
    }
    std::array<std::array<double, kFeatures>, kFeatures> a{};
    std::array<double, kFeatures> b{};
    for (size_t j = 0; j < kFeatures; ++j) {
      b[j] = product(j, kFeatures);
      for (size_t k = 0; k <= j; ++k) a[j][k] = a[k][j] = product(j, k);
    }
    for (int sweep = 0; sweep < 60; ++sweep) {  // coordinate descent
      for (int j = 0; j < kFeatures; ++j) {
        if (a[j][j] <= 0) continue;
        double g = b[j];
        for (int k = 0; k < kFeatures; ++k) g -= k == j ? 0 : a[j][k] * x[k];
        x[j] = std::max(0.0, g / a[j][j]);
      }
    }
  }
  ContextWeights out{};
  for (int j = 0; j < kFeatures; ++j) {
    const double k = x[j] > 0 ? 31 + 2 * std::log2(x[j]) : 0;
    out[j] = static_cast<uint8_t>(k < 0.5 ? 0 : std::clamp<long>(std::lround(k), 1, kWeightSteps - 1));
  }
  return out;
}

}  // namespace h5neural

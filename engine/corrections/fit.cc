// fit.cc: see fit.h. Predictors are fitted by iteratively reweighted least squares towards fewer bits
// (weights fall with the residual, so that rough places do not decide for smooth ones), as differences from
// the kriging predictor.
#include "corrections/fit.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "corrections/residual.h"

namespace h5neural {
namespace {

// The lower triangle of weighted normal equations and what follows from it.
class Normal {
 public:
  Normal(const Samples& s, int columns, const std::vector<float>& weight, const float* residual)
      : n_(columns), a_(size_t(columns) * columns), b_(columns) {
    kernels().normal_equations(s, columns, weight.data(), residual, a_.data(), b_.data());
    factor();
  }

  // Solution for the leading m unknowns (their factor and half of their solution are those of all).
  std::vector<double> solve(int m) const {
    std::vector<double> s(half_.begin(), half_.begin() + std::min<ptrdiff_t>(m, solvable_));
    for (int i = static_cast<int>(s.size()) - 1; i >= 0; --i) {
      for (size_t k = i + 1; k < s.size(); ++k) s[i] -= a_[k * n_ + i] * s[k];
      s[i] /= a_[size_t(i) * n_ + i];
    }
    return s;
  }

 private:
  // Cholesky in place, with a small ridge, as far as it goes; then forward substitution.
  void factor() {
    const double ridge = n_ > 0 ? 1e-6 * a_[0] + 1e-9 : 0;
    for (int i = 0; i < n_; ++i) {
      double* row = a_.data() + size_t(i) * n_;
      for (int j = 0; j <= i; ++j) {
        const double* other = a_.data() + size_t(j) * n_;
        double v = row[j] + (i == j ? ridge : 0);
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
      ++solvable_;
    }
  }

  int n_;
  ptrdiff_t solvable_ = 0;
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
  if (!chosen_.empty()) fill();
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
  double all = 0;
  for (double at = 0; at < double(c.points); at += every) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    const auto k =
        std::min<int64_t>(c.points - 1, int64_t(at + every * double(seed >> 40) / double(1 << 24)));
    if (!c.skip.empty() && c.skip[k]) continue;
    const int64_t row = k / width;
    const Index4 i{static_cast<int>(row / (int64_t{c.count[1]} * c.count[2])),
                   static_cast<int>(row / c.count[2] % c.count[1]), static_cast<int>(row % c.count[2]),
                   static_cast<int>(k % width)};
    const int64_t p = level_->layout.at(i);
    const float e = static_cast<float>(target_[k] - (nearest.plus[0][p] + nearest.minus[0][p]) / 2.0) * unit;
    chosen_.push_back(k);
    place_.push_back(p);
    share_.push_back(1.0f + std::log2(1 + 9 * e * e));
    all += share_.back();
  }
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

void CosetFit::fill() {
  const auto rows = static_cast<int>(chosen_.size());
  const int pairs = std::min(static_cast<int>(coset_->geometry->stencil.offset.size()),
                             effort_.fitted ? kMaxPairs : kKrigingPairs);
  const int shrink = shrink_columns();
  columns_ = pairs - 1 + shrink;
  padded_ = (rows + kSampleBlock - 1) / kSampleBlock * kSampleBlock;
  share_.resize(padded_, 0);
  x_.assign(size_t(padded_) * columns_, 0);
  y_.assign(padded_, 0);
  e_.assign(padded_, 0);
  const PredictorTaps taps = predictor_taps(*level_, *coset_, std::vector<int32_t>(pairs));
  const auto unit = 1.0f / static_cast<float>(level_->bin);
  std::vector<int32_t> nearest(rows);
  for (int i = 0; i < rows; ++i) {
    nearest[i] = taps.plus[0][place_[i]] + taps.minus[0][place_[i]];
    y_[i] = static_cast<float>(target_[chosen_[i]] - nearest[i] / 2.0) * unit;
  }
  double squares = 0;
  for (int i = 0; i < rows && shrink != 0; ++i) x_[i] = static_cast<float>(nearest[i]) * unit;
  for (int j = 1; j < pairs; ++j) {
    float* x = x_.data() + size_t(j - 1 + shrink) * padded_;
    const int32_t *plus = taps.plus[j], *minus = taps.minus[j];
    for (int i = 0; i < rows; ++i) {
      x[i] = static_cast<float>(plus[place_[i]] + minus[place_[i]] - nearest[i]) * unit;
    }
    for (int i = 0; i < rows; ++i) squares += double(x[i]) * x[i];
  }
  const double wanted = 4 + std::log2(1e-3 + std::sqrt(squares / std::max(1.0, double(rows) * columns_)));
  precision_ = 0;
  while (precision_ + 1 < kFitPrecisions && kFitBits[precision_] < wanted) ++precision_;
}

double CosetFit::bits(std::span<const float> coefficients, const float* y) const {
  return kernels().residual_bits(samples(), coefficients, y, share_.data(), e_.data());
}

// Downhill from the last choice over the table of exponents and nuggets, or all of it.
CosetFit::Best CosetFit::best_kriging(const PredictorChoice& last) const {
  Best best;
  std::array<bool, kExponents * kNuggets> tried{};
  const auto consider = [&](int exponent, int nugget) {
    if (exponent < 0 || exponent >= kExponents || nugget < 0 || nugget >= kNuggets) return;
    if (std::exchange(tried[exponent * kNuggets + nugget], true)) return;
    // A change of the last choice has to be told.
    const double told = (exponent != last.exponent ? 5 : 0) + (nugget != last.nugget ? 4 : 0);
    std::vector<float> c = scaled(coset_->geometry->kriging(exponent, nugget), kCoefficientBits);
    if (shrink_columns() != 0) c.insert(c.begin(), 0);
    const double b = bits(c, y_.data()) + told / scale_;
    if (b >= best.bits) return;
    best.bits = b;
    best.choice.exponent = exponent;
    best.choice.nugget = nugget;
    best.residual = e_;
  };
  if (!effort_.any_kriging) {
    consider(last.exponent, last.nugget);
    return best;
  }
  if (effort_.every_kriging) {
    for (int k = 0; k < kExponents * kNuggets; ++k) consider(k / kNuggets, k % kNuggets);
    return best;
  }
  consider(last.exponent, last.nugget);
  for (double before = 1e301; best.bits < before;) {
    before = best.bits;
    const int exponent = best.choice.exponent, nugget = best.choice.nugget;
    for (const int d : {-1, 1}) {
      consider(exponent + d, nugget);
      consider(exponent, nugget + d);
    }
  }
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
  const double cost = bits(scaled(choice.difference, kFitBits[precision]), base.residual.data()) * scale_ +
                      side_bits(choice.difference) + 4;
  if (cost < best.cost) best = {cost, std::move(choice), solution};
}

// Fits of all sizes up to `columns` unknowns to what is left of the kriging predictor and `start`, weighed by
// it.
void CosetFit::fit_sizes(const float* residual, int columns, const std::vector<double>& start,
                         const Best& base, Fit& best) const {
  std::vector<float> weight(padded_, 0);
  for (size_t i = 0; i < chosen_.size(); ++i) {
    weight[i] = share_[i] * std::pow(0.15f + residual[i] * residual[i], -0.7f);
  }
  const Normal normal(samples(), columns, weight, residual);
  for (int size = 0; size < kFitSizes; ++size) {
    const int shrink = shrink_columns(), m = std::min(columns_, kFitPairs[size] - 1 + shrink);
    if (m > columns || (size > 0 && m <= kFitPairs[size - 1] - 1 + shrink)) break;
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
    bits(start, base.residual.data());
    const std::vector<float> residual = e_;
    fit_sizes(residual.data(), columns, {start.begin(), start.end()}, base, best);
  }
  const std::vector<double> solution = best.solution;
  const int size = best.choice.size;
  for (int p = 0; p < kFitPrecisions; ++p) try_precision(solution, size, p, base, best);
  return best.choice;
}

ContextWeights CosetFit::weights(const ContextWeights& last) {
  if (!effort_.contexts) return {};
  if (chosen_.size() < 50) return last;
  const double unit = 1.0 / level_->bin;
  const size_t n = chosen_.size();
  std::vector<double> f(n * kFeatures), e(n), w(n, 1.0);
  const ContextTaps taps = context_taps(in_, *level_, *coset_, last);
  for (size_t i = 0; i < n; ++i) {
    const int32_t prediction = coset_->prediction[chosen_[i]];
    const auto raw = features(taps, prediction, place_[i]);
    for (int j = 0; j < kFeatures; ++j) f[i * kFeatures + j] = raw[j] * unit;
    e[i] = std::abs(target_[chosen_[i]] - prediction) * unit;
  }
  std::array<double, kFeatures> x{};
  for (int j = 0; j < kFeatures; ++j) x[j] = std::ldexp(double(context_weight(last[j])), -16);
  for (int round = 0; round < 3; ++round) {
    // Relative errors matter: a residual is weighed by what is expected of it.
    for (size_t i = 0; i < n; ++i) {
      double s = 0.05;
      for (int j = 0; j < kFeatures; ++j) s += x[j] * f[i * kFeatures + j];
      w[i] = share_[i] / (s * s);
    }
    // Non-negative least squares by coordinate descent.
    std::array<std::array<double, kFeatures>, kFeatures> a{};
    std::array<double, kFeatures> b{};
    for (size_t i = 0; i < n; ++i) {
      const double* fi = f.data() + i * kFeatures;
      for (int j = 0; j < kFeatures; ++j) {
        b[j] += w[i] * fi[j] * e[i];
        for (int k = 0; k < kFeatures; ++k) a[j][k] += w[i] * fi[j] * fi[k];
      }
    }
    for (int sweep = 0; sweep < 60; ++sweep) {
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

namespace {

double residual_cost(const ResidualTable& t, int32_t q) {
  const int32_t half = t.low_bits > 0 ? 1 << (t.low_bits - 1) : 0;
  const int32_t v = (q + half) >> t.low_bits;
  if (std::abs(v) <= t.table->limit) return t.table->cost[symbol_of(v)] / 256.0 + t.low_bits;
  return t.table->cost[t.table->symbols - 1] / 256.0 + t.low_bits +
         tail_bits(static_cast<uint32_t>(std::abs(v) - t.table->limit - 1));
}

}  // namespace

TableChoice fit_table(std::span<const int32_t> residuals, const TableChoice& implied) {
  // Histogram of small magnitudes; the rest one by one.
  std::array<int32_t, 512> small{};
  std::vector<int32_t> large;
  double sum = 0;
  for (const int32_t q : residuals) {
    const int32_t m = std::abs(q);
    sum += m;
    if (m < 256) {
      ++small[2 * m + (q < 0)];
    } else {
      large.push_back(q);
    }
  }
  int top = 511;
  while (top > 0 && small[top] == 0) --top;
  const double mean = sum / double(residuals.size());
  const int centre = mean > 0 ? static_cast<int>(std::lround(kTableUnitScale + 4 * std::log2(mean))) : 0;
  TableChoice best = implied;
  double best_cost = 1e300;
  const auto consider = [&](const TableChoice& t) {
    const ResidualTable r = residual_table(t);
    double cost = 1.5 * std::min(6, std::abs(t.scale - implied.scale)) + (t.shape != implied.shape ? 3 : 0);
    for (int i = 0; i <= top && cost < best_cost; ++i) {
      if (small[i] != 0) cost += small[i] * residual_cost(r, i & 1 ? -(i / 2) : i / 2);
    }
    for (const int32_t q : large) cost += residual_cost(r, q);
    if (cost < best_cost) {
      best_cost = cost;
      best = t;
    }
  };
  consider(implied);
  for (int shape = 0; shape < kTableShapes; ++shape) {
    for (int scale = std::max(0, centre - 4); scale <= std::min(kMaxScale, std::max(12, centre + 6));
         ++scale) {
      consider({shape, scale});
    }
  }
  return best;
}

}  // namespace h5neural

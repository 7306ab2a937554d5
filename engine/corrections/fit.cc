// fit.cc: see fit.h. Predictors are fitted by iteratively reweighted least squares towards fewer bits
// (weights fall with the residual, so that rough places do not decide for smooth ones), as differences from
// the kriging predictor.
#include "corrections/fit.h"

#include <algorithm>
#include <cmath>

#include "corrections/residual.h"

namespace h5neural {
namespace {

// About `most` coded points of the coset, spread evenly but not regularly.
std::vector<int64_t> pick(const CosetState& c, int64_t most) {
  std::vector<int64_t> chosen;
  const double every = std::max(1.0, double(c.points) / double(most));
  uint64_t seed = 1;
  for (double at = 0; at < double(c.points); at += every) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    const int64_t k =
        std::min<int64_t>(c.points - 1, int64_t(at + every * double(seed >> 40) / double(1 << 24)));
    if (c.skip.empty() || !c.skip[k]) chosen.push_back(k);
  }
  return chosen;
}

// Estimated bits of a residual of e bins, up to a constant: grows linearly near zero, logarithmically beyond.
double bits_of(double e) { return std::log2(1 + std::abs(e) * 1.8); }

// Samples of the linear problem y ~ sum of c[j] x[j]: x[j] = S[j] - S0, y = v - S0 / 2, in bins.
struct Problem {
  int rows = 0, columns = 0;
  int precision = 0;  // of coefficients that the spread of x asks for; sizes are compared at it
  std::vector<double> x, y;
};

Problem make_problem(const LevelState& level, const CosetState& c, std::span<const double> target,
                     const std::vector<int64_t>& chosen, int step_bits) {
  Problem p;
  p.rows = static_cast<int>(chosen.size());
  p.columns = static_cast<int>(c.stencil.offset.size()) - 1;
  p.x.reserve(size_t(p.rows) * p.columns);
  std::vector<int64_t> offset;
  for (const Index4& d : c.stencil.offset) {
    int64_t o = 0;
    for (int a = 0; a < kAxes; ++a) o += d[a] * level.layout.stride[a];
    offset.push_back(o);
  }
  const double unit = 1.0 / double(int64_t{1} << step_bits);
  for (const int64_t k : chosen) {
    const int32_t* v = level.value.data() + c.place[k];
    const double nearest = double(v[offset[0]]) + v[-offset[0]];
    for (int j = 1; j <= p.columns; ++j)
      p.x.push_back((double(v[offset[j]]) + v[-offset[j]] - nearest) * unit);
    p.y.push_back((target[k] - nearest / 2) * unit);
  }
  double squares = 0;
  for (const double v : p.x) squares += v * v;
  const double bits = 4 + std::log2(1e-3 + std::sqrt(squares / double(std::max<size_t>(1, p.x.size()))));
  while (p.precision + 1 < kFitPrecisions && kFitBits[p.precision] < bits) ++p.precision;
  return p;
}

// Residuals y - x c over the first `columns` coefficients, added to what `e` holds.
void subtract(const Problem& p, const std::vector<double>& c, std::vector<double>& e) {
  for (int i = 0; i < p.rows; ++i) {
    const double* x = p.x.data() + size_t(i) * p.columns;
    double s = 0;
    for (size_t j = 0; j < c.size(); ++j) s += c[j] * x[j];
    e[i] -= s;
  }
}

double total_bits(const std::vector<double>& e) {
  double s = 0;
  for (const double v : e) s += bits_of(v);
  return s;
}

// The weighted normal equations of the differences.
struct Normal {
  int n;
  std::vector<double> a, b;
  Normal(const Problem& p, const std::vector<double>& e, int columns) : n(columns), a(size_t(n) * n), b(n) {
    for (int i = 0; i < p.rows; ++i) {
      const double* x = p.x.data() + size_t(i) * p.columns;
      const double w = 1 / std::pow(0.4 + std::abs(e[i]), 1.4);
      for (int j = 0; j < n; ++j) {
        const double wx = w * x[j];
        b[j] += wx * e[i];
        double* row = a.data() + size_t(j) * n;
        for (int k = 0; k <= j; ++k) row[k] += wx * x[k];
      }
    }
  }
  // Solution for the leading `m` unknowns by Cholesky, with a small ridge.
  std::vector<double> solve(int m, double ridge) const {
    std::vector<double> l(size_t(m) * m), s(m);
    for (int i = 0; i < m; ++i) {
      for (int j = 0; j <= i; ++j) {
        double v = a[size_t(i) * n + j] + (i == j ? ridge : 0);
        for (int k = 0; k < j; ++k) v -= l[size_t(i) * m + k] * l[size_t(j) * m + k];
        if (i == j) {
          if (v <= 0) return {};
          l[size_t(i) * m + i] = std::sqrt(v);
        } else {
          l[size_t(i) * m + j] = v / l[size_t(j) * m + j];
        }
      }
    }
    for (int i = 0; i < m; ++i) {
      double v = b[i];
      for (int k = 0; k < i; ++k) v -= l[size_t(i) * m + k] * s[k];
      s[i] = v / l[size_t(i) * m + i];
    }
    for (int i = m - 1; i >= 0; --i) {
      for (int k = i + 1; k < m; ++k) s[i] -= l[size_t(k) * m + i] * s[k];
      s[i] /= l[size_t(i) * m + i];
    }
    return s;
  }
};

std::vector<double> scaled(const std::vector<int32_t>& c, int bits) {
  std::vector<double> d;
  for (const int32_t v : c) d.push_back(std::ldexp(double(v), -bits));
  return d;
}

struct Best {
  double bits;
  PredictorChoice choice;
  std::vector<double> residual;  // of the samples under the kriging predictor
};

Best best_kriging(const LevelState& level, const CosetState& c, const Problem& p) {
  Best best{1e300, {}, {}};
  const Kriging system(c.stencil, level.level.weight);
  for (int exponent = 0; exponent < kExponents; ++exponent) {
    for (int nugget = 0; nugget < kNuggets; ++nugget) {
      std::vector<double> e = p.y;
      subtract(p, scaled(system.solve(exponent, nugget), kCoefficientBits), e);
      const double bits = total_bits(e);
      if (bits < best.bits) {
        best.bits = bits;
        best.choice.exponent = exponent;
        best.choice.nugget = nugget;
        best.residual = std::move(e);
      }
    }
  }
  return best;
}

double side_bits(const std::vector<int32_t>& d) {
  double s = 0;
  for (const int32_t v : d) s += v == 0 ? 1 : 3 + 2 * std::log2(std::abs(double(v)));
  return s;
}

// What a fit has found so far.
struct Fit {
  double cost;
  PredictorChoice choice;
  std::vector<double> solution;  // before it was quantised
};

// Quantises one solution; `scale`: bits of the sample times this are bits of the coset.
void try_precision(const Problem& p, const std::vector<double>& solution, int size, int precision,
                   double scale, const Best& base, Fit& best) {
  PredictorChoice choice = base.choice;
  choice.fitted = true;
  choice.size = size;
  choice.precision = precision;
  const int32_t limit = 4 << kFitBits[precision];
  for (const double v : solution) {
    const double q = std::clamp(std::ldexp(v, kFitBits[precision]), -double(limit), double(limit));
    choice.difference.push_back(static_cast<int32_t>(std::lround(q)));
  }
  std::vector<double> e = base.residual;
  subtract(p, scaled(choice.difference, kFitBits[precision]), e);
  const double cost = total_bits(e) * scale + side_bits(choice.difference) + 4;
  if (cost < best.cost) best = {cost, std::move(choice), solution};
}

// Solutions of all sizes up to `columns` unknowns. `start`: the difference that the normal equations are
// about.
void try_sizes(const Problem& p, const Normal& normal, int columns, const std::vector<double>& start,
               double scale, const Best& base, Fit& best) {
  for (int size = 0; size < kFitSizes; ++size) {
    const int m = std::min(p.columns, kFitPairs[size] - 1);
    if (m > columns || (size > 0 && m <= kFitPairs[size - 1] - 1)) break;
    std::vector<double> s = normal.solve(m, 1e-6 * normal.a[0] + 1e-9);
    if (s.empty()) break;
    for (size_t j = 0; j < s.size() && j < start.size(); ++j) s[j] += start[j];
    try_precision(p, s, size, p.precision, scale, base, best);
  }
}

}  // namespace

PredictorChoice fit_predictor(const LevelState& level, const CosetState& c, std::span<const double> target,
                              int step_bits) {
  const std::vector<int64_t> chosen = pick(c, 4000);
  if (chosen.empty()) return {};
  const Problem p = make_problem(level, c, target, chosen, step_bits);
  if (p.columns == 0) return {};
  const Best base = best_kriging(level, c, p);
  const double scale = double(c.points) / double(p.rows);
  Fit best{base.bits * scale, base.choice, {}};
  int columns = std::min(p.columns, p.rows / 6);
  if (columns < 3) return best.choice;
  try_sizes(p, Normal(p, base.residual, columns), columns, {}, scale, base, best);
  if (!best.choice.fitted) return best.choice;
  // Once more, weighed by the residuals of the first fit, and no larger than it.
  columns = static_cast<int>(best.choice.difference.size());
  const std::vector<double> start = scaled(best.choice.difference, kFitBits[best.choice.precision]);
  std::vector<double> e = base.residual;
  subtract(p, start, e);
  try_sizes(p, Normal(p, e, columns), columns, start, scale, base, best);
  const std::vector<double> solution = best.solution;
  const int size = best.choice.size;
  for (int precision = 0; precision < kFitPrecisions; ++precision) {
    try_precision(p, solution, size, precision, scale, base, best);
  }
  return best.choice;
}

ContextWeights fit_weights(const LevelState& level, const CosetState& c, std::span<const double> target,
                           int step_bits, const ContextWeights& last) {
  const std::vector<int64_t> chosen = pick(c, 4000);
  if (chosen.size() < 50) return last;
  const double unit = 1.0 / double(int64_t{1} << step_bits);
  const size_t n = chosen.size();
  std::vector<double> f(n * kFeatures), e(n), w(n, 1.0);
  std::array<int32_t, kFeatures> raw{};
  for (size_t i = 0; i < n; ++i) {
    features(level, c, chosen[i], 1, raw);
    for (int j = 0; j < kFeatures; ++j) f[i * kFeatures + j] = raw[j] * unit;
    e[i] = std::abs(target[chosen[i]] - c.prediction[chosen[i]]) * unit;
  }
  std::array<double, kFeatures> x{};
  for (int j = 0; j < kFeatures; ++j) x[j] = std::ldexp(double(context_weight(last[j])), -16);
  for (int round = 0; round < 3; ++round) {
    // Relative errors matter: a residual is weighed by what is expected of it.
    for (size_t i = 0; i < n; ++i) {
      double s = 0.05;
      for (int j = 0; j < kFeatures; ++j) s += x[j] * f[i * kFeatures + j];
      w[i] = 1 / (s * s);
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

// fit.h: how the writer finds predictors and context weights for a coset. Floats are free here: what
// is found is quantised, sent, and computed with as integers on both sides.
#pragma once
#include <span>

#include "corrections/walk.h"

namespace h5neural {

// A sample of the points of one coset, and the linear problem that its predictors solve: y ~ sum of c[j]
// x[j], x[j] = S[j] - S0, y = v - S0 / 2, in bins. Buffers are kept from coset to coset.
class CosetFit {
 public:
  CosetFit(const WalkInput& in, const WalkEffort& effort) : in_(in), effort_(effort) {}

  // `target`: what the points of the coset should become (difference from the base, lattice units, not
  // rounded).
  void begin(const LevelState& level, const CosetState& coset, std::span<const double> target);

  // `last`: exponent and nugget of the coset of the same order one level up, where the search begins.
  PredictorChoice predictor(const PredictorChoice& last);

  // After predict().
  ContextWeights weights(const ContextWeights& last);

 private:
  struct Best {
    double bits = 1e300;
    PredictorChoice choice;
    std::vector<float> residual;  // of the samples under the kriging predictor
  };
  struct Fit {
    double cost = 0;
    PredictorChoice choice;
    std::vector<double> solution;  // before it was quantised
  };

  void pick();
  void scatter();
  void fill(int columns);
  Samples samples() const { return {padded_, columns_, padded_, x_.data()}; }
  double bits(std::span<const float> coefficients, const float* y, int rows) const;
  // Columns before those of the pairs: one for the nearest pair itself, where the walk has a base.
  int shrink_columns() const { return in_.base.empty() ? 0 : 1; }
  int columns_of(int pairs) const { return std::min(columns_, pairs - 1 + shrink_columns()); }
  std::vector<float> kriging(const PredictorChoice& choice) const;
  PredictorChoice search_kriging(const PredictorChoice& last, int rows) const;
  Best best_kriging(const PredictorChoice& last) const;
  void fit_sizes(const float* residual, int columns, const std::vector<double>& start, const Best& base,
                 Fit& best);
  void try_precision(const std::vector<double>& solution, int size, int precision, const Best& base,
                     Fit& best) const;

  const WalkInput& in_;
  WalkEffort effort_;
  const LevelState* level_ = nullptr;
  const CosetState* coset_ = nullptr;
  std::span<const double> target_;
  std::vector<int64_t> chosen_, place_;  // index in the coset, in its class
  std::vector<float> share_;             // how many points of the pool each stands for
  std::vector<int32_t> nearest_;         // sum of the nearest pair
  int columns_ = 0, padded_ = 0;         // samples rounded up to whole blocks
  int filled_ = 0;                       // columns that are there so far
  int precision_ = 0;  // of coefficients that the spread of x asks for; sizes are compared at it
  double scale_ = 1;   // points of the coset to one of the pool
  Array<float> x_;
  std::vector<float> y_;
  mutable std::vector<float> e_;
};

}  // namespace h5neural

// fit.h: how the writer finds predictors, context weights and tables for a coset. Floats are free here: what
// is found is quantised, sent, and computed with as integers on both sides.
#pragma once
#include <span>

#include "corrections/walk.h"

namespace h5neural {

// `target`: what the points of the coset should become (difference from the base, lattice units, not
// rounded).
PredictorChoice fit_predictor(const LevelState& level, const CosetState& coset,
                              std::span<const double> target, int step_bits);

ContextWeights fit_weights(const LevelState& level, const CosetState& coset, std::span<const double> target,
                           int step_bits, const ContextWeights& last);

// The cheapest table for these residuals.
TableChoice fit_table(std::span<const int32_t> residuals, const TableChoice& implied);

}  // namespace h5neural

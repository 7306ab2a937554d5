// section.h: the pieces of a transform section that its writers share: what stands before and after the
// coefficients, numbers in steps of their bands, reconstruction points. Writer only.
#pragma once
#include <array>

#include "corrections/residual.h"
#include "corrections/side.h"
#include "transform/synthesis.h"
#include "transform/transform.h"

namespace h5neural {

// `most`: the largest number of the field in size; `step`: in lattice units, kept with as many digits as are
// sent.
TransformScales scales_for(double most, double step);

void write_plan(BitEncoder& side, const WaveletPlan& plan, const TransformScales& scales);
void write_shifts(BitEncoder& side, const TransformScales& scales);
Bytes finish_section(BitEncoder& side, ResidualEncoder& residuals, double spare);

// The coefficients of a field in steps of their bands; `real` has bands for the same parts.
void to_steps(const Analysis& analysis, const TransformScales& scales, Bands<float>& real);

// Where numbers that were rounded to 1, and to more, lie in the mean.
class Centres {
 public:
  void add(const Bands<float>& real, const Coefficients& quantised);
  void set_shifts(TransformScales& scales) const;

 private:
  std::array<double, 2> sum_{}, count_{};
};

}  // namespace h5neural

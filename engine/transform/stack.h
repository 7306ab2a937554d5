// stack.h: fields that are coded together by a transform, though each of them is known only when those before
// it are decoded: what frames of a series leave of their predictions. In the section they stand as one field
// with one more axis, which no level splits; it is read by decode_transform. Writer only.
#pragma once
#include "transform/section.h"

namespace h5neural {

// What one coding of a stack leaves to the next, at another step.
struct StackMemory {
  CoefficientMemory coefficients;
  int shift_one = 0, shift_more = 0;
};

class StackEncoder {
 public:
  // `plan`: of one field, alike for all of them, with an axis to spare before its own; `count`: of fields;
  // `most`: the largest number of any of them in size, lattice units. Of `choice` step, lambda and spare
  // count. `memory` outlives the encoder.
  StackEncoder(const WaveletPlan& plan, int count, double most, const TransformChoice& choice,
               StackMemory& memory);
  StackEncoder(const StackEncoder&) = delete;
  StackEncoder& operator=(const StackEncoder&) = delete;

  // The next field, in lattice units, row-major; `decoded`: what the reader will get of it.
  void add(std::span<const double> target, std::span<int32_t> decoded);

  // After the last of them: the section.
  Bytes finish();

 private:
  // Plans and coefficients of so many of the fields.
  struct Stacked {
    WaveletPlan plan;
    std::vector<WaveletPart> parts;
    Coefficients quantised;
    Stacked(WaveletPlan one, int count);
  };
  TransformChoice choice_;
  StackMemory& memory_;
  TransformScales scales_;
  Centres centres_;
  Stacked one_, pair_, all_;
  Bands<float> real_, pair_real_, pair_weights_;
  size_t added_ = 0;
};

}  // namespace h5neural

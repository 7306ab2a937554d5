// plan.h: a program as the simd backend runs it: steps, each a heavy operation with the element-wise ones
// that follow it and that nothing else reads; weights packed; a buffer for each value that is alive. Made
// once for each program and instruction set. Nothing here holds on to the program: operations are named by
// index.
#pragma once
#include <memory>
#include <vector>

#include "exact/backends/simd/sums.h"
#include "exact/prepared.h"

namespace h5neural {

struct Step {
  size_t op = 0;                     // computed first
  std::vector<size_t> then;          // element-wise operations applied to its result, in place
  size_t period = 1;                 // parts that are a multiple of this long begin at the same multiplier
  size_t value = 0;                  // the value that all of them end in
  std::unique_ptr<const Sums> sums;  // of a linear or a convolution; null: by scalar's loops
};

struct Plan : Prepared {
  std::vector<Step> steps;
  static constexpr size_t kNoBuffer = ~size_t{0};
  std::vector<size_t> buffer;         // of each value that a step ends in and that is no output
  std::vector<size_t> buffer_counts;  // elements of one item
  struct Multipliers {
    std::vector<int32_t> repeated;  // to whole vectors, and slack
    Rescale rescale{};              // its pointer points into `repeated`
  };
  std::vector<Multipliers> multipliers;  // one for each operation; of kRequantise
};

std::unique_ptr<Plan> make_plan(const Program& program, const ProgramKernels& kernels);

}  // namespace h5neural

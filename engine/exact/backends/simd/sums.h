// sums.h: a linear or a convolution, prepared for the kernels: weights packed, its positions and the runs of
// the input that they sum over. A transposed convolution is one ordinary convolution for each residue of the
// positions modulo the stride (its phases), each with the taps that fall on the input there. Nothing here
// holds on to the program.
#pragma once
#include <array>
#include <memory>

#include "exact/backends/simd/aligned.h"
#include "exact/backends/simd/kernels.h"
#include "exact/conv.h"

namespace h5neural {

class Sums {
 public:
  // Operation `index` of a proved program; null when packing it would take too much memory.
  static std::unique_ptr<const Sums> make(const Program& program, size_t index,
                                          const ProgramKernels& kernels);

  // Called with each finished part of the result: where it begins, and its length, a multiple of the outputs.
  // Parts cover all of it.
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual void finished(int32_t* y, size_t count) const = 0;
  };
  // x, y: `items` inputs and results. `scratch` is used for the input in 8 or 16 bits.
  void run(const ProgramKernels& kernels, const int32_t* x, size_t items, int32_t* y,
           Aligned<uint8_t>& scratch, const Sink& sink) const;

 private:
  struct Phase {
    std::array<size_t, 3> count{};   // positions along each axis
    std::array<int64_t, 3> first{};  // of them in the result
    std::vector<Segment> segments;   // sizes as the kernels take them
    std::vector<size_t> columns;     // of the weights: where each segment's taps begin
    std::vector<size_t> last_taps;   // along the last axis, of every segment, in their order on the input
    Aligned<uint8_t> weights;        // block after block
    std::vector<int32_t> bias;       // for whole vectors, block after block
    size_t groups = 0;               // sum over the segments
  };
  struct Block {
    size_t first, outputs, vectors;
  };
  struct Level {  // of the loops over positions: so many, so far apart
    size_t count;
    ptrdiff_t x, y;  // in bytes of the narrow input, in elements of the result
  };

  void shape_linear(const Op& op, const Value& in);
  void shape_conv(const Op& op, const Value& in);
  void cut_blocks(const ProgramKernels& kernels);
  void choose_type(const Op& op, const Value& in, const ProgramKernels& kernels);
  bool pairs_fit(const Op& op, int64_t most) const;
  size_t measure(const ProgramKernels& kernels);
  int16_t weight(const Op& op, const Phase& phase, size_t segment, size_t output, size_t number) const;
  void pack(const Op& op, Phase& phase, size_t lanes) const;
  void narrow(const ProgramKernels& kernels, const int32_t* x, size_t items, uint8_t* to) const;
  static constexpr size_t kMostPositions = 256;  // of a tile
  size_t tile() const;
  std::vector<Level> levels(const Phase& phase, size_t items) const;
  void run_phase(const ProgramKernels& kernels, const Phase& phase, size_t items, const uint8_t* x,
                 int32_t* y, const Sink* sink) const;

  ConvShape shape_;
  std::array<int64_t, 3> border_{};             // positions before the input's first
  std::array<int64_t, 3> padded_{};             // extents of the input with its border
  std::array<int64_t, 3> x_step_{}, y_step_{};  // from one position to the next, in positions
  bool bytes_ = false;                          // else words
  bool along_ = false;                          // the lanes hold parts of one sum instead of outputs
  int32_t base_ = 0;                            // bytes hold x - base
  std::vector<Block> blocks_;
  std::vector<Phase> phases_;
};

}  // namespace h5neural

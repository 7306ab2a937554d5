// kernels.h: the inner loops of the simd backend, one table of them for each instruction set. They know flat
// arrays only: nothing of programs, shapes or ranges. Sums wrap modulo 2^32; the proof says that the results
// fit, and then so do results of wrapped sums.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/cpu.h"

namespace h5neural {

// A run of the input that a result sums over, counted from its position's first byte: groups of 4 bytes, that
// is 4 numbers of 8 bits or 2 of 16; for along_* whole vectors of groups. The last group or vector may reach
// beyond the run: its weights are 0 there.
struct Segment {
  ptrdiff_t offset;  // bytes
  ptrdiff_t groups;
};

// A block of at most kMostVectors vectors of outputs, for some positions:
//   y[yo[p] + o] = bias[o] + sum over the segments and groups of x[xo[p] + ...] * weights
struct SumTile {
  const uint8_t* x;
  const ptrdiff_t* xo;  // byte of x where position p begins
  size_t positions;
  const std::vector<Segment>* segments;
  // sum_*: [group][vector][output of the vector][4 bytes]; along_*: [vector of groups][output]; aligned to 64
  // bytes.
  const uint8_t* weights;
  const int32_t* bias;  // sum_*: for whole vectors
  int32_t* y;
  const ptrdiff_t* yo;  // element of y where the block of position p begins
  size_t outputs;       // of the block; at most vectors * lanes; along_*: at most kFew
  size_t vectors;
};

// y = clamp((x m + 2^(shift-1)) >> shift), m[i % period] for number i.
struct Rescale {
  const int32_t* multiplier;  // `period` numbers and kSlack more that nothing depends on
  size_t period;
  uint32_t shift;
  int32_t lo, hi;
  bool fits;  // the result fits 32 bits before it is clamped
};

struct ProgramKernels {
  static constexpr size_t kSlack = 64;  // bytes and numbers that may be read beyond an array's end
  const char* name;                     // of the backend
  size_t lanes;                         // outputs of a vector
  size_t most_vectors;                  // of a block
  // Unsigned bytes times signed weights. Where pairs_saturate, the sums of two neighbouring products must fit
  // 16 bits. Null where there is nothing faster than words.
  void (*sum_bytes)(const SumTile&);
  bool pairs_saturate;
  void (*sum_words)(const SumTile&);  // signed 16-bit numbers
  // The same for at most kFew outputs: the lanes hold parts of one sum instead of outputs.
  static constexpr size_t kFew = 4;
  void (*along_bytes)(const SumTile&);
  void (*along_words)(const SumTile&);
  // x - base, which fits; x, which fits.
  void (*to_bytes)(const int32_t* x, size_t n, int32_t base, uint8_t* y);
  void (*to_words)(const int32_t* x, size_t n, int16_t* y);
  // Element by element; y may be x.
  void (*add)(const int32_t* a, const int32_t* b, size_t n, int32_t* y);
  void (*clamp)(const int32_t* x, size_t n, int32_t lo, int32_t hi, int32_t* y);
  void (*rescale)(const int32_t* x, size_t n, const Rescale& r, int32_t* y);
  void (*look_up)(const int32_t* x, size_t n, int32_t first, const int32_t* table, int32_t* y);
};

// Null where the build or this machine has no such set.
const ProgramKernels* program_kernels(SimdTarget target);

}  // namespace h5neural

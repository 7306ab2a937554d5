// conv.h: the geometry of `conv` and `conv_transposed`, as docs/weights-format.md defines it, brought to
// three spatial axes (outer ones of extent 1 where there are fewer). Knows nothing of weights or values.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "exact/program.h"

namespace h5neural {

struct ConvShape {
  std::array<int64_t, 3> in{1, 1, 1}, kernel{1, 1, 1}, stride{1, 1, 1}, before{}, after{}, out{1, 1, 1};
  size_t channels = 0, outputs = 0;  // of one position of the input, of the result
};

// The extent of the result along one axis; below 1 where there is none. No overflow for n < 2^31.
inline int64_t conv_extent(bool transposed, int64_t n, int64_t kernel, int64_t stride, int64_t before,
                           int64_t after) {
  if (transposed) return (n - 1) * stride + kernel - before - after;
  const int64_t room = n + before + after - kernel;
  return room < 0 ? 0 : room / stride + 1;
}

// `in`: the shape of the operation's input, [spatial..., channels], with as many spatial axes as the kernel.
inline ConvShape conv_shape(const Op& op, const std::vector<uint32_t>& in) {
  ConvShape s;
  const size_t first = 3 - op.kernel.size();
  for (size_t d = 0; d < op.kernel.size(); ++d) {
    const size_t a = first + d;
    s.in[a] = in[d];
    s.kernel[a] = op.kernel[d];
    s.stride[a] = op.stride[d];
    s.before[a] = op.before[d];
    s.after[a] = op.after[d];
    s.out[a] = conv_extent(op.kind == OpKind::kConvTransposed, s.in[a], s.kernel[a], s.stride[a], s.before[a],
                           s.after[a]);
  }
  s.channels = in.back();
  s.outputs = op.rows;
  return s;
}

}  // namespace h5neural

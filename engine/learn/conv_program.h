// conv_program.h: the text of a program of convolutions, from layers as they are trained. Values are
// multiples of a unit, which the caller keeps in mind; each call appends operations and returns the index of
// their result. LibTorch.
#pragma once
#include <string>
#include <vector>

#include "learn/conv_layer.h"
#include "learn/export.h"

namespace h5neural::learn {

class ConvProgram {
 public:
  ConvProgram(WeightsWriter& weights, std::string prefix) : weights_(weights), prefix_(std::move(prefix)) {}

  // [n, ..., channels], from -limit to limit.
  int input(int64_t rank, int64_t n, int64_t channels, int64_t limit);
  // The convolution of x (multiples of in_unit up to `most`), rounded to multiples of out_unit, lo to hi.
  int conv(int x, const Conv& c, double in_unit, double most, double out_unit, int64_t lo, int64_t hi);
  // x [n, n, channels] without `margin` points at each side, the values as they are. There is no operation
  // that cuts; a convolution of one tap along each axis does, exactly.
  int crop(int x, int64_t channels, int64_t margin);
  // The same of x [n, n, channels], with no more weights than taps: as one channel of [n, n * channels].
  int crop_wide(int x, int64_t n, int64_t channels, int64_t margin);
  // The `channels` of x at `first` of `all` channels, the others 0: two such added are both side by side,
  // which `concat` does along the first axis alone.
  int place(int x, int64_t channels, int64_t first, int64_t all);
  int rescale(int x, double factor, int64_t lo, int64_t hi);           // rounded
  int table(int x, const std::vector<double>& values, int64_t first);  // values[x - first], in 16 bits
  int add(int a, int b);
  int clamp(int x, int64_t lo, int64_t hi);
  std::string json(int output) const;

 private:
  // Of each output, over the taps that one position sees: every stride-th where transposed.
  static torch::Tensor largest_sums(torch::Tensor w, const Conv& c);
  int push(Json op);
  int reshape(int x, const std::vector<int64_t>& shape);
  int push_conv(int x, const std::vector<uint64_t>& shape,
                const std::vector<double>& weights);  // as they are

  WeightsWriter& weights_;
  std::string prefix_;
  Json inputs_ = Json::array(), ops_ = Json::array();
};

}  // namespace h5neural::learn

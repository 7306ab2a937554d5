// conv_program.cc: see conv_program.h.
#include "learn/conv_program.h"

#include <algorithm>
#include <cmath>

#include "learn/nets.h"

namespace h5neural::learn {
namespace {

constexpr double kMostSum = 0x1p30;

}  // namespace

int ConvProgram::input(int64_t rank, int64_t n, int64_t channels, int64_t limit) {
  std::vector<int64_t> shape(static_cast<size_t>(rank), n);
  shape.push_back(channels);
  inputs_.push_back({{"shape", shape}, {"min", -limit}, {"max", limit}});
  return static_cast<int>(inputs_.size()) - 1;
}

int ConvProgram::conv(int x, const Conv& c, double in_unit, double most, double out_unit, int64_t lo,
                      int64_t hi) {
  // [outputs, kernel..., inputs]
  auto w = (c.transposed ? c.weight.transpose(0, 1) : c.weight).detach().to(torch::kFloat64);
  std::vector<int64_t> order{0};
  for (int64_t a = 0; a < c.rank; ++a) order.push_back(2 + a);
  order.push_back(1);
  w = w.permute(order).contiguous();
  const auto rows = w.reshape({w.size(0), -1});
  const auto sums = largest_sums(w.abs(), c);
  const auto bias = c.bias.detach().to(torch::kFloat64);
  // The finest unit for each output at which its largest weight fits, and its sum 32 bits.
  const auto unit =
      torch::maximum(std::get<0>(rows.abs().max(1)).clamp_min(1e-9) / (std::ldexp(1.0, c.bits - 1) - 1),
                     (sums * most + bias.abs() / in_unit) / kMostSum);
  const std::string at = std::to_string(ops_.size());
  std::vector<uint64_t> shape;
  for (const int64_t n : w.sizes()) shape.push_back(static_cast<uint64_t>(n));
  weights_.tensor(prefix_ + "w" + at, shape, to_doubles(rows / unit.unsqueeze(1)), 1, c.bits);
  weights_.tensor(prefix_ + "b" + at, {shape[0]}, to_doubles(bias / (unit * in_unit)), 1, 32);
  const std::vector<int64_t> stride(static_cast<size_t>(c.rank), c.stride),
      border(static_cast<size_t>(c.rank), c.padding);
  const int y = push({{"op", c.transposed ? "conv_transposed" : "conv"},
                      {"in", {x}},
                      {"weight", prefix_ + "w" + at},
                      {"bias", prefix_ + "b" + at},
                      {"stride", stride},
                      {"before", border},
                      {"after", border}});
  const auto factor = to_doubles(unit * in_unit / out_unit);
  const int shift = std::clamp(29 - std::ilogb(*std::max_element(factor.begin(), factor.end())), 0, 62);
  weights_.tensor(prefix_ + "m" + at, {shape[0]}, factor, std::ldexp(1.0, shift), 32);
  return push({{"op", "requantise"},
               {"in", {y}},
               {"multiplier", prefix_ + "m" + at},
               {"shift", shift},
               {"min", lo},
               {"max", hi}});
}

int ConvProgram::crop(int x, int64_t channels, int64_t margin) {
  if (margin == 0) return x;
  const auto c = static_cast<size_t>(channels), taps = static_cast<size_t>(2 * margin + 1);
  std::vector<double> w(c * taps * c);
  for (size_t k = 0; k < c; ++k) w[(k * taps + static_cast<size_t>(margin)) * c + k] = 1;
  for (const bool down : {true, false}) x = push_conv(x, {c, down ? taps : 1, down ? 1 : taps, c}, w);
  return x;
}

int ConvProgram::crop_wide(int x, int64_t n, int64_t channels, int64_t margin) {
  if (margin == 0) return x;
  const int64_t inner = n - 2 * margin;
  x = reshape(x, {n, n * channels, 1});
  for (const bool down : {true, false}) {
    const auto reach = static_cast<size_t>(down ? margin : margin * channels), taps = 2 * reach + 1;
    std::vector<double> w(taps);
    w[reach] = 1;
    x = push_conv(x, {1, down ? taps : 1, down ? 1 : taps, 1}, w);
  }
  return reshape(x, {inner, inner, channels});
}

int ConvProgram::place(int x, int64_t channels, int64_t first, int64_t all) {
  const auto c = static_cast<size_t>(channels), from = static_cast<size_t>(first),
             n = static_cast<size_t>(all);
  std::vector<double> w(n * c);
  for (size_t k = 0; k < c; ++k) w[(from + k) * c + k] = 1;
  return push_conv(x, {n, 1, 1, c}, w);
}

int ConvProgram::rescale(int x, double factor, int64_t lo, int64_t hi) {
  const int shift = std::clamp(14 - std::ilogb(factor), 0, 62);
  return push({{"op", "requantise"},
               {"in", {x}},
               {"multiplier", static_cast<int64_t>(std::nearbyint(std::ldexp(factor, shift)))},
               {"shift", shift},
               {"min", lo},
               {"max", hi}});
}

int ConvProgram::table(int x, const std::vector<double>& values, int64_t first) {
  const std::string name = prefix_ + "t" + std::to_string(ops_.size());
  weights_.tensor(name, {values.size()}, values, 1, 16);
  return push({{"op", "table"}, {"in", {x}}, {"table", name}, {"first", first}});
}

int ConvProgram::add(int a, int b) { return push({{"op", "add"}, {"in", {a, b}}}); }

int ConvProgram::clamp(int x, int64_t lo, int64_t hi) {
  return push({{"op", "clamp"}, {"in", {x}}, {"min", lo}, {"max", hi}});
}

std::string ConvProgram::json(int output) const {
  return Json{{"inputs", inputs_}, {"ops", ops_}, {"outputs", {output}}}.dump();
}

torch::Tensor ConvProgram::largest_sums(torch::Tensor w, const Conv& c) {
  w = w.sum(-1);  // [outputs, kernel...]
  if (!c.transposed) return w.flatten(1).sum(1);
  for (int64_t a = 1; a <= c.rank; ++a) {
    const int64_t k = w.size(a);
    w = w.unflatten(a, std::vector<int64_t>{k / c.stride, c.stride}).sum(a);
  }
  return std::get<0>(w.flatten(1).max(1));
}

int ConvProgram::reshape(int x, const std::vector<int64_t>& shape) {
  return push({{"op", "reshape"}, {"in", {x}}, {"shape", shape}});
}

int ConvProgram::push_conv(int x, const std::vector<uint64_t>& shape, const std::vector<double>& weights) {
  const std::string at = std::to_string(ops_.size());
  weights_.tensor(prefix_ + "w" + at, shape, weights, 1, 8);
  weights_.tensor(prefix_ + "b" + at, {shape[0]}, std::vector<double>(shape[0]), 1, 32);
  return push({{"op", "conv"},
               {"in", {x}},
               {"weight", prefix_ + "w" + at},
               {"bias", prefix_ + "b" + at},
               {"stride", {1, 1}},
               {"before", {0, 0}},
               {"after", {0, 0}}});
}

int ConvProgram::push(Json op) {
  ops_.push_back(std::move(op));
  return static_cast<int>(inputs_.size() + ops_.size()) - 1;
}

}  // namespace h5neural::learn

// export.cc: see export.h.
#include "learn/export.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "models/factory.h"

namespace h5neural::learn {

void WeightsWriter::tensor(const std::string& name, const std::vector<uint64_t>& shape,
                           const std::vector<double>& values, double scale, int bits) {
  Stored s;
  s.type = bits == 8 ? "I8" : bits == 16 ? "I16" : "I32";
  s.shape = shape;
  const double limit = std::ldexp(1.0, bits - 1) - 1;
  const auto size = static_cast<size_t>(bits / 8);
  s.bytes.resize(values.size() * size);
  for (size_t i = 0; i < values.size(); ++i) {
    const double v = std::nearbyint(values[i] * scale);
    if (!(std::fabs(v) <= limit))
      throw std::runtime_error("tensor " + name + " does not fit its " + std::to_string(bits) + " bits");
    const auto n = static_cast<int32_t>(v);
    std::memcpy(s.bytes.data() + i * size, &n, size);  // little endian: the low bytes come first
  }
  tensors_[name] = std::move(s);
}

Bytes WeightsWriter::bytes() const {
  Safetensors out;
  out.metadata = metadata;
  out.metadata["format"] = "h5neural-weights-1";
  for (const auto& [name, t] : tensors_) out.tensors[name] = {t.type, t.shape, t.bytes};
  return write_safetensors(out);
}

int ProgramWriter::push(Json op) {
  ops_.push_back(std::move(op));
  return static_cast<int>(inputs_.size() + ops_.size()) - 1;
}

int ProgramWriter::input(int64_t count, int64_t lo, int64_t hi) {
  if (!ops_.empty()) throw std::logic_error("inputs come first");
  inputs_.push_back({{"shape", {count}}, {"min", lo}, {"max", hi}});
  return static_cast<int>(inputs_.size()) - 1;
}

int ProgramWriter::linear(int x, const Layer& layer, double in_unit, double max_x, int bits,
                          double& out_unit) {
  double largest = 1e-30, sum = 1e-30;
  for (int64_t r = 0; r < layer.rows; ++r) {
    double row = std::fabs(layer.bias[static_cast<size_t>(r)]) / in_unit / max_x;
    for (int64_t c = 0; c < layer.columns; ++c) {
      const double w = std::fabs(layer.weight[static_cast<size_t>(r * layer.columns + c)]);
      largest = std::max(largest, w);
      row += w;
    }
    sum = std::max(sum, row);
  }
  const double by_bits = (std::ldexp(1.0, bits - 1) - 1) / largest,
               by_sum = std::ldexp(1.0, 30) / (sum * max_x);
  const double scale = std::exp2(std::floor(std::log2(std::min(by_bits, by_sum))));
  out_unit = in_unit / scale;
  const std::string w = name("w" + std::to_string(ops_.size())), b = name("b" + std::to_string(ops_.size()));
  weights_.tensor(w, {static_cast<uint64_t>(layer.rows), static_cast<uint64_t>(layer.columns)},
                  {layer.weight.begin(), layer.weight.end()}, scale, bits);
  weights_.tensor(b, {static_cast<uint64_t>(layer.rows)}, {layer.bias.begin(), layer.bias.end()},
                  1 / out_unit, 32);
  return linear_stored(x, w, b);
}

int ProgramWriter::push_layer(Json op, int x, const IntegerLayer& layer) {
  const std::string w = name("w" + std::to_string(ops_.size())), b = name("b" + std::to_string(ops_.size()));
  weights_.tensor(w, {layer.shape.begin(), layer.shape.end()}, layer.weight, 1, layer.bits);
  weights_.tensor(b, {layer.bias.size()}, layer.bias, 1, 32);
  op["in"] = {x};
  op["weight"] = w;
  op["bias"] = b;
  return push(std::move(op));
}

int ProgramWriter::linear(int x, const IntegerLayer& layer) {
  return push_layer({{"op", "linear"}}, x, layer);
}

int ProgramWriter::conv(int x, const IntegerLayer& layer, const IntegerConv& g) {
  return push_layer({{"op", g.transposed ? "conv_transposed" : "conv"},
                     {"stride", g.stride},
                     {"before", g.before},
                     {"after", g.after}},
                    x, layer);
}

int ProgramWriter::reshape(int x, const std::vector<int64_t>& shape) {
  return push({{"op", "reshape"}, {"in", {x}}, {"shape", shape}});
}

int ProgramWriter::linear_stored(int x, const std::string& weight, const std::string& bias) {
  return push({{"op", "linear"}, {"in", {x}}, {"weight", weight}, {"bias", bias}});
}

int ProgramWriter::requantise(int x, double factor, int64_t lo, int64_t hi) {
  // multiplier in [2^14, 2^15): a relative error of 2^-15.
  const int shift = std::clamp(14 - static_cast<int>(std::floor(std::log2(factor))), 0, 62);
  const auto multiplier = static_cast<int64_t>(std::nearbyint(std::ldexp(factor, shift)));
  return push({{"op", "requantise"},
               {"in", {x}},
               {"multiplier", multiplier},
               {"shift", shift},
               {"min", lo},
               {"max", hi}});
}

int ProgramWriter::requantise(int x, const std::vector<double>& factors, int64_t lo, int64_t hi) {
  double largest = 1e-30;
  for (const double f : factors) largest = std::max(largest, std::fabs(f));
  const int shift = std::clamp(29 - static_cast<int>(std::floor(std::log2(largest))), 0, 62);
  const std::string m = name("m" + std::to_string(ops_.size()));
  weights_.tensor(m, {factors.size()}, factors, std::ldexp(1.0, shift), 32);
  return push(
      {{"op", "requantise"}, {"in", {x}}, {"multiplier", m}, {"shift", shift}, {"min", lo}, {"max", hi}});
}

int ProgramWriter::clamp(int x, int64_t lo, int64_t hi) {
  return push({{"op", "clamp"}, {"in", {x}}, {"min", lo}, {"max", hi}});
}

int ProgramWriter::table(int x, const std::string& table, int64_t first) {
  return push({{"op", "table"}, {"in", {x}}, {"table", table}, {"first", first}});
}

int ProgramWriter::add(int a, int b) { return push({{"op", "add"}, {"in", {a, b}}}); }

std::string ProgramWriter::json() const {
  return Json{{"inputs", inputs_}, {"ops", ops_}, {"outputs", outputs_}}.dump();
}

std::string save_weights(const std::string& path, const WeightsWriter& weights) {
  const Bytes bytes = weights.bytes();
  const Sha256 digest = sha256(bytes);
  make_model(WeightsFile(bytes, digest, path));
  const std::string partial = path + ".partial";
  std::ofstream out(partial, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) throw std::runtime_error(partial + " cannot be written; is the disk full?");
  std::filesystem::rename(partial, path);
  return hex(digest);
}

}  // namespace h5neural::learn

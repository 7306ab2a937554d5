// export.h: writes a weights file: tensors of integers and the text of its programs. No LibTorch: it takes
// plain arrays of numbers. What it writes is read back and proved before it counts as written.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "exact/json.h"
#include "weights/safetensors.h"

namespace h5neural::learn {

// A matrix [rows, columns] of real weights, and its bias, as a linear layer has them.
struct Layer {
  int64_t rows = 0, columns = 0;
  std::vector<float> weight, bias;
};

// Weights and bias of a layer as integers already: whole numbers that fit `bits` bits, and 32.
struct IntegerLayer {
  std::vector<int64_t> shape;  // of the weights: [outputs, kernel..., channels]
  std::vector<double> weight;
  int bits = 8;
  std::vector<double> bias;
};
struct IntegerConv {
  bool transposed = false;
  std::vector<int64_t> stride, before, after;
};

class WeightsWriter {
 public:
  // Rounds `values` * scale to integers of `bits` bits (8, 16 or 32); throws std::runtime_error when one does
  // not fit.
  void tensor(const std::string& name, const std::vector<uint64_t>& shape, const std::vector<double>& values,
              double scale, int bits);
  std::map<std::string, std::string> metadata;  // "name", "family", "config", "program.decode", ...

  // The file's bytes.
  Bytes bytes() const;

 private:
  struct Stored {
    std::string type;
    std::vector<uint64_t> shape;
    Bytes bytes;
  };
  std::map<std::string, Stored> tensors_;
};

// Builds the JSON of one program. Each call appends an operation and returns the index of its value.
class ProgramWriter {
 public:
  ProgramWriter(WeightsWriter& weights, std::string prefix) : weights_(weights), prefix_(std::move(prefix)) {}

  int input(int64_t count, int64_t lo, int64_t hi);
  // y = W x + b with x in units of `in_unit`. Weights get the finest power-of-two unit at which `bits` bits
  // hold them and sum |w| max_x + |b| stays below 2^30. Returns the value; `out_unit` is the unit of the
  // result.
  int linear(int x, const Layer& layer, double in_unit, double max_x, int bits, double& out_unit);
  int linear(int x, const IntegerLayer& layer);
  int conv(int x, const IntegerLayer& layer, const IntegerConv& geometry);
  int reshape(int x, const std::vector<int64_t>& shape);
  int requantise(int x, double factor, int64_t lo, int64_t hi);  // y = x * factor, rounded
  int requantise(int x, const std::vector<double>& factors, int64_t lo, int64_t hi);
  int clamp(int x, int64_t lo, int64_t hi);
  int table(int x, const std::string& name, int64_t first);
  int add(int a, int b);
  // Stores tensors and appends `linear` with weights given in integer units.
  int linear_stored(int x, const std::string& weight, const std::string& bias);
  void output(int x) { outputs_.push_back(x); }
  std::string name(const std::string& suffix) const { return prefix_ + suffix; }

  std::string json() const;

 private:
  int push(Json op);
  // An operation with these weights, and keys of its own besides.
  int push_layer(Json op, int x, const IntegerLayer& layer);
  WeightsWriter& weights_;
  std::string prefix_;
  Json inputs_ = Json::array(), ops_ = Json::array();
  std::vector<int> outputs_;
};

// Writes `path` and returns the SHA-256 in hexadecimal. Reads it back with the engine's own code first.
std::string save_weights(const std::string& path, const WeightsWriter& weights);

}  // namespace h5neural::learn

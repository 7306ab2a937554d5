// start.h: the networks of a weights file as real numbers again, to go on learning from: integers times the
// units that the program's rescalings tell. No LibTorch.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "exact/json.h"
#include "support/bytes.h"
#include "weights/weights_file.h"

namespace h5neural::learn {

// A linear layer, a convolution or a transposed one, as the program holds it.
struct StoredLayer {
  OpKind kind = OpKind::kLinear;
  std::vector<int64_t> shape;        // of the weights: [outputs, kernel..., channels]
  std::vector<double> weight, bias;  // whole numbers
  // What its results are multiplied by next, one for all or one for each output; empty where they are not.
  std::vector<double> factor;
  double factor_of(size_t output) const { return factor.at(factor.size() == 1 ? 0 : output); }
};

class StartingWeights {
 public:
  // Throws std::runtime_error where `path` is no weights file of family swae, form `form`.
  StartingWeights(const std::string& path, const std::string& form);

  const Json& config() const { return config_; }
  Program program(const std::string& name) const { return file_->program(name); }
  std::vector<StoredLayer> layers(const std::string& program) const;  // in the program's order
  // A tensor's values, and its shape in `shape`; empty where there is no such tensor.
  std::vector<double> tensor(const std::string& name, std::vector<int64_t>& shape) const;
  const std::string& path() const { return path_; }
  [[noreturn]] void refuse(const std::string& problem) const;

 private:
  std::string path_;
  Bytes bytes_;
  std::unique_ptr<WeightsFile> file_;
  Json config_;
};

}  // namespace h5neural::learn

// request.h: what a user asks of the filter on the command line (--abs 1e-3, --model, --effort), and its
// spelling in filter values. Knows the schema through filter/cd_values.h only.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "h5neural/h5neural.h"

namespace h5neural::tool {

class Request {
 public:
  // Options: exactly one bound, a model, an effort.
  void declare(CLI::App& app);
  // The same without an effort, for those who try several.
  void declare_without_effort(CLI::App& app);
  // Options of a training: an absolute, a relative or an nrmse bound, or none.
  void declare_for_training(CLI::App& app);

  // After parsing.
  uint32_t mode() const;  // H5N_LOSSLESS ...
  double bound() const;
  uint64_t model() const;  // resolves names and files through the engine's search order

  bool leaves_the_model_open() const;        // auto
  void use_model(const std::string& model);  // in the place of what was given
  void use_effort(unsigned effort) { effort_ = effort; }

  // Filter values [0] to [5] as a user types them, without trailing ones that are at their default. The bound
  // as mantissa and decimal places where that is exact, else as the two words of a double. Reads them back
  // with the filter's own reader before it returns them. Throws ToolError for a bound that the filter
  // refuses.
  std::vector<unsigned> words() const;
  // What the filter reads in words(): mode, bound, model and effort; the chunk's own members are zero.
  h5n_params params() const;

 private:
  std::optional<double> abs_, rel_, ratio_, psnr_, nrmse_, block_nrmse_;
  bool lossless_ = false;
  std::string model_ = "auto";
  unsigned effort_ = 5;
};

// "abs 0.001", "lossless"
std::string bound_text(uint32_t mode, double bound);

}  // namespace h5neural::tool

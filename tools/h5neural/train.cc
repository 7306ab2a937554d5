// train.cc placeholder for the first build
#include "commands.h"
namespace h5neural::tool {
Command add_train(CLI::App& app) {
  auto* s = app.add_subcommand("train", "x");
  return {s, [] { return 0; }};
}
}  // namespace h5neural::tool

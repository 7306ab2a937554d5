// main.cc: `h5neural`, the command line: reads the arguments and hands over to a subcommand.
#include <fmt/format.h>

#include <array>
#include <exception>
#include <string_view>

#include "commands.h"

namespace {

namespace tool = h5neural::tool;

int run(int argc, char** argv) {
  CLI::App app(
      "h5neural: floating-point data in HDF5 files, compressed under an error bound.\n"
      "Exit status: 0 fine, 1 the answer is no, 2 no answer (misuse, unreadable files).",
      "h5neural");
  app.set_version_flag("--version", "h5neural " H5NEURAL_VERSION);
  app.require_subcommand(1);
  const std::array commands{tool::add_flags(app),   tool::add_info(app),       tool::add_verify(app),
                            tool::add_doctor(app),  tool::add_train(app),      tool::add_bench(app),
                            tool::add_repack(app),  tool::add_weights(app),    tool::add_export_latents(app),
                            tool::add_preview(app), tool::add_feasibility(app)};
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? tool::kFine : tool::kUnable;
  }
  for (const tool::Command& command : commands) {
    if (command.options->parsed()) return command.run();
  }
  return tool::kUnable;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    const std::string_view text = e.what();  // sentences of the engine name it already
    fmt::print(stderr, "{}{}\n", text.starts_with("h5neural: ") ? "" : "h5neural: ", text);
    return tool::kUnable;
  }
}

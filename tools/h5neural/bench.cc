// bench.cc: `h5neural bench`: side by side with the filters that people use today. The work is done by the
// Python package (tools/python/h5neural/bench.py), since the peers come as Python packages.
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "install.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

// H5NEURAL_PYTHON, else the environment beside a build tree (build/release/bin -> build/venv), else python3.
fs::path python() {
  if (const char* named = std::getenv("H5NEURAL_PYTHON")) return named;
  const fs::path beside = own_folder().parent_path().parent_path() / "venv" / "bin" / "python";
  return fs::exists(beside) ? beside : fs::path("python3");
}

int run(const std::vector<std::string>& arguments) {
  std::vector<std::string> all{"-m", "h5neural.bench"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  const fs::path program = python(), plugin = own_plugin_folder();
  if (!plugin.empty()) setenv("H5NEURAL_PLUGIN_DIR", plugin.c_str(), 0);
  const Finished probe = run_program(program, {"-c", "import h5neural"}, true);
  if (probe.status != 0) {
    throw ToolError(
        fmt::format("bench needs Python with the h5neural package, and {} has none; install it with "
                    "pip, or name another Python in H5NEURAL_PYTHON",
                    program.string()));
  }
  const int status = run_program(program, all, false).status;
  return status == kFine || status == kFailed ? status : kUnable;
}

}  // namespace

Command add_bench(CLI::App& app) {
  CLI::App* c = app.add_subcommand(
      "bench",
      "Ratio, error, PSNR and speed beside SZ3, SPERR, ZFP and Blosc2: FILE:/dataset ...; -h says more");
  c->prefix_command();
  c->set_help_flag();
  return {c, [c] { return run(c->remaining()); }};
}

}  // namespace h5neural::tool

// commands.h: the subcommands of `h5neural`, one source file each. A subcommand declares its options on the
// application, and `run` does its work once they are parsed.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>

namespace h5neural::tool {

// Exit statuses of every subcommand. A misused command line is kUnable too.
enum ExitStatus {
  kFine = 0,
  kFailed =
      1,       // the question was answered, and the answer is no (a bound is broken, something does not work)
  kUnable = 2  // the question could not be answered (no such file, a damaged chunk)
};

struct Command {
  CLI::App* options;
  std::function<int()> run;  // returns an ExitStatus; throws ToolError (tool_error.h)
};

Command add_flags(CLI::App& app);
Command add_info(CLI::App& app);
Command add_verify(CLI::App& app);
Command add_doctor(CLI::App& app);
Command add_train(CLI::App& app);
Command add_bench(CLI::App& app);
Command add_repack(CLI::App& app);
Command add_weights(CLI::App& app);
Command add_export_latents(CLI::App& app);
Command add_preview(CLI::App& app);
Command add_feasibility(CLI::App& app);

}  // namespace h5neural::tool

// tool_error.h: why a subcommand cannot go on: one sentence with the problem and the remedy. main prints it
// and exits with kUnable.
#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace h5neural::tool {

class ToolError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw ToolError(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace h5neural::tool

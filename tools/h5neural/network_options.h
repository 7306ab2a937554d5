// network_options.h: options of `h5neural train` that go to h5neural-worker as they are: what a network for
// blocks looks like and learns by. The worker knows what they mean and checks them (engine/learn/options.cc).
#pragma once
#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

namespace h5neural::tool {

class NetworkOptions {
 public:
  void declare(CLI::App& sub);
  bool empty() const;
  // `--key value` of those that were given.
  std::vector<std::string> arguments() const;

 private:
  std::map<std::string, std::string> given_;
};

}  // namespace h5neural::tool

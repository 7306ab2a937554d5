// install.h: where the parts of this install stand, found from the place of the running program: the build
// tree mirrors the install. Knows no HDF5.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace h5neural::tool {

constexpr const char* kPluginName = "libh5zneural.so";

// The folder of the running program; empty when the system does not say.
std::filesystem::path own_folder();
// The plugin folder of this install; empty when the plugin is not there.
std::filesystem::path own_plugin_folder();
// A program of ours, beside this one, else on the PATH; empty when it is not installed.
std::filesystem::path program_path(const char* name);
// h5neural-worker.
std::filesystem::path worker_path();
// The file from which the library that holds `address` was loaded.
std::filesystem::path library_of(const void* address);

struct Finished {
  int status = -1;  // exit status; 128 + n after signal n; -1 when it could not be started
  std::string output;
};
// Runs a program and waits. With `capture`, its output and errors are returned, else they go where ours go.
// `meanwhile`, if given, is called some times a second until it ends.
Finished run_program(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                     bool capture, const std::function<void()>& meanwhile = {});

}  // namespace h5neural::tool

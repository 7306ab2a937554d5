// install.cc: see install.h.
#include "install.h"

#include <dlfcn.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <thread>

extern char** environ;

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

bool is_program(const fs::path& path) {
  std::error_code none;
  return fs::is_regular_file(path, none) && access(path.c_str(), X_OK) == 0;
}

std::string read_all(int descriptor) {
  std::string text;
  std::array<char, 4096> part{};
  for (;;) {
    const ssize_t n = read(descriptor, part.data(), part.size());
    if (n > 0) text.append(part.data(), static_cast<size_t>(n));
    if (n == 0 || (n < 0 && errno != EINTR)) return text;
  }
}

}  // namespace

fs::path own_folder() {
  std::error_code none;
  return fs::read_symlink("/proc/self/exe", none).parent_path();
}

fs::path own_plugin_folder() {
  const fs::path folder = (own_folder() / H5NEURAL_PLUGIN_FROM_BIN).lexically_normal();
  std::error_code none;
  return fs::exists(folder / kPluginName, none) ? folder : fs::path();
}

fs::path worker_path() { return program_path("h5neural-worker"); }

fs::path program_path(const char* name) {
  if (fs::path beside = own_folder() / name; is_program(beside)) return beside;
  const char* const search = std::getenv("PATH");
  for (std::string_view rest = search != nullptr ? search : ""; !rest.empty();) {
    const size_t end = std::min(rest.find(':'), rest.size());
    if (fs::path found = fs::path(rest.substr(0, end)) / name; end > 0 && is_program(found)) return found;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return {};
}

fs::path library_of(const void* address) {
  Dl_info info{};
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return {};
  std::error_code none;
  const fs::path real = fs::canonical(info.dli_fname, none);
  return real.empty() ? fs::path(info.dli_fname) : real;
}

Finished run_program(const fs::path& program, const std::vector<std::string>& arguments, bool capture,
                     const std::function<void()>& meanwhile) {
  std::string name = program.string();
  std::vector<std::string> copies = arguments;
  std::vector<char*> argv{name.data()};
  for (std::string& a : copies) argv.push_back(a.data());
  argv.push_back(nullptr);

  std::array<int, 2> ends{-1, -1};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (capture) {
    if (pipe(ends.data()) != 0) return {};
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
  }
  pid_t child = -1;
  const bool started = posix_spawnp(&child, name.c_str(), &actions, nullptr, argv.data(), environ) == 0;
  posix_spawn_file_actions_destroy(&actions);
  Finished out;
  if (capture) {
    close(ends[1]);
    if (started) out.output = read_all(ends[0]);
    close(ends[0]);
  }
  if (!started) return out;
  int status = 0;
  for (pid_t ended = 0; ended != child;) {
    ended = waitpid(child, &status, meanwhile ? WNOHANG : 0);
    if (ended < 0 && errno != EINTR) return out;
    if (ended != 0 || !meanwhile) continue;
    meanwhile();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  out.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return out;
}

}  // namespace h5neural::tool

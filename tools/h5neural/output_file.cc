// output_file.cc: see output_file.h.
#include "output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "tool_error.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP};
// What a signal's handler removes: plain memory, and empty where there is nothing.
constexpr size_t kMostRemoved = 256;
std::array<std::array<char, 1024>, kMostRemoved> to_remove{};
size_t removed_too = 1;  // the first is the unfinished file

void remember(size_t place, const std::string& path) {
  if (place < kMostRemoved && path.size() < to_remove[place].size())
    std::memcpy(to_remove[place].data(), path.c_str(), path.size() + 1);
}

void remove_and_end(int signal) {
  for (const auto& path : to_remove) {
    if (path[0] != '\0' && unlink(path.data()) != 0) rmdir(path.data());
  }
  std::signal(signal, SIG_DFL);
  raise(signal);
}

// A signal that is ignored (nohup) stays ignored.
void watch_signals() {
  for (const int s : kSignals) {
    struct sigaction now {};
    if (sigaction(s, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) std::signal(s, remove_and_end);
  }
}

}  // namespace

OutputFile::OutputFile(const std::string& path, const std::string& input) : path_(path) {
  std::error_code none;
  if (fs::equivalent(path, input, none)) {
    fail("{} and {} are the same file; name another file to write, and replace the old one yourself", input,
         path);
  }
  // A link stays a link: what it points to is replaced.
  if (const fs::path real = fs::canonical(path, none); !real.empty()) path_ = real.string();
  if (fs::exists(path_, none) && !fs::is_regular_file(path_, none)) {
    fail("{} is not a regular file; name another file to write", path);
  }
  unfinished_ = path_ + ".unfinished-XXXXXX";
  const int descriptor = mkstemp(unfinished_.data());
  if (descriptor < 0) {
    fail("{} cannot be written ({}); name a file in a folder of yours", path, std::strerror(errno));
  }
  const mode_t mask = umask(0);
  umask(mask);
  (void)fchmod(descriptor, 0666 & ~mask);  // what open() would have given it
  close(descriptor);
  remember(0, unfinished_);
  watch_signals();
}

void OutputFile::remove_too(const std::string& path) {
  for (size_t k = 1; k < removed_too; ++k)
    if (path == to_remove[k].data()) return;
  if (removed_too < kMostRemoved) remember(removed_too++, path);
}

OutputFile::~OutputFile() {
  to_remove[0][0] = '\0';
  if (!unfinished_.empty()) unlink(unfinished_.c_str());
}

void OutputFile::finish() {
  const int descriptor = open(unfinished_.c_str(), O_RDWR | O_CLOEXEC);
  const bool stored = descriptor >= 0 && fsync(descriptor) == 0;
  const int reason = errno;
  if (descriptor >= 0) close(descriptor);
  if (!stored || rename(unfinished_.c_str(), path_.c_str()) != 0) {
    fail("{} cannot be written ({}); check the disk's space and the folder's permissions", path_,
         std::strerror(stored ? errno : reason));
  }
  to_remove[0][0] = '\0';
  unfinished_.clear();
}

}  // namespace h5neural::tool

// start.cc: see start.h.
#include "worker/start.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <filesystem>

#include "worker/socket.h"

extern char** environ;

namespace h5neural {
namespace {

namespace fs = std::filesystem;

constexpr time_t kBetweenStarts = 10;  // seconds

// PREFIX/lib/h5neural/libh5neural.so and PREFIX/lib/ARCH/h5neural/libh5neural.so belong to PREFIX/bin.
fs::path worker_program() {
  Dl_info self{};
  if (dladdr(reinterpret_cast<const void*>(&start_worker), &self) == 0 || self.dli_fname == nullptr)
    return {};
  std::error_code ignored;
  fs::path folder = fs::canonical(self.dli_fname, ignored).parent_path();
  for (int up = 0; up < 3 && folder.has_relative_path(); ++up) {
    folder = folder.parent_path();
    fs::path program = folder / "bin/h5neural-worker";
    if (access(program.c_str(), X_OK) == 0) return program;
  }
  return {};
}

// Whether nobody has started one a moment ago; then it is written down that we do.
bool may_start(const WorkerPlace& place) {
  const Fd file(open(place.start().c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
  struct stat s {};
  if (!file.valid() || flock(file.get(), LOCK_EX | LOCK_NB) != 0 || fstat(file.get(), &s) != 0) return false;
  if (s.st_size > 0 && std::time(nullptr) - s.st_mtime < kBetweenStarts) return false;
  return pwrite(file.get(), "1", 1, 0) == 1;
}

// What posix_spawn is told: files, signals and session are not this process's.
class Detached {
 public:
  explicit Detached(const std::string& log) {
    posix_spawn_file_actions_init(&files_);
    posix_spawnattr_init(&attributes_);
    posix_spawn_file_actions_addopen(&files_, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files_, 1, log.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    posix_spawn_file_actions_adddup2(&files_, 1, 2);
    close_others();
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(&attributes_,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~Detached() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  Detached(const Detached&) = delete;
  Detached& operator=(const Detached&) = delete;

  pid_t spawn(char* const* arguments) {
    pid_t child = -1;
    return posix_spawn(&child, arguments[0], &files_, &attributes_, arguments, environ) == 0 ? child : -1;
  }

 private:
  // A lock that HDF5 holds on a file is held as long as any process has the descriptor.
  void close_others() {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    posix_spawn_file_actions_addclosefrom_np(&files_, 3);
#else
    std::error_code none;
    for (fs::directory_iterator it("/proc/self/fd", none), end; !none && it != end; it.increment(none)) {
      const int fd = std::atoi(it->path().filename().c_str());
      if (fd > 2) posix_spawn_file_actions_addclose(&files_, fd);
    }
#endif
  }

  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

// The shell between ends at once: it was only there so that the worker is not the host's child. Waited for by
// its id, and not forever; a host that takes all its children (SIGCHLD) has it then.
void take(pid_t child) {
  const int64_t deadline = now_ns() + kSecond;
  while (now_ns() < deadline) {
    const pid_t ended = waitpid(child, nullptr, WNOHANG);
    if (ended == child || (ended < 0 && errno != EINTR)) return;
    const timespec nap{0, kMillisecond};
    nanosleep(&nap, nullptr);
  }
}

}  // namespace

void start_worker(const WorkerPlace& place) {
  std::string program = worker_program().string();
  if (program.empty()) return;
  check_place(place, true);
  if (!may_start(place)) return;
  std::string shell = "/bin/sh", c = "-c", command = R"("$0" "$@" &)", serve = "serve", socket = "--socket",
              path = place.socket;
  const std::array<char*, 8> arguments{shell.data(), c.data(),      command.data(), program.data(),
                                       serve.data(), socket.data(), path.data(),    nullptr};
  const pid_t child = Detached(place.log()).spawn(arguments.data());
  if (child > 0) take(child);
}

}  // namespace h5neural

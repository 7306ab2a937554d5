// machine_speed.cc: see machine_speed.h.
#include "machine_speed.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <fstream>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "tool_error.h"

namespace h5neural::tool {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kCopyBytes = 64 * kMiB;  // per thread: well beyond a core's share of the caches
constexpr size_t kSocketBytes = 256 * kMiB, kSocketBlock = kMiB;
constexpr size_t kDiskBytes = 256 * kMiB, kDiskBlock = 4 * kMiB;
constexpr double kEnough = 0.5;  // seconds
constexpr size_t kMostRuns = 25;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string system_error() { return std::strerror(errno); }

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

// Bytes that no disk or file system makes smaller.
std::vector<uint8_t> noise(size_t bytes) {
  std::vector<uint64_t> words(bytes / sizeof(uint64_t));
  std::mt19937_64 random(1);
  for (uint64_t& w : words) w = random();
  std::vector<uint8_t> out(bytes);
  std::memcpy(out.data(), words.data(), words.size() * sizeof(uint64_t));
  return out;
}

// The two ends of a TCP connection over 127.0.0.1.
std::pair<Descriptor, Descriptor> connected_pair() {
  const Descriptor door(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  Descriptor sender(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const bool fine = door.fd() >= 0 && sender.fd() >= 0 && bind(door.fd(), generic, size) == 0 &&
                    listen(door.fd(), 1) == 0 && getsockname(door.fd(), generic, &size) == 0 &&
                    connect(sender.fd(), generic, size) == 0;
  Descriptor receiver(fine ? accept4(door.fd(), nullptr, nullptr, SOCK_CLOEXEC) : -1);
  if (receiver.fd() < 0) fail("no connection over 127.0.0.1 ({})", system_error());
  return {std::move(sender), std::move(receiver)};
}

void send_all(int fd, const std::vector<uint8_t>& block, size_t bytes) {
  for (size_t sent = 0; sent < bytes;) {
    const ssize_t n = send(fd, block.data(), std::min(block.size(), bytes - sent), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail("the connection over 127.0.0.1 broke ({})", system_error());
    sent += static_cast<size_t>(n);
  }
}

void receive_all(int fd, std::vector<uint8_t>& block, size_t bytes) {
  for (size_t got = 0; got < bytes;) {
    const ssize_t n = recv(fd, block.data(), std::min(block.size(), bytes - got), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail("the connection over 127.0.0.1 broke ({})", system_error());
    got += static_cast<size_t>(n);
  }
}

// A file without a name: whatever happens, none stays behind.
Descriptor nameless_file(const std::string& folder) {
  Descriptor file(open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file.fd() >= 0) return file;
  std::string name = folder + "/h5neural-XXXXXX";  // file systems without O_TMPFILE
  Descriptor named(mkostemp(name.data(), O_CLOEXEC));
  if (named.fd() < 0)
    fail("--path {}: no file can be made there ({}); name a folder on the disk to measure", folder,
         system_error());
  unlink(name.c_str());
  return named;
}

void write_block(int fd, const std::vector<uint8_t>& block, const std::string& folder) {
  for (size_t done = 0; done < block.size();) {
    const ssize_t n = write(fd, block.data() + done, block.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0)
      fail("--path {}: {} MiB cannot be written there ({}); name a folder with space", folder,
           kDiskBytes / kMiB, system_error());
    done += static_cast<size_t>(n);
  }
}

// The share of a file that is in memory.
double cached_share(int fd, size_t bytes) {
  void* const mapped = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return 1;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages((bytes + page - 1) / page);
  const bool known = mincore(mapped, bytes, pages.data()) == 0;
  munmap(mapped, bytes);
  if (!known) return 1;
  const auto in_memory = std::count_if(pages.begin(), pages.end(), [](unsigned char p) { return p & 1; });
  return static_cast<double>(in_memory) / static_cast<double>(pages.size());
}

}  // namespace

unsigned usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<unsigned>(std::max(CPU_COUNT(&set), 1));
  return std::max(std::thread::hardware_concurrency(), 1U);
}

std::string processor_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const size_t at = line.find(": ");
    if (line.starts_with("model name") && at != line.npos) return line.substr(at + 2);
  }
  return "unknown";
}

double processor_seconds() {
  timespec t{};
  return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0
             ? static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9
             : 0;
}

double seconds_in_parallel(unsigned threads, const std::function<void(unsigned)>& work) {
  std::vector<std::exception_ptr> errors(threads);
  std::vector<Clock::time_point> ended(threads);
  std::atomic<unsigned> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::jthread> running;
  for (unsigned t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      ++ready;
      go.wait(false);
      try {
        work(t);
      } catch (...) {
        errors[t] = std::current_exception();
      }
      ended[t] = Clock::now();
    });
  }
  while (ready < threads) std::this_thread::yield();
  const auto start = Clock::now();
  go = true;
  go.notify_all();
  for (std::jthread& t : running) t.join();
  for (const std::exception_ptr& e : errors) {
    if (e) std::rethrow_exception(e);
  }
  return std::chrono::duration<double>(*std::max_element(ended.begin(), ended.end()) - start).count();
}

double median_seconds(const std::function<double()>& run) {
  std::vector<double> seconds;
  double all = 0;
  while (seconds.empty() || (all < kEnough && seconds.size() < kMostRuns)) {
    seconds.push_back(std::max(run(), 1e-9));  // a clock's tick: nothing takes no time
    all += seconds.back();
  }
  const auto middle = seconds.begin() + static_cast<ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return *middle;
}

double memory_copy_speed(unsigned threads) {
  struct Buffers {
    std::vector<uint8_t> from = std::vector<uint8_t>(kCopyBytes, 1), to = std::vector<uint8_t>(kCopyBytes);
  };
  std::vector<Buffers> buffers(threads);
  const double seconds = median_seconds([&] {
    return seconds_in_parallel(threads, [&](unsigned t) {
      std::memcpy(buffers[t].to.data(), buffers[t].from.data(), kCopyBytes);
      buffers[t].from[0] = buffers[t].to[kCopyBytes / 2];  // the copy is used, so it is made
    });
  });
  return static_cast<double>(kCopyBytes) * threads / seconds;
}

double loopback_speed() {
  const auto ends = connected_pair();
  std::vector<uint8_t> out = noise(kSocketBlock), in(kSocketBlock);
  const double seconds = median_seconds([&] {
    return seconds_in_parallel(2, [&](unsigned t) {
      if (t == 0) send_all(ends.first.fd(), out, kSocketBytes);
      if (t == 1) receive_all(ends.second.fd(), in, kSocketBytes);
    });
  });
  return static_cast<double>(kSocketBytes) / seconds;
}

DiskSpeed disk_speed(const std::string& folder) {
  const Descriptor file = nameless_file(folder);
  std::vector<uint8_t> block = noise(kDiskBlock);
  DiskSpeed speed;
  const auto wrote = Clock::now();
  for (size_t at = 0; at < kDiskBytes; at += kDiskBlock) write_block(file.fd(), block, folder);
  if (fsync(file.fd()) != 0) fail("--path {}: the disk does not take the file ({})", folder, system_error());
  speed.write = static_cast<double>(kDiskBytes) / since(wrote);
  posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
  speed.cached = cached_share(file.fd(), kDiskBytes);
  const auto read_from = Clock::now();
  for (size_t at = 0; at < kDiskBytes;) {
    const ssize_t n = pread(file.fd(), block.data(), block.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail("--path {}: what was written cannot be read ({})", folder, system_error());
    at += static_cast<size_t>(n);
  }
  speed.read = static_cast<double>(kDiskBytes) / since(read_from);
  return speed;
}

}  // namespace h5neural::tool

// socket.h: packets and file descriptors over a Unix socket, with a deadline on every wait. Linux. Knows
// nothing of what the packets mean.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "support/bytes.h"

namespace h5neural {

// A file descriptor that is closed with its owner; -1: none.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release();

 private:
  int fd_ = -1;
};

// Monotonic, in nanoseconds; deadlines are points of this clock.
int64_t now_ns();
constexpr int64_t kMillisecond = 1000000, kSecond = 1000 * kMillisecond;

// A worker that is not there, does not answer in time or breaks its protocol: a Failure that never leaves the
// client.
[[noreturn]] void fail_worker(const std::string& why);
// The same where nobody listens at all, so that one may be started.
class NoWorker : public Failure {
 public:
  explicit NoWorker(const std::string& why) : Failure(H5N_ERR_INTERNAL, "h5neural-worker: " + why) {}
};

// Waits until `fd` can be read (or written). False at the deadline.
bool wait_for(int fd, bool write, int64_t deadline);

// A connection to the socket at `path`, whose other end belongs to this user. Never waits. Throws Failure,
// NoWorker where nobody listens.
Fd connect_to(const std::string& path);
// A socket at `path` that listens, readable by its owner only; what stood there is removed. Throws Failure.
Fd listen_at(const std::string& path);
// Whether the other end belongs to this process's user.
bool same_user(int socket);

// `passed`: a file descriptor that goes with it, or -1. Throws Failure.
void send_packet(int socket, ByteSpan bytes, int passed, int64_t deadline);

struct Packet {
  Bytes bytes;  // empty: the other end has closed
  Fd passed;
};
// Packets of more than `most` bytes, or with more than one descriptor, throw Failure, as the deadline does.
Packet receive_packet(int socket, size_t most, int64_t deadline);

}  // namespace h5neural

// socket.cc: see socket.h.
#include "worker/socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

namespace h5neural {
namespace {

sockaddr_un address_of(const std::string& path) {
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  if (path.size() >= sizeof a.sun_path) fail_worker("the path " + path + " is too long for a socket");
  std::copy(path.begin(), path.end(), a.sun_path);
  return a;
}

Fd open_socket() {
  Fd s(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!s.valid()) fail_worker("no socket is to be had");
  return s;
}

const sockaddr* plain(const sockaddr_un& a) { return reinterpret_cast<const sockaddr*>(&a); }

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = other.release();
  }
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}

int Fd::release() { return std::exchange(fd_, -1); }

int64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * kSecond + t.tv_nsec;
}

void fail_worker(const std::string& why) { throw Failure(H5N_ERR_INTERNAL, "h5neural-worker: " + why); }

bool wait_for(int fd, bool write, int64_t deadline) {
  for (;;) {
    const int64_t left = (deadline - now_ns() + kMillisecond - 1) / kMillisecond;
    pollfd p{fd, static_cast<short>(write ? POLLOUT : POLLIN), 0};
    const int n = poll(&p, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 60000)));
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) fail_worker("a socket cannot be waited for");
    if (now_ns() >= deadline) return false;
  }
}

Fd connect_to(const std::string& path) {
  const sockaddr_un a = address_of(path);
  Fd s = open_socket();
  // Not blocking: a queue that is full is a worker that hangs.
  if (connect(s.get(), plain(a), sizeof a) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) throw NoWorker("none listens at " + path);
    fail_worker("none answers at " + path);
  }
  if (!same_user(s.get())) fail_worker("the one at " + path + " belongs to another user");
  return s;
}

Fd listen_at(const std::string& path) {
  const sockaddr_un a = address_of(path);
  Fd s = open_socket();
  unlink(path.c_str());
  if (bind(s.get(), plain(a), sizeof a) != 0 || chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0 ||
      listen(s.get(), 64) != 0) {
    fail_worker("no socket can be made at " + path);
  }
  return s;
}

bool same_user(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

void send_packet(int socket, ByteSpan bytes, int passed, int64_t deadline) {
  iovec data{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr m{};
  m.msg_iov = &data;
  m.msg_iovlen = 1;
  if (passed >= 0) {
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    cmsghdr* const c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof passed);
    std::memcpy(CMSG_DATA(c), &passed, sizeof passed);
  }
  while (sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno != EINTR && errno != EAGAIN) fail_worker("the connection is broken");
    if (!wait_for(socket, true, deadline)) fail_worker("a message is not taken in time");
  }
}

Packet receive_packet(int socket, size_t most, int64_t deadline) {
  Packet p;
  p.bytes.resize(most + 1);  // one more shows what is too long
  for (;;) {
    iovec data{p.bytes.data(), p.bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr m{};
    m.msg_iov = &data;
    m.msg_iovlen = 1;
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    const ssize_t n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && errno != EINTR && errno != EAGAIN) fail_worker("the connection is broken");
    if (n < 0) {
      if (!wait_for(socket, false, deadline)) fail_worker("there is no answer in time");
      continue;
    }
    const cmsghdr* const c = CMSG_FIRSTHDR(&m);
    if (c != nullptr && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int))) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
      p.passed = Fd(fd);
    }
    if ((m.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0 || static_cast<size_t>(n) > most)
      fail_worker("a message is too long");
    p.bytes.resize(static_cast<size_t>(n));
    return p;
  }
}

}  // namespace h5neural

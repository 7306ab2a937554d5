// server.cc: see server.h. One thread for all connections (poll), one that runs programs (executor.h).
#include "worker/server/server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "worker/protocol.h"
#include "worker/server/executor.h"

namespace h5neural {
namespace {

constexpr size_t kMostClients = 256;

struct Client {
  Fd socket;
  std::shared_ptr<Segment> segment;
  bool busy = false;
};

class Server {
 public:
  Server(const ServeOptions& o, const Backend& backend)
      : o_(o),
        lock_(take_place(o.place)),
        wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        listener_(listen_at(o.place.socket)),
        executor_(backend, o.elements, wake_.get()) {}
  ~Server() { unlink(o_.place.socket.c_str()); }  // while the lock is held
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void run() {
    const int64_t idle = std::max<int64_t>(1, o_.idle_seconds) * kSecond;
    asked_ = now_ns();
    while (!stop_) {
      std::vector<pollfd> fds{
          {wake_.get(), POLLIN, 0}, {o_.stop_fd, POLLIN, 0}, {listener_.get(), POLLIN, 0}};
      std::vector<uint64_t> of;
      for (const auto& [id, c] : clients_) {
        fds.push_back({c.socket.get(), POLLIN, 0});
        of.push_back(id);
      }
      const int64_t left = working() ? idle : asked_ + idle - now_ns();
      if (left <= 0) return;
      const auto wait = static_cast<int>(std::min<int64_t>(left / kMillisecond + 1, 3600000));
      if (poll(fds.data(), fds.size(), wait) < 0) continue;  // a signal
      if (fds[1].revents != 0) return;
      if (fds[0].revents != 0) answer_finished();
      for (size_t i = 0; i < of.size(); ++i) {
        if (fds[3 + i].revents != 0) attend(of[i]);
      }
      if (fds[2].revents != 0) take_client();
    }
  }

 private:
  // The lock of the one that serves at this place, held as long as it does.
  static Fd take_place(const WorkerPlace& place) {
    check_place(place, true);
    Fd lock(open(place.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
    if (!lock.valid() || flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
      fail_worker("another one serves at " + place.socket);
    return lock;
  }

  bool working() const {
    return std::ranges::any_of(clients_, [](const auto& c) { return c.second.busy; });
  }

  void take_client() {
    Fd s(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!s.valid() || !same_user(s.get()) || clients_.size() >= kMostClients) return;
    clients_[++last_id_].socket = std::move(s);
  }

  void drop(uint64_t id) {
    executor_.cancel(id);
    clients_.erase(id);
  }

  // One message of a client; whoever breaks the protocol is dropped.
  void attend(uint64_t id) {
    const auto it = clients_.find(id);
    if (it == clients_.end()) return;  // dropped since it was waited for
    Client& c = it->second;
    try {
      Packet p = receive_packet(c.socket.get(), kMostMessage, now_ns());
      if (p.bytes.empty() || c.busy) return drop(id);
      Message m;
      try {
        m = parse_message(p.bytes);
      } catch (const Failure& f) {
        send(c, {MessageKind::kRefused, {}, 0, 0, f.what()});
        return drop(id);
      }
      act(id, c, m, std::move(p.passed));
    } catch (const std::exception&) {
      drop(id);
    }
  }

  void act(uint64_t id, Client& c, const Message& m, Fd passed) {
    switch (m.kind) {
      case MessageKind::kHello:
        return send(c, {MessageKind::kWelcome, {}, 0, 0, about()});
      case MessageKind::kStop:
        send(c, {MessageKind::kDone, {}, 0, 0, ""});
        stop_ = true;
        return;
      case MessageKind::kProgram:
        return submit(
            c, {id, true, m.program, 0, std::make_shared<Segment>(std::move(passed), m.segment_bytes)});
      case MessageKind::kRun:
        if (m.segment_bytes != 0) c.segment = std::make_shared<Segment>(std::move(passed), m.segment_bytes);
        if (c.segment == nullptr) fail_worker("there is no segment");
        return submit(c, {id, false, m.program, m.items, c.segment});
      default:
        fail_worker("a client sends what only workers do");
    }
  }

  void submit(Client& c, Job job) {
    c.busy = true;
    asked_ = now_ns();
    executor_.submit(std::move(job));
  }

  void answer_finished() {
    uint64_t count = 0;
    (void)!read(wake_.get(), &count, sizeof count);
    for (const Finished& f : executor_.finished()) {
      asked_ = now_ns();
      const auto it = clients_.find(f.client);
      if (it == clients_.end()) continue;
      it->second.busy = false;
      const MessageKind kind = f.kind == Finished::kDone             ? MessageKind::kDone
                               : f.kind == Finished::kUnknownProgram ? MessageKind::kUnknownProgram
                                                                     : MessageKind::kRefused;
      try {
        send(it->second, {kind, {}, 0, 0, f.why});
      } catch (const Failure&) {
        drop(f.client);
      }
    }
  }

  // A client that does not take its answers is dropped: nobody is waited for.
  static void send(const Client& c, const Message& m) {
    send_packet(c.socket.get(), write_message(m), -1, now_ns());
  }

  std::string about() const {
    const ExecutorCounts n = executor_.counts();
    return o_.about + "pid: " + std::to_string(getpid()) +
           "\nidle limit: " + std::to_string(o_.idle_seconds) +
           " s\nother clients: " + std::to_string(clients_.size() - 1) +
           "\nprograms: " + std::to_string(n.programs) + "\nexecutions: " + std::to_string(n.executions) +
           "\nitems: " + std::to_string(n.items) +
           "\nexecutions shared by clients: " + std::to_string(n.shared) + "\n";
  }

  const ServeOptions& o_;
  Fd lock_, wake_, listener_;
  std::map<uint64_t, Client> clients_;
  uint64_t last_id_ = 0;
  int64_t asked_ = 0;  // when a program was last asked for or finished
  bool stop_ = false;
  Executor executor_;
};

}  // namespace

void serve(const ServeOptions& options, const Backend& backend) { Server(options, backend).run(); }

}  // namespace h5neural

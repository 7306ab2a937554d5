// connection.h: one client's connection to a worker: says hello, sends programs, has them run. Every failure
// is a Failure that ends the connection.
#pragma once
#include <sys/types.h>

#include "exact/backend.h"
#include "worker/place.h"
#include "worker/protocol.h"
#include "worker/segment.h"

namespace h5neural {

// This program does not run in the worker; the connection is as good as before.
class WorkerRefusal : public Failure {
 public:
  explicit WorkerRefusal(const std::string& why) : Failure(H5N_ERR_UNSUPPORTED, "h5neural-worker: " + why) {}
};

class Connection {
 public:
  // Checks the folder, the user at the other end and the protocol.
  explicit Connection(const WorkerPlace& place);
  // The child of a fork must not use its parent's.
  bool of_this_process() const;
  // Whether the worker has closed it, as it does when it ends.
  bool ended() const { return wait_for(socket_.get(), false, now_ns()); }
  // In the child of a fork, before the end of its copy.
  void forget() { segment_.forget(); }

  // What the worker says of itself, "key: value" lines.
  const std::string& about() const { return about_; }
  // `hash`: of program_bytes(program). `per_item`: nanoseconds that the engine itself takes, by which to know
  // how long to wait.
  std::vector<Batch> run(const Program& program, const Sha256& hash, std::span<const Batch> inputs,
                         size_t items, int64_t per_item);
  // Has the worker end.
  void stop();

 private:
  Message ask(const Message& m, int passed, int64_t wait);
  void send_program(const Program& program, const Sha256& hash);
  void run_part(const Program& program, const Sha256& hash, std::span<const Batch> inputs, size_t first,
                size_t items, int64_t wait, std::vector<Batch>& outputs);

  Fd socket_;
  pid_t owner_;
  Segment segment_;
  bool sent_ = false;  // the segment
  std::string about_;
};

}  // namespace h5neural

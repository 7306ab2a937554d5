// client.h: the engine's side of h5neural-worker: a backend that has its programs run in another process, and
// does the work with the engine's own backends whenever that one is missing, slow or wrong. No LibTorch, no
// threads, no locks.
//
// Only a writer that looks for candidates uses it, while a WorkerScope lives, and only where H5NEURAL_WORKER
// asks for it:
//   off (or unset)   never
//   auto             a worker is started if need be; each program runs where it has been faster
//   on               a worker is started if need be, and runs all programs that are large enough
//   always           the same, and those that are too small to pay
//   /PATH            the worker that listens there runs all programs that are large enough; none is started
#pragma once
#include "exact/backend.h"

namespace h5neural {

// Lets run() of this thread use the worker while it lives. Reading, and proving what was written, is never
// done in one.
class WorkerScope {
 public:
  WorkerScope();
  ~WorkerScope();
  WorkerScope(const WorkerScope&) = delete;
  WorkerScope& operator=(const WorkerScope&) = delete;
  // Whether a worker has made anything in it.
  bool used() const { return used_; }

 private:
  friend class WorkerBackend;
  WorkerScope* outer_;
  bool used_ = false;
};

// Whether run() is to ask worker_backend() for this program: it is allowed and wanted, and the work is worth
// a message.
bool worker_wanted(const Program& program, size_t items);

// Always gives the outputs: the worker's, or those of best_backend(). The first batch of each program is run
// by both and compared.
const Backend& worker_backend();

// For a writer that found a wrong value: no worker is used any more by this process.
void distrust_worker();

}  // namespace h5neural

// executor.h: the one thread of the worker that runs programs. Items of one program go into one execution,
// whichever clients they come from. Knows nothing of sockets and messages.
#pragma once
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "exact/backend.h"
#include "weights/sha256.h"
#include "worker/segment.h"

namespace h5neural {

// What a client asked for.
struct Job {
  uint64_t client = 0;
  bool brings_program = false;  // the segment holds it; else inputs, and room for the outputs
  Sha256 program{};
  uint64_t items = 0;
  std::shared_ptr<Segment> segment;  // the client may write into it at any time: what is checked is a copy
};

struct Finished {
  enum Kind : uint8_t { kDone, kUnknownProgram, kRefused } kind = kDone;
  uint64_t client = 0;
  std::string why;  // kRefused
};

struct ExecutorCounts {
  size_t programs = 0;
  uint64_t executions = 0, items = 0;
  uint64_t shared = 0;  // executions with items of more than one client
};

class Executor {
 public:
  // `elements`: of all values of all items, that one execution may have (one item always may). `wake`: an
  // eventfd that is written to when something is finished.
  Executor(const Backend& backend, uint64_t elements, int wake);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  void submit(Job job);
  // What is left of a client's work is not begun any more.
  void cancel(uint64_t client);
  std::vector<Finished> finished();
  ExecutorCounts counts() const;

 private:
  struct Task {
    Job job;
    uint64_t done = 0;  // items
    bool cancelled = false;
  };
  struct Loaded {
    std::shared_ptr<const Program> program;
    uint64_t bytes = 0, used = 0;  // memory, about; when
  };
  // Items of one task in one execution.
  struct Share {
    std::shared_ptr<Task> task;
    uint64_t items = 0;
  };

  void work();
  std::string load(const Job& job);
  void evict(uint64_t bytes);
  std::vector<Share> next_shares(const Program& program, const Sha256& hash);
  void run(const Program& program, const std::shared_ptr<Task>& first);
  void execute(const Program& program, std::vector<Share>& shares);
  static bool copy_in(const Program& program, const Share& s, uint64_t at, std::vector<Batch>& inputs);
  static void copy_out(const Program& program, const Share& s, uint64_t at,
                       const std::vector<Batch>& outputs);
  void to_the_end(const std::shared_ptr<Task>& task);
  void finish(const std::shared_ptr<Task>& task, Finished::Kind kind, const std::string& why);

  const Backend& backend_;
  const uint64_t elements_;
  const int wake_;
  std::map<Sha256, Loaded> programs_;  // of the thread alone
  uint64_t uses_ = 0;

  mutable std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Task>> tasks_;
  std::vector<Finished> finished_;
  ExecutorCounts counts_;
  bool end_ = false;
  std::thread thread_;
};

}  // namespace h5neural

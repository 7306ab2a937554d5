// executor.cc: see executor.h.
#include "worker/server/executor.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

#include "support/failure.h"
#include "worker/program_bytes.h"

namespace h5neural {
namespace {

constexpr uint64_t kMostProgramMemory = uint64_t{2} << 30;

// A backend's own copy of the weights, the ranges of all values, and what an execution holds.
uint64_t memory_of(const Program& p) { return 16 * (p.parameters + p.activations); }

uint64_t numbers_of_item(const Program& p) {
  uint64_t n = 0;
  for (uint32_t v = 0; v < p.inputs; ++v) n += p.values[v].count();
  for (const uint32_t v : p.outputs) n += p.values[v].count();
  return n;
}

// Without overflow: the number of items comes from the client.
bool has_room(const Program& p, const Job& job) {
  return job.items > 0 && job.items <= job.segment->size() / 4 / numbers_of_item(p);
}

}  // namespace

Executor::Executor(const Backend& backend, uint64_t elements, int wake)
    : backend_(backend), elements_(elements), wake_(wake), thread_([this] { work(); }) {}

Executor::~Executor() {
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Executor::submit(Job job) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::make_shared<Task>(Task{std::move(job)}));
  }
  changed_.notify_one();
}

void Executor::cancel(uint64_t client) {
  const std::lock_guard lock(mutex_);
  for (const auto& t : tasks_) t->cancelled = t->cancelled || t->job.client == client;
  std::erase_if(tasks_, [](const auto& t) { return t->cancelled; });
}

std::vector<Finished> Executor::finished() {
  const std::lock_guard lock(mutex_);
  return std::exchange(finished_, {});
}

ExecutorCounts Executor::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void Executor::work() {
  for (;;) {
    std::shared_ptr<Task> first;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return end_ || !tasks_.empty(); });
      if (end_) return;
      first = tasks_.front();
    }
    if (first->job.brings_program) {
      const std::string why = load(first->job);
      finish(first, why.empty() ? Finished::kDone : Finished::kRefused, why);
    } else if (const auto it = programs_.find(first->job.program); it == programs_.end()) {
      finish(first, Finished::kUnknownProgram, "");
    } else {
      it->second.used = ++uses_;
      run(*it->second.program, first);
    }
  }
}

void Executor::run(const Program& program, const std::shared_ptr<Task>& first) {
  if (!has_room(program, first->job)) {
    finish(first, Finished::kRefused, "the segment is too small for these items");
    return;
  }
  std::vector<Share> shares = next_shares(program, first->job.program);
  try {
    execute(program, shares);
  } catch (const std::exception& e) {
    for (const Share& s : shares) finish(s.task, Finished::kRefused, e.what());
  }
}

// Returns why the program is refused, or nothing.
std::string Executor::load(const Job& job) {
  try {
    const Bytes bytes(job.segment->data(), job.segment->data() + job.segment->size());
    if (sha256(bytes) != job.program) return "the program is not the one that was announced";
    if (programs_.contains(job.program)) return "";
    auto program = std::make_shared<const Program>(program_of(bytes));
    const uint64_t memory = memory_of(*program);
    evict(memory);
    programs_[job.program] = {std::move(program), memory, ++uses_};
    const std::lock_guard lock(mutex_);
    counts_.programs = programs_.size();
    return "";
  } catch (const std::exception& e) {
    return e.what();
  }
}

// Makes room for so many bytes: the longest unused go.
void Executor::evict(uint64_t bytes) {
  uint64_t held = bytes;
  for (const auto& [hash, p] : programs_) held += p.bytes;
  while (held > kMostProgramMemory && !programs_.empty()) {
    const auto oldest =
        std::min_element(programs_.begin(), programs_.end(),
                         [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
    held -= oldest->second.bytes;
    programs_.erase(oldest);
  }
}

// The items of the next execution of a program: of the first task that asks for it, and of the others, as
// many as there is room for. None where they were cancelled meanwhile.
std::vector<Executor::Share> Executor::next_shares(const Program& program, const Sha256& hash) {
  const std::lock_guard lock(mutex_);
  std::vector<Share> shares;
  uint64_t room = std::max<uint64_t>(1, elements_ / program.activations);
  for (const auto& t : tasks_) {
    if (t->job.brings_program || t->job.program != hash || !has_room(program, t->job)) continue;
    const uint64_t items = std::min(room, t->job.items - t->done);
    if (items > 0) shares.push_back({t, items});
    room -= items;
  }
  return shares;
}

// `shares`: those that are still to be answered, for whoever catches what is thrown.
void Executor::execute(const Program& program, std::vector<Share>& shares) {
  uint64_t items = 0;
  for (const Share& s : shares) items += s.items;
  std::vector<Batch> inputs;
  for (uint32_t v = 0; v < program.inputs; ++v) inputs.emplace_back(items * program.values[v].count());
  items = 0;
  std::erase_if(shares, [&](const Share& s) {
    if (!copy_in(program, s, items, inputs)) {
      finish(s.task, Finished::kRefused, "an input is out of its range");
      return true;
    }
    items += s.items;
    return false;
  });
  if (shares.empty()) return;
  for (uint32_t v = 0; v < program.inputs; ++v) inputs[v].resize(items * program.values[v].count());
  const std::vector<Batch> outputs = backend_.execute(program, inputs, items);
  items = 0;
  for (const Share& s : shares) {
    copy_out(program, s, items, outputs);
    items += s.items;
  }
  {
    const std::lock_guard lock(mutex_);
    ++counts_.executions;
    counts_.items += items;
    counts_.shared += shares.size() > 1 ? 1 : 0;
  }
  for (const Share& s : shares) {
    s.task->done += s.items;
    s.task->done == s.task->job.items ? finish(s.task, Finished::kDone, "") : to_the_end(s.task);
  }
}

// The items of a share to item `at` of the inputs of an execution. False where one is out of its range.
bool Executor::copy_in(const Program& program, const Share& s, uint64_t at, std::vector<Batch>& inputs) {
  const Job& job = s.task->job;
  const uint8_t* from = job.segment->data();
  for (uint32_t v = 0; v < program.inputs; ++v) {
    const uint64_t count = program.values[v].count();
    int32_t* const to = inputs[v].data() + at * count;
    std::memcpy(to, from + 4 * s.task->done * count, 4 * s.items * count);
    if (!in_range(program.values[v], {to, s.items * count})) return false;
    from += 4 * job.items * count;
  }
  return true;
}

void Executor::copy_out(const Program& program, const Share& s, uint64_t at,
                        const std::vector<Batch>& outputs) {
  const Job& job = s.task->job;
  uint8_t* to = job.segment->data();
  for (uint32_t v = 0; v < program.inputs; ++v) to += 4 * job.items * program.values[v].count();
  for (size_t o = 0; o < outputs.size(); ++o) {
    const uint64_t count = program.values[program.outputs[o]].count();
    std::memcpy(to + 4 * s.task->done * count, outputs[o].data() + at * count, 4 * s.items * count);
    to += 4 * job.items * count;
  }
}

void Executor::finish(const std::shared_ptr<Task>& task, Finished::Kind kind, const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    std::erase(tasks_, task);
    if (task->cancelled) return;
    finished_.push_back({kind, task->job.client, why});
  }
  const uint64_t one = 1;
  while (write(wake_, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

// So that a large task does not keep others waiting.
void Executor::to_the_end(const std::shared_ptr<Task>& task) {
  const std::lock_guard lock(mutex_);
  if (std::erase(tasks_, task) > 0) tasks_.push_back(task);
}

}  // namespace h5neural

// parallel.h: threads inside a chunk, as an option. Off unless the environment variable H5NEURAL_THREADS asks
// for them: HDF5 programs, and ranks on a node, have their own. Threads live for one call only, so a process
// may fork between any two.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace h5neural {

constexpr long kMostThreads = 64;

// Whether this thread is at work for a parallel() already: what it calls stays on it.
inline bool& inside_parallel() {
  static thread_local bool inside = false;
  return inside;
}

// 1 to kMostThreads; 1 where H5NEURAL_THREADS is unset or no number, and inside parallel().
inline int threads() {
  if (inside_parallel()) return 1;
  const char* text = std::getenv("H5NEURAL_THREADS");
  return text == nullptr ? 1 : static_cast<int>(std::clamp(std::strtol(text, nullptr, 10), 1L, kMostThreads));
}

// Calls work(k) for k = 0 .. count - 1, on as many threads (this one among them) as there are to be had. What
// work throws is thrown here, once all are done.
template <class Work>
void parallel(int count, Work&& work) {
  std::vector<std::exception_ptr> thrown(static_cast<size_t>(std::max(count, 1)));
  const auto guarded = [&](int k) {
    try {
      work(k);
    } catch (...) {
      thrown[static_cast<size_t>(k)] = std::current_exception();
    }
  };
  std::vector<std::thread> running;
  const int together = std::min(count, threads());
  const auto some = [&](int first) {
    const bool before = std::exchange(inside_parallel(), together > 1);
    for (int k = first; k < count; k += together) guarded(k);
    inside_parallel() = before;
  };
  for (int t = 1; t < together; ++t) {
    try {
      running.emplace_back(some, t);
    } catch (const std::system_error&) {
      some(t);  // no thread to be had: done here
    }
  }
  if (together > 0) some(0);
  for (std::thread& t : running) t.join();
  for (const std::exception_ptr& e : thrown) {
    if (e) std::rethrow_exception(e);
  }
}

}  // namespace h5neural

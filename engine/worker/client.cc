// client.cc: see client.h.
#include "worker/client.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>

#include "worker/connection.h"
#include "worker/program_bytes.h"
#include "worker/start.h"

namespace h5neural {
namespace {

// A message takes some 50 microseconds, the way of a number to the worker and back about a nanosecond: what
// the engine does in that time itself is not worth sending (docs/notes/worker.md).
constexpr uint64_t kLeastMacs = 4000000, kMacsOfNumber = 128;
// Under `auto`, one use of so many goes to the side that was slower, to see whether it still is.
constexpr uint32_t kLookAgain = 64;
constexpr int64_t kWhileStarting = 50 * kMillisecond, kLongestPause = 600 * kSecond;

thread_local WorkerScope* innermost = nullptr;

struct Wish {
  enum Kind : uint8_t { kOff, kAuto, kOn, kAlways } kind = kOff;
  std::string socket;  // empty: the user's
};

// secure_getenv: strangers must not steer a set-user-id process.
Wish wish() {
  const char* const text = secure_getenv("H5NEURAL_WORKER");
  const std::string word = text == nullptr ? "" : text;
  if (word == "auto") return {Wish::kAuto, ""};
  if (word == "on") return {Wish::kOn, ""};
  if (word == "always") return {Wish::kAlways, ""};
  if (word.starts_with('/')) return {Wish::kOn, word};
  return {};
}

// What the client knows of a program, kept with it.
struct Known final : Prepared {
  Sha256 hash{};
  mutable std::atomic<uint32_t> uses{0};
  mutable std::atomic<int64_t> own{0}, worker{0};  // nanoseconds for an item; 0: not known
  mutable std::atomic<bool> compared{false}, refused{false};
};

// When the process may ask for a worker again, and whether at all.
struct Trust {
  std::atomic<bool> lost{false};
  std::atomic<int64_t> retry_at{0};
  std::atomic<int> failures{0};  // in a row

  bool now() const { return !lost && now_ns() >= retry_at; }
  void failed() {
    const int n = std::min(failures.fetch_add(1), 20);
    retry_at = now_ns() + std::min(kSecond << n, kLongestPause);
  }
};
Trust trust;

// Connections that no thread uses. Taken and given back by atomic exchange, so that a process may fork at any
// time.
class Pool {
 public:
  std::unique_ptr<Connection> take() {
    for (auto& slot : slots_) {
      std::unique_ptr<Connection> c(slot.exchange(nullptr));
      if (c == nullptr) continue;
      if (!c->of_this_process()) {
        c->forget();  // the parent's
      } else if (!c->ended()) {
        return c;
      }
    }
    return nullptr;
  }
  void give_back(std::unique_ptr<Connection> c) {
    for (auto& slot : slots_) {
      Connection* none = nullptr;
      if (slot.compare_exchange_strong(none, c.get())) {
        (void)c.release();
        return;
      }
    }
  }

 private:
  std::array<std::atomic<Connection*>, 16> slots_{};
};
// Never destroyed, as all statics of the engine: threads may still write while the process exits.
Pool& pool() {
  static Pool& all = *new Pool;
  return all;
}

// Nothing where nobody listens; then one is started, for chunks to come.
std::unique_ptr<Connection> connect(const Wish& w) {
  const WorkerPlace place = worker_place(w.socket);
  try {
    return std::make_unique<Connection>(place);
  } catch (const NoWorker&) {
    trust.retry_at = now_ns() + kWhileStarting;
    if (w.socket.empty()) start_worker(place);
    return nullptr;
  }
}

bool in_ranges(const Program& p, const std::vector<Batch>& outputs) {
  for (size_t o = 0; o < outputs.size(); ++o) {
    if (!in_range(p.values[p.outputs[o]], outputs[o])) return false;
  }
  return true;
}

}  // namespace

WorkerScope::WorkerScope() : outer_(innermost) { innermost = this; }
WorkerScope::~WorkerScope() { innermost = outer_; }

class WorkerBackend final : public Backend {
 public:
  const char* name() const override { return "worker"; }
  bool available() const override { return trust.now() && wish().kind != Wish::kOff; }

  std::vector<Batch> execute(const Program& p, std::span<const Batch> inputs, size_t items) const override {
    const Known& k = p.prepared->get<Known>(this, [&] { return know(p); });
    const Wish w = wish();
    const uint32_t use = k.uses++;
    // The first use prepares the engine's own backend, the second says how long that one takes; then it is
    // compared.
    if (k.own == 0 || (w.kind == Wish::kAuto && use < 2)) {
      std::vector<Batch> own = alone(p, inputs, items, k);
      if (w.kind == Wish::kAuto && use < 2) return own;
      return compare(p, inputs, items, k, w, std::move(own));
    }
    if (!k.compared) return compare(p, inputs, items, k, w, alone(p, inputs, items, k));
    const bool slower = k.worker > k.own, look_again = use % kLookAgain == 0;
    if (k.refused || (w.kind == Wish::kAuto && slower != look_again)) return alone(p, inputs, items, k);
    if (auto outputs = ask(p, inputs, items, k, w)) {
      if (innermost != nullptr) innermost->used_ = true;
      return std::move(*outputs);
    }
    return alone(p, inputs, items, k);
  }

 private:
  static std::unique_ptr<Known> know(const Program& p) {
    auto k = std::make_unique<Known>();
    k->hash = sha256(program_bytes(p));
    return k;
  }

  static std::vector<Batch> alone(const Program& p, std::span<const Batch> inputs, size_t items,
                                  const Known& k) {
    const int64_t start = now_ns();
    std::vector<Batch> outputs = best_backend().execute(p, inputs, items);
    remember(k.own, (now_ns() - start) / static_cast<int64_t>(items));
    return outputs;
  }

  // The least of the engine's times would hide that the machine is busy, the last would follow every hiccup.
  static void remember(std::atomic<int64_t>& time, int64_t now) {
    const int64_t before = time;
    time = std::max<int64_t>(1, before == 0 || now < before ? now : (3 * before + now) / 4);
  }

  // Has the worker do again what the engine has done; a difference ends all trust.
  static std::vector<Batch> compare(const Program& p, std::span<const Batch> inputs, size_t items,
                                    const Known& k, const Wish& w, std::vector<Batch> own) {
    if (k.refused || !trust.now()) return own;
    const auto outputs = ask(p, inputs, items, k, w);
    if (outputs && *outputs != own) distrust_worker();
    if (!outputs) return own;
    k.compared = true;
    k.worker = 0;  // it had the program to prove: the next time counts
    return own;
  }

  // The worker's outputs, or nothing.
  static std::optional<std::vector<Batch>> ask(const Program& p, std::span<const Batch> inputs, size_t items,
                                               const Known& k, const Wish& w) {
    if (!trust.now()) return std::nullopt;
    try {
      std::unique_ptr<Connection> c = pool().take();
      if (c == nullptr) c = connect(w);
      if (c == nullptr) return std::nullopt;
      std::optional<std::vector<Batch>> outputs;
      try {
        const int64_t start = now_ns();
        outputs = c->run(p, k.hash, inputs, items, k.own);
        remember(k.worker, (now_ns() - start) / static_cast<int64_t>(items));
      } catch (const WorkerRefusal&) {
        k.refused = true;
      }
      if (outputs && !in_ranges(p, *outputs)) {
        distrust_worker();
        return std::nullopt;
      }
      trust.failures = 0;
      pool().give_back(std::move(c));
      return outputs;
    } catch (const std::exception&) {  // the engine goes on alone
      trust.failed();
      return std::nullopt;
    }
  }
};

bool worker_wanted(const Program& program, size_t items) {
  if (innermost == nullptr || items == 0 || !trust.now()) return false;
  const Wish::Kind kind = wish().kind;
  if (kind == Wish::kOff || kind == Wish::kAlways) return kind == Wish::kAlways;
  uint64_t numbers = 0;
  for (uint32_t v = 0; v < program.inputs; ++v) numbers += program.values[v].count();
  for (const uint32_t v : program.outputs) numbers += program.values[v].count();
  return program.macs * items >= kLeastMacs + kMacsOfNumber * numbers * items;
}

const Backend& worker_backend() {
  static const WorkerBackend* const backend = new WorkerBackend;  // never destroyed
  return *backend;
}

void distrust_worker() { trust.lost = true; }

}  // namespace h5neural

// weights.cc: finds, loads and keeps models. See weights.h. A file is read once; it is read again when its
// size or time changes. One lock guards the cache; loading under it makes sure that no file is loaded twice.
#include "weights/weights.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <tuple>

#include "models/factory.h"
#include "weights/carried.h"
#include "weights/embedded.h"
#include "weights/places.h"
#include "weights/weights_file.h"

namespace h5neural {
namespace {

constexpr uint64_t kMaxFile = uint64_t{512} << 20;
constexpr const char* kInside = " (inside)";
constexpr size_t kMostAttempts = 4096;
constexpr size_t kMostKept = 32;  // weights carried by files that are kept in memory

// What is known of one file (or of one array compiled in).
struct Loaded {
  WeightsEntry entry;
  std::shared_ptr<const Model> model;               // empty: entry.problem says why
  int64_t size = -1, seconds = 0, nanoseconds = 0;  // of the file when it was read
};

Loaded load(ByteSpan bytes, const std::string& source) {
  Loaded l;
  l.entry.source = source;
  const Sha256 digest = sha256(bytes);
  l.entry.sha256 = hex(digest);
  l.entry.hash = short_hash(digest);
  try {
    const WeightsFile file(bytes, digest, source);
    l.entry.name = file.name();
    l.entry.family = file.family();
    l.model = make_model(file);
  } catch (const Failure& f) {
    l.entry.problem = f.what();
  } catch (const std::bad_alloc&) {
    l.entry.problem = "h5neural: no memory to load " + source + "; close other programs, or remove the file";
  }
  return l;
}

bool read_file(const std::string& path, Bytes& bytes, std::string& problem) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  const auto size = static_cast<int64_t>(in.tellg());
  if (!in || size < 0) {
    problem = "h5neural: " + path + " cannot be read; check its permissions";
    return false;
  }
  if (static_cast<uint64_t>(size) > kMaxFile) {
    problem = "h5neural: " + path + " is over 512 MiB; no weights are that large";
    return false;
  }
  bytes.resize(static_cast<size_t>(size));
  in.seekg(0);
  if (!in.read(reinterpret_cast<char*>(bytes.data()), size)) {
    problem = "h5neural: " + path + " cannot be read to its end; check the disk";
    return false;
  }
  return true;
}

class Cache {
 public:
  // Everything that the search order finds now, in its order.
  std::vector<const Loaded*> all() {
    std::vector<const Loaded*> found = compiled_in();
    for (const auto& path : weights_paths()) found.push_back(&file(path.string()));
    return found;
  }

  // Adds those that this process's open files carry and that are what they are said to be.
  void list_carried(std::vector<WeightsEntry>& entries) {
    for (const CarryingFile& f : carrying_files()) {
      for (const Carried& c : f.weights) {
        const Loaded* l = carried(f, c);
        if (l == nullptr) continue;
        entries.push_back(l->entry);
        entries.back().source = f.path + kInside;  // the same weights may be inside of several
      }
    }
  }

  // Stops at the first match; files that carry the hash in their name come first, since hashing all costs
  // time.
  const Loaded* find(uint64_t hash) {
    if (const auto kept = carried_.find(hash); kept != carried_.end()) return &kept->second;
    for (const Loaded* l : compiled_in()) {
      if (l->entry.hash == hash) return l;
    }
    auto paths = weights_paths();
    std::stable_partition(paths.begin(), paths.end(), [&](const auto& p) {
      return p.filename().string().find(hex(hash)) != std::string::npos;
    });
    for (const auto& path : paths) {
      if (const Loaded& l = file(path.string()); l.entry.hash == hash) return &l;
    }
    for (const CarryingFile& f : carrying_files()) {
      for (const Carried& c : f.weights) {
        if (short_hash(c.sha256) != hash) continue;
        if (const Loaded* l = carried(f, c); l != nullptr) return l;
        misplaced = f.path;
      }
    }
    return nullptr;
  }

  std::mutex lock;
  std::string misplaced;  // the last file that says it carries what was looked for, and does not

 private:
  std::vector<const Loaded*> compiled_in() {
    if (embedded_.empty()) {
      for (const EmbeddedWeights& e : embedded_weights()) {
        embedded_.push_back(load(ByteSpan(e.begin, e.end), "compiled in"));
      }
    }
    std::vector<const Loaded*> found;
    for (const Loaded& l : embedded_) found.push_back(&l);
    return found;
  }

  const Loaded& file(const std::string& path) {
    Loaded& l = files_[path];
    struct stat s {};
    const bool there = stat(path.c_str(), &s) == 0;
    if (there && l.size == s.st_size && l.seconds == s.st_mtim.tv_sec && l.nanoseconds == s.st_mtim.tv_nsec)
      return l;
    Bytes bytes;
    std::string problem;
    if (read_file(path, bytes, problem)) {
      l = load(bytes, path);
    } else {
      l = Loaded{};
      l.entry.source = path;
      l.entry.problem = problem;
    }
    if (there) l.size = s.st_size, l.seconds = s.st_mtim.tv_sec, l.nanoseconds = s.st_mtim.tv_nsec;
    return l;
  }

  // Weights of an open file, when they are what the record says. Read and hashed once, whatever comes of it.
  const Loaded* carried(const CarryingFile& f, const Carried& c) {
    const Attempt attempt{f.device, f.inode, f.size, f.seconds, f.nanoseconds, c.offset, c.length, c.sha256};
    if (failed_.contains(attempt)) return nullptr;
    const uint64_t hash = short_hash(c.sha256);
    const auto kept = carried_.find(hash);
    const bool known = kept != carried_.end() && kept->second.entry.sha256 == hex(c.sha256);
    if (known && fine_.contains(attempt)) return &kept->second;
    Bytes bytes;
    if (!read_carried(f, c, bytes)) {
      remember(failed_, attempt);
      return nullptr;
    }
    remember(fine_, attempt);
    if (known) return &kept->second;
    if (carried_.size() >= kMostKept) {
      carried_.erase(kept_order_.front());
      kept_order_.erase(kept_order_.begin());
    }
    std::erase(kept_order_, hash);
    kept_order_.push_back(hash);
    return &(carried_[hash] = load(bytes, f.path + kInside));
  }

  using Attempt = std::tuple<uint64_t, uint64_t, uint64_t, int64_t, int64_t, uint64_t, uint64_t,
                             Sha256>;  // what and where

  static void remember(std::set<Attempt>& attempts, const Attempt& attempt) {
    if (attempts.size() >= kMostAttempts) attempts.clear();
    attempts.insert(attempt);
  }

  std::vector<Loaded> embedded_;
  std::map<std::string, Loaded> files_;
  std::map<uint64_t, Loaded> carried_;  // by hash; they stay when their file is closed
  std::vector<uint64_t> kept_order_;    // oldest first
  std::set<Attempt> fine_, failed_;     // so that a hostile file costs its reading once, not at each chunk
};

// Never destroyed: threads may still decode while the process ends.
Cache& cache() {
  static auto* const c = new Cache;
  return *c;
}

[[noreturn]] void fail_missing(uint64_t hash, const std::string& misplaced) {
  std::string places;
  for (const auto& p : weights_places()) places += p.string() + ", ";
  const std::string what = "h5neural: this chunk needs the weights " + hex(hash);
  const std::string searched = " (searched: compiled in, " + places + "this process's open files)";
  if (!misplaced.empty()) {
    throw Failure(H5N_ERR_NO_MODEL, what +
                                        ", and a program has rewritten or damaged the file that carries "
                                        "them; install them with `h5neural weights install " +
                                        misplaced + "`" + searched);
  }
  throw Failure(
      H5N_ERR_NO_MODEL,
      what +
          ", which are not installed; `h5neural weights install` takes their .safetensors file or a file "
          "that carries them, or name the folder in H5NEURAL_WEIGHTS_PATH" +
          searched);
}

}  // namespace

std::shared_ptr<const Model> find_model(uint64_t hash) {
  const std::lock_guard guard(cache().lock);
  cache().misplaced.clear();
  const Loaded* l = cache().find(hash);
  if (l == nullptr) fail_missing(hash, cache().misplaced);
  if (l->model == nullptr) throw Failure(H5N_ERR_CORRUPT, l->entry.problem);
  return l->model;
}

std::vector<std::shared_ptr<const Model>> all_models() {
  const std::lock_guard guard(cache().lock);
  static auto* const models = new std::vector<std::shared_ptr<const Model>>([] {
    std::vector<std::shared_ptr<const Model>> v;
    for (const Loaded* l : cache().all()) {
      const bool twice =
          std::any_of(v.begin(), v.end(), [&](const auto& m) { return m->hash() == l->entry.hash; });
      if (l->model != nullptr && !twice) v.push_back(l->model);
    }
    return v;
  }());
  return *models;
}

std::vector<WeightsEntry> list_weights() {
  const std::lock_guard guard(cache().lock);
  std::vector<WeightsEntry> entries;
  for (const Loaded* l : cache().all()) entries.push_back(l->entry);
  cache().list_carried(entries);
  return entries;
}

}  // namespace h5neural

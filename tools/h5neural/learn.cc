// learn.cc: see learn.h. A run's folder holds samples.safetensors, what each family has finished
// (FAMILY.safetensors, its card .md, its curve .rows), checkpoints of what it has not, and state.json.
#include "learn.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "install.h"
#include "tool_error.h"
#include "weights_files.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kMostMeasured = 24, kFew = 6;  // chunks of a measurement, and of an estimate
constexpr double kShareOfLearning = 0.85;         // of the time; the rest is for samples and measurements
constexpr double kLeastSeconds = 2;               // a family is not begun with less
constexpr double kBytesPerSecond = 5e7, kMostSampleBytes = 4e9;  // looked at, as float32

double since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

// SHA-256 of a file that is too large to be held.
std::string sha256_of_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat s {};
  if (fd < 0 || fstat(fd, &s) != 0) fail("{} cannot be read", path);
  const auto size = static_cast<size_t>(s.st_size);
  void* const at = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (at == MAP_FAILED) fail("{} cannot be mapped", path);
  std::string digits(65, '\0');
  h5n_sha256(at, size, digits.data());
  munmap(at, size);
  digits.resize(64);
  return digits;
}

// What an interrupted run leaves behind besides weights.
class State {
 public:
  State(const std::string& folder, const std::string& command) : path_(folder + "/state.json") {
    std::ifstream in(path_);
    if (in) {
      json_ = nlohmann::json::parse(in, nullptr, false);
      if (json_.is_discarded() || json_.value("command", "") != command)
        fail("{} belongs to a training with other options; repeat them, or remove the folder", folder);
    }
    json_["command"] = command;
    before_ = json_.value("used", 0.0);
    save();
  }
  double used() const { return before_ + since(start_); }
  // Seconds for a family: what was settled when it was begun, so that it knows its checkpoint again.
  double seconds_for(const std::string& family, double now) {
    if (!json_.contains(family)) json_[family] = now;
    save();
    return json_.at(family);
  }
  double& took(const std::string& family) {
    auto& t = json_["took"][family];
    if (!t.is_number()) t = 0.0;
    return *t.get_ptr<double*>();
  }
  void save() {
    json_["used"] = used();
    std::ofstream(path_ + ".partial") << json_.dump(1) << '\n';
    std::error_code failed;
    fs::rename(path_ + ".partial", path_, failed);
    if (failed) fail("{} cannot be written; is the disk full?", path_);
  }

 private:
  std::string path_;
  nlohmann::json json_ = nlohmann::json::object();
  double before_ = 0;
  Clock::time_point start_ = Clock::now();
};

// Whether a folder holds neither finished weights nor a checkpoint: nothing to go on from.
bool nothing_learned(const std::string& folder) {
  return std::none_of(families().begin(), families().end(), [&](const Family& f) {
    std::error_code none;
    const std::string base = folder + "/" + f.name;
    return fs::exists(base + ".safetensors", none) || fs::exists(base + ".checkpoint", none);
  });
}

class Learner {
 public:
  Learner(const TrainingData& data, const LearnRequest& r, const std::string& folder)
      : data_(data), r_(r), folder_(folder) {
    out_.spread = r.spread != 0 ? r.spread : data.chunks_in_all();
  }

  Learned run() {
    std::vector<const Family*> able = families_to_try();
    make_folder();
    prepare();
    leave_out_those_too_large(able);
    for (size_t k = 0; k < able.size(); ++k) {
      double shares = 0;
      for (size_t j = k; j < able.size(); ++j) shares += able[j]->share;
      learn_family(*able[k], able[k]->share / shares);
    }
    if (!r_.from.empty()) judge("from", r_.from);
    out_.best = static_cast<size_t>(
        std::min_element(out_.candidates.begin(), out_.candidates.end(),
                         [](const Candidate& a, const Candidate& b) { return a.total < b.total; }) -
        out_.candidates.begin());
    out_.seconds = state_->used();
    return std::move(out_);
  }

 private:
  void make_folder() {
    std::error_code failed;
    fs::create_directories(folder_, failed);
    if (failed) fail("{} cannot be made ({}); name a file in a folder of yours", folder_, failed.message());
    state_.emplace(folder_, r_.command);
  }
  std::string file(const std::string& name) const { return folder_ + "/" + name; }

  FamilyTask task_of(const Family& f) const {
    const std::string base = file(f.name);
    FamilyTask t;
    t.data = &data_;
    t.mode = r_.setting.mode;
    t.bound = r_.setting.bound;
    t.form = r_.form;
    t.block = r_.block;
    t.network = r_.network;
    t.latents = r_.latents;
    t.modes = r_.modes;
    t.seed = r_.seed;
    t.spread = out_.spread;
    t.from = r_.from;
    t.device = r_.device;
    t.name = r_.name;
    t.samples = file("samples.safetensors");
    t.out = base + ".safetensors";
    t.checkpoint = base + ".checkpoint";
    t.curve = base + ".rows";
    t.snapshot = base + ".snapshot.safetensors";
    return t;
  }

  // Those that can learn this here. The family that was asked for must be among them; of all, one is enough.
  std::vector<const Family*> families_to_try() {
    std::vector<const Family*> able;
    std::vector<std::string> why_not;
    for (const Family& f : families()) {
      if (r_.model == "auto" ? f.by_name_only : r_.model != f.name) continue;
      std::string why = f.why_not(task_of(f));
      if (why.empty() && program_path(f.program).empty())
        why = fmt::format("it needs {}, which is not in this install; {}", f.program, f.remedy);
      if (why.empty()) {
        able.push_back(&f);
      } else {
        why_not.push_back(fmt::format("{}: {}", f.name, why));
      }
    }
    if (able.empty()) fail("{}", fmt::join(why_not, "; "));
    for (const std::string& text : why_not) skip(text);
    return able;
  }

  // Weights whose share alone is more than a chunk takes without them cannot pay: their time is the others'.
  void leave_out_those_too_large(std::vector<const Family*>& able) {
    if (r_.model != "auto") return;
    std::erase_if(able, [this](const Family* f) {
      const uint64_t bytes = f->least_bytes(task_of(*f));
      const double share = static_cast<double>(bytes) / static_cast<double>(out_.spread);
      if (share < out_.without) return false;
      skip(fmt::format("{}: {} bytes of weights cannot pay back over {} chunks of {:.0f} bytes", f->name,
                       bytes, out_.spread, out_.without));
      return true;
    });
  }

  void skip(const std::string& why) {
    fmt::print(stderr, "not tried: {}\n", why);
    out_.not_tried.push_back(why);
  }

  void prepare() {
    data_.write_samples(file("samples.safetensors"), kSamplesVariable);
    out_.data_sha256 = sha256_of_file(file("samples.safetensors"));
    fmt::print(stderr,
               "{} chunks of {} to learn from, {} for validation, {} for the test ({}); {} left out; median "
               "range {:.4g}\n",
               data_.count(Part::kLearn), extents_text(data_.sample()), data_.count(Part::kValidation),
               data_.count(Part::kTest), data_.split(), data_.left_out(), data_.median_range());
    without_ = payload_bytes(data_, Part::kValidation, kMostMeasured, r_.setting, r_.without);
    few_without_ = payload_bytes(data_, Part::kValidation, kFew, r_.setting, r_.without);
    out_.measured = without_.size();
    out_.without = mean_of(without_);
    fmt::print(
        stderr,
        "without these weights, {} validation chunks take {:.1f} bytes each, {:.2f} times smaller than raw\n",
        out_.measured, out_.without, static_cast<double>(data_.raw_bytes()) / out_.without);
  }

  void learn_family(const Family& f, double share) {
    FamilyTask t = task_of(f);
    std::error_code none;
    if (!fs::exists(t.out, none)) {
      const double left = kShareOfLearning * r_.seconds - state_->used();
      const bool begun = fs::exists(t.checkpoint, none);
      if (left * share < kLeastSeconds && !begun && !out_.candidates.empty()) {
        skip(fmt::format("{}: no time is left for it", f.name));
        return;
      }
      t.seconds = state_->seconds_for(f.name, std::max(kLeastSeconds, left * share));
      fmt::print(stderr, "{}: about {:.0f} s\n", f.name, t.seconds);
      run_family(f, t);
    }
    judge(f.name, t.out);
  }

  void run_family(const Family& f, const FamilyTask& t) {
    const auto start = Clock::now();
    setenv("OMP_WAIT_POLICY", "PASSIVE", 0);  // threads that spin at barriers slow a shared machine down
    Snapshot snapshot{t.snapshot, {}};
    const Finished done = run_program(program_path(f.program), f.arguments(t), false, [&] {
      if (f.snapshots) estimate(f.name, snapshot);
    });
    state_->took(f.name) += since(start);
    state_->save();
    if (done.status != 0) {
      fail("{} ended with status {}; its reason stands above. Go on with the same command and --resume",
           f.program, done.status);
    }
  }

  // Weights that a family writes while it learns, and which of them were seen.
  struct Snapshot {
    std::string path;
    fs::file_time_type seen;
  };

  // A line on what a few validation chunks take with weights that are not finished.
  void estimate(const std::string& family, Snapshot& s) {
    std::error_code none;
    const auto written = fs::last_write_time(s.path, none);
    if (none || written == s.seen) return;
    s.seen = written;
    const auto with =
        payload_bytes(data_, Part::kValidation, kFew, r_.setting, use_weights_file(s.path).hash);
    const double mean = mean_of_smaller(with, few_without_);
    fmt::print(stderr,
               "{} so far: {} validation chunks take {:.1f} bytes, {:.1f} without ({:.2f} times smaller)\n",
               family, with.size(), mean, mean_of(few_without_), mean_of(few_without_) / mean);
  }

  // What the writer makes of the validation chunks with these weights.
  void judge(const std::string& family, const std::string& path) {
    Candidate c;
    c.family = family;
    c.file = path;
    const h5n_weights weights = use_weights_file(path);
    c.hash = weights.hash;
    c.sha256 = weights.sha256;
    c.bytes = fs::file_size(path);
    const auto with = payload_bytes(data_, Part::kValidation, kMostMeasured, r_.setting, c.hash);
    c.payload = mean_of_smaller(with, without_);
    c.total = c.payload + static_cast<double>(c.bytes) / static_cast<double>(out_.spread);
    c.seconds = state_->took(family);
    fmt::print(
        stderr,
        "{}: validation chunks take {:.1f} bytes, {:.2f} times smaller than without; with the share of "
        "{} bytes of weights over {} chunks {:.1f}, {:.2f} times\n",
        family, c.payload, out_.without / c.payload, c.bytes, out_.spread, c.total, out_.without / c.total);
    out_.candidates.push_back(std::move(c));
  }

  const TrainingData& data_;
  const LearnRequest& r_;
  std::string folder_;
  std::optional<State> state_;
  Learned out_;
  std::vector<uint64_t> without_, few_without_;  // bytes of validation chunks, and of a few for estimates
};

}  // namespace

Learned learn(const TrainingData& data, const LearnRequest& request, const std::string& folder) {
  try {
    return Learner(data, request, folder).run();
  } catch (...) {
    if (nothing_learned(folder)) fs::remove_all(folder);
    throw;
  }
}

std::vector<std::string> files_of_learning(const std::string& folder) {
  std::vector<std::string> names{folder + "/samples.safetensors", folder + "/state.json",
                                 folder + "/state.json.partial"};
  for (const Family& f : families()) {
    for (const char* suffix :
         {".safetensors", ".safetensors.candidate.safetensors", ".snapshot.safetensors",
          ".snapshot.safetensors.partial", ".md", ".rows", ".checkpoint", ".checkpoint.partial"}) {
      names.push_back(folder + "/" + f.name + suffix);
    }
  }
  names.push_back(folder);
  return names;
}

uint64_t most_chunks(double seconds, uint64_t chunk_values) {
  const double bytes = std::min(kMostSampleBytes, kBytesPerSecond * seconds);
  return static_cast<uint64_t>(std::max(64.0, bytes / (4.0 * static_cast<double>(chunk_values))));
}

}  // namespace h5neural::tool

// repack.cc: `h5neural repack`: a file again, its floating-point datasets compressed under a bound,
// everything else as it was. Reads back what it wrote and judges it before the file gets its name.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "commands.h"
#include "duration.h"
#include "filter_id.h"
#include "judge.h"
#include "learn_on_file.h"
#include "object_copy.h"
#include "output_file.h"
#include "payload_summary.h"
#include "recode.h"
#include "request.h"
#include "tool_error.h"
#include "weights_files.h"
#include "weights_worth.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kFewBytes = 4096;  // smaller datasets gain nothing: a chunk index alone takes 2 KiB
constexpr size_t kReadCache = size_t{64} << 20;

struct Options {
  std::string in, out;
  Request request;
  std::vector<std::string> datasets, weights;
  std::string chunk, learn;
  std::string embed = "no";  // "auto": where they pay for themselves; "always"
  bool json = false;
  bool embeds() const { return embed != "no"; }
};

// What is to become of each dataset of the input.
struct Plan {
  struct Entry {
    std::string path;
    std::string why_copied;  // empty: it is recoded
    Extents chunk;
    uint64_t stored_before = 0, stored = 0, raw = 0;
    Verdict verdict;
  };
  std::vector<Entry> datasets;
  std::map<haddr_t, size_t> by_address;
  uint64_t recoded() const {
    return static_cast<uint64_t>(
        std::count_if(datasets.begin(), datasets.end(), [](const auto& d) { return d.why_copied.empty(); }));
  }
};

bool is_dimension_scale(const Dataset& d) {
  if (H5Aexists(d.id, "CLASS") <= 0) return false;
  const Handle attribute(H5Aopen(d.id, "CLASS", H5P_DEFAULT), H5Aclose);
  const Handle type(H5Aget_type(attribute), H5Tclose);
  if (!attribute.valid() || H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) > 0) return false;
  std::vector<char> text(H5Tget_size(type) + 1);
  if (H5Aread(attribute, type, text.data()) < 0) return false;
  return std::string(text.data()).starts_with("DIMENSION_SCALE");
}

// Why a dataset that nobody named stays as it is; empty when it does not.
std::string why_left_alone(const Dataset& d) {
  if (std::string why = why_not_served(d); !why.empty()) return why;
  if (d.ours() != nullptr) return "h5neural's already (name it with --dataset to code it again)";
  if (d.count() * d.element_bytes < kFewBytes) return fmt::format("fewer than {} bytes", kFewBytes);
  if (is_dimension_scale(d)) return "a dimension scale (name it with --dataset to code it)";
  return {};
}

// The datasets that were asked for, by their place in the file: a dataset may have several paths.
struct Wanted {
  std::set<haddr_t> exactly, below;
  bool all = true;
};

herr_t collect_address(hid_t, const char*, const H5O_info_t* info, void* data) {
  if (info->type == H5O_TYPE_DATASET) static_cast<std::set<haddr_t>*>(data)->insert(info->addr);
  return 0;
}

Wanted find_wanted(hid_t file, const Options& o) {
  Wanted wanted;
  for (const std::string& name : o.datasets) {
    wanted.all = false;
    const Handle object(H5Oopen(file, name.c_str(), H5P_DEFAULT), H5Oclose);
    H5O_info_t info{};
    const bool found = object.valid() && H5Oget_info(object, &info) >= 0;
    if (found && info.type == H5O_TYPE_DATASET) {
      wanted.exactly.insert(info.addr);
    } else if (found && info.type == H5O_TYPE_GROUP) {
      H5Ovisit1(object, H5_INDEX_NAME, H5_ITER_INC, collect_address, &wanted.below);
    } else {
      fail("{}: there is no dataset or group {}; `h5neural info {}` lists them", o.in, name, o.in);
    }
  }
  return wanted;
}

// Why this dataset is copied; empty when it is recoded. Throws ToolError for one that was named and cannot
// be.
std::string why_copied(const Dataset& d, haddr_t address, const Wanted& wanted, const Options& o) {
  if (wanted.exactly.contains(address)) {
    const std::string why = why_not_served(d);
    if (!why.empty()) fail("{}: {} cannot be compressed: {}", o.in, d.path, why);
    return {};
  }
  return !wanted.all && !wanted.below.contains(address) ? "not named" : why_left_alone(d);
}

Plan make_plan(hid_t file, const Options& o) {
  const Extents chunk = parse_extents("--chunk", o.chunk);
  const Wanted wanted = find_wanted(file, o);
  Plan plan;
  for (const std::string& path : list_datasets(file, {o.in, ""})) {
    const Dataset d = open_dataset(file, path);
    const haddr_t address = address_of(d.id);
    if (path.starts_with(fmt::format("/{}/", kCarriedGroup))) continue;
    Plan::Entry entry;
    entry.path = path;
    entry.raw = d.count() * d.element_bytes;
    entry.stored_before = d.stored_bytes;
    entry.why_copied = why_copied(d, address, wanted, o);
    if (entry.why_copied.empty()) {
      const bool fits = chunk.size() == d.extents.size();
      if (!chunk.empty() && !fits && wanted.exactly.contains(address)) {
        fail("--chunk {} has {} axes and {} has {}; give one number for each axis", o.chunk, chunk.size(),
             path, d.extents.size());
      }
      entry.chunk = choose_chunk(d, fits ? chunk : Extents{});
    }
    plan.by_address.emplace(address, plan.datasets.size());
    plan.datasets.push_back(std::move(entry));
  }
  return plan;
}

// ---- weights that travel inside of the file

struct Carriage {
  std::vector<CarriedWeights> before;                    // inside of the input
  FileBytes kept;                                        // of its user block
  uint64_t user_block = 0;                               // of the output
  std::vector<std::pair<std::string, uint64_t>> inside;  // SHA-256 and bytes of those that the output carries
  std::vector<WeightsWorth> left_out;                    // they save less than their size
  std::vector<LearnedGroup> learned;                     // from the file itself
  uint64_t bytes_without_learning = 0;                   // of the file
  std::vector<std::string> notes;
};

Carriage prepare_carriage(hid_t in, const Options& o) {
  Carriage c;
  c.before = list_carried(in);
  c.user_block = user_block_of(in);
  c.kept = foreign_user_block(o.in, c.user_block);
  if (o.embeds() || !c.before.empty()) {
    c.user_block = user_block_for(c.kept.size(), c.before.size() + (o.embeds() ? all_weights().size() : 0));
  }
  return c;
}

// The models that the chunks of a file name.
std::set<uint64_t> used_models(hid_t file, const std::string& name) {
  std::set<uint64_t> used;
  for (const std::string& path : list_datasets(file, {name, ""})) {
    const Dataset d = open_dataset(file, path);
    if (d.ours() == nullptr || d.chunk.empty()) continue;
    for (const ChunkSummary& c : summarise(d).stored) {
      if (c.info && c.info->model != 0) used.insert(c.info->model);
    }
  }
  return used;
}

// The bytes of weights to be put into the file; none when they stay where they are.
std::optional<FileBytes> bytes_to_carry(hid_t in, uint64_t hash, const Options& o, Carriage& c) {
  for (const CarriedWeights& w : c.before) {
    if (w.hash() == hash) return read_carried(in, w);
  }
  for (const LearnedGroup& g : c.learned) {
    if (g.hash == hash && g.learned()) return read_weights_file(g.file);
  }
  if (!o.embeds()) return std::nullopt;
  const auto found = find_weights([hash](const h5n_weights& w) { return w.hash == hash; });
  if (found && fs::exists(found->source)) return read_weights_file(found->source);
  c.notes.push_back(
      found
          ? fmt::format("the weights {} are compiled into the engine, and not put into the file", found->name)
          : fmt::format("chunks that were copied need the weights {:016x}, which are not found", hash));
  return std::nullopt;
}

// The size of weights that bytes_to_carry would find; nothing for those that would not travel.
std::optional<uint64_t> size_if_carried(uint64_t hash, const Carriage& c) {
  for (const CarriedWeights& w : c.before) {
    if (w.hash() == hash) return w.length;
  }
  const auto found = find_weights([hash](const h5n_weights& w) { return w.hash == hash; });
  std::error_code none;
  if (!found || !fs::is_regular_file(found->source, none)) return std::nullopt;
  return fs::file_size(found->source, none);
}

// The weights of the coded file that save less than their size. Those that copied chunks need stay, whatever
// they save.
std::vector<WeightsWorth> not_worth_it(hid_t in, hid_t coded, const Plan& plan, const Options& o,
                                       const Carriage& c) {
  std::map<uint64_t, WeightsWorth> worth;
  for (const uint64_t hash : used_models(coded, o.out)) {
    if (const auto bytes = size_if_carried(hash, c)) worth[hash] = {hash, *bytes};
  }
  for (const Plan::Entry& entry : plan.datasets) {
    if (entry.why_copied.empty()) continue;
    const Dataset d = open_dataset(in, entry.path);
    if (d.ours() == nullptr || d.chunk.empty()) continue;
    for (const ChunkSummary& chunk : summarise(d).stored) {
      if (chunk.info) worth.erase(chunk.info->model);
    }
  }
  for (const Plan::Entry& entry : plan.datasets) {
    if (entry.why_copied.empty())
      add_worth(open_dataset(in, entry.path), open_dataset(coded, entry.path), worth);
  }
  std::vector<WeightsWorth> out;
  for (const auto& [hash, w] : worth) {
    if (!w.pays()) out.push_back(w);
  }
  return out;
}

// Puts the weights that the file's chunks use into it: what it needs to be read anywhere, and no more.
void carry_weights(hid_t in, hid_t out, const Options& o, Carriage& c) {
  for (const uint64_t hash : used_models(out, o.out)) {
    const auto bytes = bytes_to_carry(in, hash, o, c);
    if (!bytes) continue;
    const std::string sha256 = sha256_of(*bytes);
    const auto known = find_weights([hash](const h5n_weights& w) { return w.hash == hash; });
    add_carried(out, sha256, known ? known->name : "", *bytes);
    c.inside.emplace_back(sha256, bytes->size());
  }
  if (o.embeds() && c.inside.empty() && c.left_out.empty())
    c.notes.emplace_back("no chunk is smaller with weights, so none were put into the file");
}

// A reader's way to them: the engine finds them in the file, which is open now.
void check_carriage(const std::string& path, const Carriage& c) {
  const std::string source = fs::canonical(path).string() + " (inside)";
  for (const auto& carried : c.inside) {
    const std::string& sha256 = carried.first;
    const auto found = find_weights(
        [&](const h5n_weights& w) { return sha256 == w.sha256 && source.starts_with(w.source); });
    if (!found || found->problem[0] != '\0') {
      fail("a defect of h5neural: the weights {} are not found inside of the file; please report it", sha256);
    }
  }
}

void flush(hid_t file, const std::string& path) {
  if (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0) fail("{} cannot be written to its end ({})", path, hdf5_error());
}

// How a dataset of the input that is to be coded gets to `link`.
using Code = std::function<void(const Dataset& from, const Plan::Entry&, hid_t type, const NewLink& link)>;

CopyCounts write_objects(hid_t in, const Plan& plan, const Carriage& carriage, const std::string& path,
                         const Code& code) {
  const auto write = [&](const std::string& dataset, hid_t type, const NewLink& link) {
    const Dataset from = open_dataset(in, dataset);
    const auto found = plan.by_address.find(address_of(from.id));
    if (found == plan.by_address.end()) return false;
    const Plan::Entry& entry = plan.datasets[found->second];
    if (!entry.why_copied.empty()) return false;
    code(from, entry, type, link);
    return true;
  };
  const Handle out = create_like(in, path, carriage.user_block);
  std::set<std::string> left_out;
  if (!carriage.before.empty()) left_out.insert(kCarriedGroup);
  const CopyCounts counts = copy_objects(in, out, left_out, write);
  flush(out, path);
  return counts;
}

// Writes the file at `path` again where weights do not pay for themselves, without them. Payloads that need
// none of them are taken over.
std::optional<CopyCounts> leave_weights_out(hid_t in, const Options& o, const Plan& plan, Carriage& carriage,
                                            const std::string& path) {
  const Handle coded = open_file(path);
  carriage.left_out = not_worth_it(in, coded, plan, o, carriage);
  if (carriage.left_out.empty()) return std::nullopt;
  std::set<uint64_t> without;
  Request request = o.request;
  const uint64_t forced = request.params().model;
  for (const WeightsWorth& w : carriage.left_out) {
    without.insert(w.hash);
    if (w.hash == forced) request.use_model("none");  // later writers would ask for them
    carriage.notes.push_back(left_out_text(w));
  }
  const std::vector<unsigned> words = request.words();
  // The first file has no name from here on, and is gone when it is closed.
  fs::remove(path);
  return write_objects(in, plan, carriage, path,
                       [&](const Dataset& from, const Plan::Entry& entry, hid_t type, const NewLink& link) {
                         recode_without(from, open_dataset(coded, entry.path), type, link, words, without);
                       });
}

// Puts the weights that chunks use into a file that is written, and the record of where they are.
void load(hid_t in, const Options& o, Carriage& carriage, const std::string& path) {
  {
    // Opened again: HDF5 1.10 cannot visit the groups of a file that it has just made.
    const Handle out = open_file_to_write(path);
    carry_weights(in, out, o, carriage);
    flush(out, path);
  }
  std::vector<CarriedWeights> weights;
  if (!carriage.inside.empty()) weights = list_carried(open_file(path));
  write_user_block(path, carriage.user_block, carriage.kept, weights);
}

CopyCounts write_file(hid_t in, const Options& o, const Plan& plan, Carriage& carriage,
                      const std::string& path) {
  const std::vector<unsigned> words = o.request.words();
  CopyCounts counts =
      write_objects(in, plan, carriage, path,
                    [&](const Dataset& from, const Plan::Entry& entry, hid_t type, const NewLink& link) {
                      if (!o.json) fmt::print(stderr, "coding {}\n", entry.path);
                      recode(from, type, link, entry.chunk, words);
                    });
  if (o.embed == "auto") counts = leave_weights_out(in, o, plan, carriage, path).value_or(counts);
  load(in, o, carriage, path);
  return counts;
}

// ---- weights learned from the file itself

// The groups of the file's datasets, learned from. Nothing in the file at `out` uses them yet.
std::vector<LearnedGroup> learn_from(const Options& o, const Plan& plan, OutputFile& out) {
  std::vector<FileSource> sources;
  for (const Plan::Entry& e : plan.datasets)
    if (e.why_copied.empty()) sources.push_back({e.path, e.chunk});
  const h5n_params asked = o.request.params();
  return learn_on_file(o.in, sources, {asked.mode, asked.bound, asked.effort},
                       parse_duration("--learn", o.learn), out);
}

// Writes the file `coded` again at `path`, chunks with what was learned where that is smaller. With
// `measure`, the groups are told what they bring; else those that do not pay are left as they are.
void write_learned(hid_t in, hid_t coded, const Options& o, const Plan& plan, Carriage& c,
                   const std::string& path, bool measure) {
  const std::vector<unsigned> words = o.request.words();
  write_objects(
      in, plan, c, path, [&](const Dataset& from, const Plan::Entry& entry, hid_t type, const NewLink& link) {
        const Dataset before = open_dataset(coded, entry.path);
        const auto group = std::find_if(c.learned.begin(), c.learned.end(), [&](const LearnedGroup& g) {
          return std::find(g.datasets.begin(), g.datasets.end(), entry.path) != g.datasets.end();
        });
        if (!group->learned() || (!measure && !group->pays())) {
          take_over(from, before, type, link, words);
          return;
        }
        const Smaller s = recode_smaller(from, before, type, link, words, group->hash);
        if (!measure) return;
        group->chunks += s.chunks;
        group->without += s.before;
        group->with += s.after;
      });
}

// Learns from the file's chunks, and puts the weights into the finished file where that makes it smaller. The
// file as it would be without them is there first, and stays when it is no larger.
void learn_and_rewrite(hid_t in, const Options& o, const Plan& plan, Carriage& carriage, OutputFile& out) {
  const char* const search = std::getenv("H5NEURAL_WEIGHTS_PATH");
  const std::string others = search != nullptr ? search : "";
  carriage.bytes_without_learning = fs::file_size(out.unfinished());
  carriage.learned = learn_from(o, plan, out);
  Carriage with = carriage;
  const auto some = [&with](auto&& has) {
    return std::any_of(with.learned.begin(), with.learned.end(), has);
  };
  if (some([](const LearnedGroup& g) { return g.learned(); })) {
    for (const LearnedGroup& g : with.learned)
      if (g.learned()) use_weights_file(g.file);
    const std::string path = out.unfinished() + ".learned";
    out.remove_too(path);
    const Handle coded = open_file(out.unfinished());
    with.inside.clear();
    with.user_block = user_block_for(
        with.kept.size(), with.before.size() + with.learned.size() + (o.embeds() ? all_weights().size() : 0));
    write_learned(in, coded, o, plan, with, path, true);
    const bool any = some([](const LearnedGroup& g) { return g.pays(); });
    if (any && some([](const LearnedGroup& g) { return g.learned() && !g.pays(); })) {
      fs::remove(path);
      write_learned(in, coded, o, plan, with, path, false);
    }
    if (any) load(in, o, with, path);
    carriage.learned = with.learned;
    if (any && fs::file_size(path) < carriage.bytes_without_learning) {
      fs::rename(path, out.unfinished());
      carriage = std::move(with);
      for (LearnedGroup& g : carriage.learned) g.used = g.pays();
    } else {
      fs::remove(path);
    }
  }
  remove_learned(carriage.learned);
  others.empty() ? unsetenv("H5NEURAL_WEIGHTS_PATH") : setenv("H5NEURAL_WEIGHTS_PATH", others.c_str(), 1);
  for (const LearnedGroup& g : carriage.learned) carriage.notes.push_back(brought_text(g));
}

// Reads every recoded dataset back. Returns whether all kept what they promised.
bool judge(hid_t in, const std::string& path, Plan& plan, const Carriage& carriage) {
  const Handle out = open_file(path, kReadCache);
  check_carriage(path, carriage);
  bool kept = true;
  for (Plan::Entry& entry : plan.datasets) {
    if (!entry.why_copied.empty()) continue;
    entry.verdict = judge_pair(in, entry.path, out, entry.path, std::nullopt);
    entry.stored = open_dataset(out, entry.path).stored_bytes;
    kept = kept && (entry.verdict.outcome == Outcome::kKept || entry.verdict.outcome == Outcome::kIdentical);
  }
  return kept;
}

double ratio(uint64_t raw, uint64_t stored) {
  return stored > 0 ? static_cast<double>(raw) / static_cast<double>(stored) : 0;
}

void print(const Plan& plan, const Options& o, const CopyCounts& counts) {
  fmt::print("{:24} {:14} {:>12} {:>12} {:>8} {:>9} {:>8}  {}\n", "dataset", "bound", "values' bytes",
             "stored", "ratio", "error", "of bound", "read back");
  for (const Plan::Entry& e : plan.datasets) {
    if (!e.why_copied.empty()) {
      fmt::print("{:24} copied: {}\n", e.path, e.why_copied);
      continue;
    }
    const Differences& d = e.verdict.differences;
    fmt::print("{:24} {:14} {:>12} {:>12} {:>8.2f} {:>9.4g} {:>8}  {}\n", e.path, e.verdict.bound, e.raw,
               e.stored, ratio(e.raw, e.stored), d.max_error,
               e.verdict.bound == "lossless" ? "-" : fmt::format("{:.4f}", d.max_over_bound), e.verdict.text);
  }
  if (counts.lost_references > 0) {
    fmt::print(stderr, "{} references meant objects that no link leads to; they are empty in {}\n",
               counts.lost_references, o.out);
  }
}

nlohmann::json json_of(const Plan& plan) {
  nlohmann::json out = nlohmann::json::array();
  for (const Plan::Entry& e : plan.datasets) {
    nlohmann::json j{{"path", e.path}, {"raw_bytes", e.raw}, {"stored_before", e.stored_before}};
    if (e.why_copied.empty()) {
      j.update({{"stored_bytes", e.stored},
                {"ratio", ratio(e.raw, e.stored)},
                {"chunk", e.chunk},
                {"bound", e.verdict.bound},
                {"max_error", e.verdict.differences.max_error},
                {"max_over_bound", e.verdict.differences.max_over_bound},
                {"verdict", e.verdict.text}});
    } else {
      j["copied"] = e.why_copied;
    }
    out.push_back(std::move(j));
  }
  return out;
}

nlohmann::json weights_json(const Carriage& c) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& [sha256, bytes] : c.inside) out.push_back({{"sha256", sha256}, {"bytes", bytes}});
  return out;
}

nlohmann::json left_out_json(const Carriage& c) {
  nlohmann::json out = nlohmann::json::array();
  for (const WeightsWorth& w : c.left_out) {
    out.push_back({{"hash", fmt::format("{:016x}", w.hash)},
                   {"bytes", w.bytes},
                   {"chunks", w.chunks},
                   {"saved_bytes", w.saved}});
  }
  return out;
}

nlohmann::json learned_json(const Carriage& c) {
  nlohmann::json out = nlohmann::json::array();
  for (const LearnedGroup& g : c.learned) {
    nlohmann::json j{{"chunk", g.sample}, {"datasets", g.datasets}, {"seconds", g.seconds}};
    if (g.learned()) {
      j.update({{"family", g.family},
                {"sha256", g.sha256},
                {"weights_bytes", g.bytes},
                {"chunks", g.chunks},
                {"bytes_without", g.without},
                {"bytes_with", g.with},
                {"used", g.used}});
    } else {
      j["why_not"] = g.why;
    }
    out.push_back(std::move(j));
  }
  return out;
}

void check_learning(const Options& o) {
  if (o.learn.empty()) return;
  (void)parse_duration("--learn", o.learn);
  if (!o.request.leaves_the_model_open() || !o.weights.empty())
    fail("--learn finds the model itself; leave --model and --weights out");
  if (o.request.mode() == H5N_LOSSLESS || o.request.mode() == H5N_RATIO)
    fail("--learn needs --abs, --rel, --psnr, --nrmse or --block-nrmse: models serve no other bound");
}

// One weights file that was given is the model, unless another was asked for; of several each chunk takes the
// best.
void use_weights(Options& o) {
  for (const std::string& path : o.weights) use_weights_file(path);
  if (o.weights.size() == 1 && o.request.leaves_the_model_open()) o.request.use_model(o.weights.front());
  if (!o.weights.empty() && !o.embeds()) {
    fmt::print(stderr, "readers must find the weights too; --embed puts them into the file\n");
  }
}

int run(const Options& given) {
  Options o = given;
  start_hdf5();
  check_learning(o);
  use_weights(o);
  if (H5Zfilter_avail(H5NEURAL_FILTER_ID) <= 0) {
    fail("the plugin is not found ({}); `h5neural doctor` says why", hdf5_error());
  }
  Handle in = open_file(o.in, kReadCache);
  Plan plan = make_plan(in, o);
  Carriage carriage = prepare_carriage(in, o);
  OutputFile out(o.out, o.in);
  const CopyCounts counts = write_file(in, o, plan, carriage, out.unfinished());
  if (!o.learn.empty()) learn_and_rewrite(in, o, plan, carriage, out);
  const bool kept = judge(in, out.unfinished(), plan, carriage);
  std::error_code none;
  const uint64_t before = fs::file_size(o.in, none), after = fs::file_size(out.unfinished(), none);
  if (o.json) {
    fmt::print("{}\n", nlohmann::json{{"in", o.in},
                                      {"out", o.out},
                                      {"bytes_before", before},
                                      {"bytes", after},
                                      {"lost_references", counts.lost_references},
                                      {"weights", weights_json(carriage)},
                                      {"weights_left_out", left_out_json(carriage)},
                                      {"bytes_without_learning", carriage.bytes_without_learning},
                                      {"learned", learned_json(carriage)},
                                      {"notes", carriage.notes},
                                      {"datasets", json_of(plan)}}
                           .dump(2));
  } else {
    print(plan, o, counts);
    for (const auto& [sha256, bytes] : carriage.inside) {
      fmt::print("weights {} inside of the file, {} bytes\n", sha256.substr(0, 16), bytes);
    }
  }
  for (const std::string& note : carriage.notes) fmt::print(stderr, "{}\n", note);
  if (!kept) {
    fmt::print(stderr, "h5neural: a bound is broken, so {} is not written; please report it\n", o.out);
    return kFailed;
  }
  out.finish();
  if (!o.json) {
    const std::string change = after <= before ? fmt::format("{:.2f} times smaller", ratio(before, after))
                                               : fmt::format("{:.2f} times as large", ratio(after, before));
    fmt::print("{} -> {}: {} -> {} bytes, {}; {} of {} datasets compressed\n", o.in, o.out, before, after,
               change, plan.recoded(), plan.datasets.size());
  }
  return kFine;
}

}  // namespace

Command add_repack(CLI::App& app) {
  auto* const sub = app.add_subcommand(
      "repack", "Write a file again with its floating-point datasets compressed, everything else as it was");
  auto o = std::make_shared<Options>();
  sub->add_option("IN", o->in, "HDF5 file to read")->required();
  sub->add_option("OUT", o->out, "HDF5 file to write; appears when it is complete and read back")->required();
  o->request.declare(*sub);
  sub->add_option("--dataset", o->datasets,
                  "Only these datasets, or all below these groups (default: every one that "
                  "the filter serves, dimension scales and small ones aside)")
      ->delimiter(',');
  sub->add_option("--chunk", o->chunk,
                  "Chunks of these extents (default: the dataset's own, else up to 1 MiB)")
      ->type_name("Z,Y,X");
  sub->add_option("--weights", o->weights, "Weights file to use; of several, each chunk takes the best");
  sub->add_option(
         "--learn", o->learn,
         "Learn from IN's own chunks in so much time (90s, 20m, 2h), put the weights into OUT where that "
         "makes it smaller, and say what they brought")
      ->type_name("TIME");
  sub->add_flag("--embed{auto}", o->embed,
                "Put the weights that chunks use into OUT, so that it is read anywhere, where they save more "
                "than their size; the chunks of others are coded without them. --embed=always: in any case")
      ->check(CLI::IsMember({"auto", "always", "no"}));
  sub->add_flag("--json", o->json, "The report as JSON");
  return {sub, [o] { return run(*o); }};
}

}  // namespace h5neural::tool

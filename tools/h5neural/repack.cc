// repack.cc: `h5neural repack`: a file again, its floating-point datasets compressed under a bound,
// everything else as it was. Reads back what it wrote and judges it before the file gets its name.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "commands.h"
#include "filter_id.h"
#include "judge.h"
#include "object_copy.h"
#include "output_file.h"
#include "recode.h"
#include "request.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kFewBytes = 4096;  // smaller datasets gain nothing: a chunk index alone takes 2 KiB
constexpr size_t kReadCache = size_t{64} << 20;

struct Options {
  std::string in, out;
  Request request;
  std::vector<std::string> datasets;
  std::string chunk;
  bool json = false;
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

void copy_user_block(const std::string& from, const std::string& to, uint64_t bytes) {
  if (bytes == 0) return;
  std::vector<char> block(bytes);
  std::FILE* in = std::fopen(from.c_str(), "rb");
  std::FILE* out = std::fopen(to.c_str(), "r+b");
  const bool fine = in != nullptr && out != nullptr && std::fread(block.data(), 1, bytes, in) == bytes &&
                    std::fwrite(block.data(), 1, bytes, out) == bytes;
  if (in != nullptr) std::fclose(in);
  const bool closed = out != nullptr && std::fclose(out) == 0;
  if (!fine || !closed) fail("the user block of {} cannot be copied; check the disk's space", from);
}

CopyCounts write_file(hid_t in, const Options& o, const Plan& plan, const std::string& path) {
  const uint64_t user_block = user_block_of(in);
  const std::vector<unsigned> words = o.request.words();
  const auto write = [&](const std::string& dataset, hid_t type, hid_t parent, const char* name) {
    const Dataset from = open_dataset(in, dataset);
    const auto found = plan.by_address.find(address_of(from.id));
    if (found == plan.by_address.end()) return false;
    const Plan::Entry& entry = plan.datasets[found->second];
    if (!entry.why_copied.empty()) return false;
    if (!o.json) fmt::print(stderr, "coding {}\n", entry.path);
    recode(from, type, parent, name, entry.chunk, words);
    return true;
  };
  CopyCounts counts;
  {
    const Handle out = create_like(in, path, user_block);
    counts = copy_objects(in, out, {}, write);
    if (H5Fflush(out, H5F_SCOPE_GLOBAL) < 0) fail("{} cannot be written to its end ({})", path, hdf5_error());
  }
  copy_user_block(o.in, path, user_block);
  return counts;
}

// Reads every recoded dataset back. Returns whether all kept what they promised.
bool judge(hid_t in, const std::string& path, Plan& plan) {
  const Handle out = open_file(path, kReadCache);
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

int run(const Options& o) {
  start_hdf5();
  if (H5Zfilter_avail(H5NEURAL_FILTER_ID) <= 0) {
    fail("the plugin is not found ({}); `h5neural doctor` says why", hdf5_error());
  }
  Handle in = open_file(o.in, kReadCache);
  Plan plan = make_plan(in, o);
  OutputFile out(o.out, o.in);
  const CopyCounts counts = write_file(in, o, plan, out.unfinished());
  const bool kept = judge(in, out.unfinished(), plan);
  std::error_code none;
  const uint64_t before = fs::file_size(o.in, none), after = fs::file_size(out.unfinished(), none);
  if (o.json) {
    fmt::print("{}\n", nlohmann::json{{"in", o.in},
                                      {"out", o.out},
                                      {"bytes_before", before},
                                      {"bytes", after},
                                      {"lost_references", counts.lost_references},
                                      {"datasets", json_of(plan)}}
                           .dump(2));
  } else {
    print(plan, o, counts);
  }
  if (!kept) {
    fmt::print(stderr, "h5neural: a bound is broken, so {} is not written; please report it\n", o.out);
    return kFailed;
  }
  out.finish();
  if (!o.json) {
    fmt::print("{} -> {}: {} -> {} bytes, {:.2f} times smaller; {} of {} datasets compressed\n", o.in, o.out,
               before, after, ratio(before, after), plan.recoded(), plan.datasets.size());
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
  sub->add_flag("--json", o->json, "The report as JSON");
  return {sub, [o] { return run(*o); }};
}

}  // namespace h5neural::tool

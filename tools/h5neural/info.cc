// info.cc: `h5neural info`: what the files hold and what each chunk costs, read from the payloads' headers.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cd_values.h"
#include "commands.h"
#include "payload_summary.h"
#include "request.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

struct Options {
  std::vector<std::string> files;
  bool chunks = false, json = false;
};

double ratio(uint64_t raw, uint64_t stored) {
  return stored > 0 ? static_cast<double>(raw) / static_cast<double>(stored) : 0;
}

std::string counts_text(const std::map<std::string, uint64_t>& counts) {
  std::string text;
  for (const auto& [name, n] : counts) text += fmt::format("{}{} in {}", text.empty() ? "" : ", ", name, n);
  return text.empty() ? "-" : text;
}

// The bound in the dataset's filter values; why there is none, when they are damaged.
std::string asked_text(const Filter& filter) {
  h5n_params params{};
  Message why;
  if (cdv_read_request(filter.words.data(), filter.words.size(), &params, &why) != 0) return why.text;
  return fmt::format("{}, effort {}", bound_text(params.mode, params.bound), params.effort);
}

std::string heading(const Dataset& d) {
  return fmt::format("{}  {} {}{}", d.path, d.type_text, extents_text(d.extents),
                     d.chunk.empty() ? "" : ", chunks " + extents_text(d.chunk));
}

void print_foreign(const Dataset& d) {
  std::vector<std::string> filters;
  for (const Filter& f : d.filters)
    filters.push_back(f.name.empty() ? fmt::format("filter {}", f.id) : f.name);
  const uint64_t raw = d.count() * d.element_bytes;
  fmt::print("  {}\n    not h5neural's: {}, {} -> {} bytes\n", heading(d),
             filters.empty() ? "no filter" : fmt::format("{}", fmt::join(filters, ", ")), raw,
             d.stored_bytes);
}

void print_chunks(const DatasetSummary& s) {
  fmt::print("    {:20} {:>8} {:>10} {:>10} {:>8} {:>8} {:>11} {:>8} {:>8}  {}\n", "chunk", "kind",
             "abs bound", "stored", "ratio", "latents", "corrections", "specials", "values", "model");
  for (const ChunkSummary& c : s.stored) {
    if (!c.info) {
      fmt::print("    {:20} {} bytes: {}\n", extents_text(c.offset), c.stored_bytes,
                 c.unfiltered ? "stored unfiltered by HDF5" : c.problem);
      continue;
    }
    fmt::print("    {:20} {:>8} {:>10.4g} {:>10} {:>8.2f} {:>8} {:>11} {:>8} {:>8}  {}\n",
               extents_text(c.offset), kind_text(c.info->kind), c.info->abs_bound, c.stored_bytes,
               ratio(c.raw_bytes, c.stored_bytes), c.info->latents_bytes, c.info->corrections_bytes,
               c.info->specials_bytes, c.info->specials, model_text(*c.info));
  }
}

void print_ours(const Dataset& d, const DatasetSummary& s, bool chunks) {
  fmt::print("  {}\n", heading(d));
  fmt::print("    bound     {}\n", asked_text(*d.ours()));
  fmt::print("    ratio     {:.2f} ({} -> {} bytes; {} of {} chunks are stored)\n",
             ratio(s.raw_bytes, s.stored_bytes), s.raw_bytes, s.stored_bytes, s.stored.size(), s.chunks);
  fmt::print("    kinds     {}\n", counts_text(s.kinds));
  fmt::print("    models    {}\n", counts_text(s.models));
  fmt::print("    sections  headers {}, latents {}, corrections {}, specials {} bytes\n", s.header_bytes,
             s.latents_bytes, s.corrections_bytes, s.specials_bytes);
  fmt::print("    specials  {} values stored literally\n", s.specials);
  if (s.unfiltered > 0) fmt::print("    {} chunks are stored unfiltered by HDF5\n", s.unfiltered);
  if (s.damaged > 0) {
    fmt::print("    {} chunks cannot be read, the first one: ", s.damaged);
    for (const ChunkSummary& c : s.stored) {
      if (c.problem.empty()) continue;
      fmt::print("{} {}\n", extents_text(c.offset), c.problem);
      break;
    }
  }
  if (chunks) print_chunks(s);
}

nlohmann::json json_of(const ChunkSummary& c) {
  nlohmann::json j{{"offset", c.offset}, {"stored_bytes", c.stored_bytes}, {"raw_bytes", c.raw_bytes}};
  if (c.unfiltered) j["unfiltered"] = true;
  if (!c.problem.empty()) j["problem"] = c.problem;
  if (c.info) {
    // JSON has no NaN: a chunk under a pointwise relative bound keeps no absolute one (null).
    j.update({{"kind", kind_text(c.info->kind)},
              {"model", fmt::format("{:016x}", c.info->model)},
              {"model_name", c.info->model_name},
              {"abs_bound", c.info->abs_bound},
              {"payload_version", c.info->version},
              {"header_bytes", c.info->header_bytes},
              {"latents_bytes", c.info->latents_bytes},
              {"corrections_bytes", c.info->corrections_bytes},
              {"specials_bytes", c.info->specials_bytes},
              {"specials", c.info->specials}});
  }
  return j;
}

nlohmann::json json_of(const Dataset& d, const DatasetSummary* s) {
  nlohmann::json j{{"path", d.path},
                   {"type", d.type_text},
                   {"extents", d.extents},
                   {"chunk", d.chunk},
                   {"stored_bytes", d.stored_bytes},
                   {"filters", nlohmann::json::array()}};
  for (const Filter& f : d.filters)
    j["filters"].push_back({{"id", f.id}, {"name", f.name}, {"cd_values", f.words}});
  if (s == nullptr) return j;
  h5n_params params{};
  Message why;
  const Filter& ours = *d.ours();
  if (cdv_read_request(ours.words.data(), ours.words.size(), &params, &why) == 0) {
    j.update({{"mode", params.mode}, {"bound", params.bound}, {"effort", params.effort}});
  }
  j.update({{"raw_bytes", s->raw_bytes},
            {"ratio", ratio(s->raw_bytes, s->stored_bytes)},
            {"header_bytes", s->header_bytes},
            {"latents_bytes", s->latents_bytes},
            {"corrections_bytes", s->corrections_bytes},
            {"specials_bytes", s->specials_bytes},
            {"specials", s->specials},
            {"kinds", s->kinds},
            {"models", s->models},
            {"chunks", nlohmann::json::array()}});
  for (const ChunkSummary& c : s->stored) j["chunks"].push_back(json_of(c));
  return j;
}

// Returns whether every chunk of the target could be read.
bool show(const Target& target, const Options& o, nlohmann::json& out) {
  const Handle file = open_file(target.file);
  bool whole = true;
  nlohmann::json datasets = nlohmann::json::array();
  if (!o.json) fmt::print("{}\n", target.file);
  for (const std::string& path : list_datasets(file, target)) {
    const Dataset d = open_dataset(file, path);
    if (d.ours() == nullptr) {
      if (o.json) {
        datasets.push_back(json_of(d, nullptr));
      } else {
        print_foreign(d);
      }
      continue;
    }
    const DatasetSummary s = summarise(d);
    whole = whole && s.damaged == 0;
    if (o.json) {
      datasets.push_back(json_of(d, &s));
    } else {
      print_ours(d, s, o.chunks);
    }
  }
  out.push_back({{"file", target.file}, {"datasets", datasets}});
  return whole;
}

int run(const Options& o) {
  start_hdf5();
  bool whole = true;
  nlohmann::json out = nlohmann::json::array();
  for (const std::string& text : o.files) whole = show(parse_target(text), o, out) && whole;
  if (o.json) fmt::print("{}\n", out.dump(2));
  return whole ? kFine : kFailed;
}

}  // namespace

Command add_info(CLI::App& app) {
  auto* const sub = app.add_subcommand("info",
                                       "Bound, model, sizes and ratio of each dataset (exit status 1 when a "
                                       "chunk is damaged)");
  auto o = std::make_shared<Options>();
  sub->add_option("FILE", o->files, "HDF5 files, or FILE:/dataset")->required();
  auto* const chunks = sub->add_flag("--chunks", o->chunks, "Each chunk too");
  sub->add_flag("--json", o->json, "Everything, as JSON")->excludes(chunks);
  return {sub, [o] { return run(*o); }};
}

}  // namespace h5neural::tool

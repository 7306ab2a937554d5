// flags.cc: `h5neural flags`: a bound in the words of each program that writes HDF5.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "commands.h"
#include "filter_id.h"
#include "request.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

struct Options {
  Request request;
  std::string program = "h5repack", dataset;
  bool all = false, json = false;
};

using Words = std::vector<unsigned>;

// The argument of h5repack -f. Flag 0 is "mandatory": a chunk is never stored unfiltered without a word.
std::string for_h5repack(const Words& words, const std::string& dataset) {
  return fmt::format("{}UD={},0,{},{}", dataset.empty() ? "" : dataset + ":", H5NEURAL_FILTER_ID,
                     words.size(), fmt::join(words, ","));
}

// The argument of nccopy -F. It wants variables by name: "*" makes it stop at the first that holds integers.
std::string for_nccopy(const Words& words, const std::string& dataset) {
  return fmt::format("{},{},{}", dataset, H5NEURAL_FILTER_ID, fmt::join(words, ","));
}

// Keyword arguments of h5py's create_dataset.
std::string for_h5py(const Words& words) {
  return fmt::format("compression={}, compression_opts=({},)", H5NEURAL_FILTER_ID, fmt::join(words, ", "));
}

std::string for_c(const Words& words) {
  return fmt::format("H5Pset_filter(dcpl, {}, H5Z_FLAG_MANDATORY, {}, (const unsigned[]){{{}u}});",
                     H5NEURAL_FILTER_ID, words.size(), fmt::join(words, "u, "));
}

void print_all(const Words& words, const std::string& dataset) {
  const std::string variable = dataset.empty() ? "VARIABLE" : dataset;
  fmt::print("h5repack  h5repack -f {} IN OUT\n", for_h5repack(words, dataset));
  fmt::print("nccopy    nccopy -F \"{}\" IN OUT\n", for_nccopy(words, variable));
  fmt::print("h5py      create_dataset(..., chunks=..., {})\n", for_h5py(words));
  fmt::print("C         {}\n", for_c(words));
}

void print_json(const Words& words, const std::string& dataset) {
  const std::string variable = dataset.empty() ? "VARIABLE" : dataset;
  fmt::print("{}\n", nlohmann::json{{"filter", H5NEURAL_FILTER_ID},
                                    {"cd_values", words},
                                    {"h5repack", for_h5repack(words, dataset)},
                                    {"nccopy", for_nccopy(words, variable)},
                                    {"h5py", for_h5py(words)},
                                    {"c", for_c(words)}}
                         .dump(2));
}

int run(const Options& o) {
  const Words words = o.request.words();
  if (o.json) {
    print_json(words, o.dataset);
  } else if (o.all) {
    print_all(words, o.dataset);
  } else if (o.program == "h5repack") {
    fmt::print("{}\n", for_h5repack(words, o.dataset));
  } else if (o.program == "nccopy") {
    if (o.dataset.empty()) fail("nccopy takes filters by variable; add --dataset NAME");
    fmt::print("{}\n", for_nccopy(words, o.dataset));
  } else if (o.program == "h5py") {
    fmt::print("{}\n", for_h5py(words));
  } else {
    fmt::print("{}\n", for_c(words));
  }
  return kFine;
}

}  // namespace

Command add_flags(CLI::App& app) {
  auto* const sub = app.add_subcommand("flags",
                                       "Print a bound as the argument of h5repack -f (default), or for "
                                       "nccopy, h5py or C");
  auto o = std::make_shared<Options>();
  o->request.declare(*sub);
  sub->add_option("--for", o->program, "The program that is to take it")
      ->check(CLI::IsMember({"h5repack", "nccopy", "h5py", "c"}))
      ->capture_default_str();
  sub->add_option("--dataset", o->dataset, "Only this dataset or variable (h5repack: several, with commas)");
  auto* const all = sub->add_flag("--all", o->all, "Print all of them, one a line");
  sub->add_flag("--json", o->json, "Print all of them as JSON")->excludes(all);
  return {sub, [o] { return run(*o); }};
}

}  // namespace h5neural::tool

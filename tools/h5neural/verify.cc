// verify.cc: `h5neural verify`: compares a compressed file with its original, value by value in float64, and
// judges each chunk by the bound that it promised.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "commands.h"
#include "judge.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

struct Options {
  std::string original, copy;
  std::optional<double> abs;
  bool json = false;
};

void print(const Verdict& v) {
  const Differences& d = v.differences;
  if (d.measured == 0 || v.outcome == Outcome::kUnreadable) {
    fmt::print("{:24} {}\n", v.path, v.text);
    return;
  }
  fmt::print("{:24} {:14} {:>9.4g} {:>8} {:>8} {:>9} {:>9} {:>8}  {}\n", v.path,
             v.bound.empty() ? "-" : v.bound, d.max_error,
             v.bound.empty() || v.bound == "lossless" ? "-" : fmt::format("{:.4f}", d.max_over_bound),
             fmt::format("{:.2f}", d.psnr()), fmt::format("{:.3g}", d.nrmse()), d.specials,
             v.ratio > 0 ? fmt::format("{:.2f}", v.ratio) : "-", v.text);
}

nlohmann::json json_of(const Verdict& v) {
  static constexpr std::array kNames{"kept", "identical", "not compared", "broken", "unreadable"};
  const Differences& d = v.differences;
  // JSON has no infinity: the PSNR of identical values is null.
  return {{"path", v.path},
          {"bound", v.bound},
          {"outcome", kNames[static_cast<size_t>(v.outcome)]},
          {"text", v.text},
          {"values", d.values},
          {"changed", d.changed},
          {"specials", d.specials},
          {"specials_changed", d.specials_changed},
          {"beyond", d.beyond},
          {"broken_chunks", v.broken_chunks},
          {"max_error", d.max_error},
          {"max_over_bound", d.max_over_bound},
          {"rmse", d.rmse()},
          {"nrmse", d.nrmse()},
          {"patch_nrmse", d.patch_nrmse},
          {"psnr", d.psnr()},
          {"ratio", v.ratio}};
}

int run(const Options& o) {
  start_hdf5();
  const Target a = parse_target(o.original), b = parse_target(o.copy);
  const Handle first = open_file(a.file), second = open_file(b.file);
  const bool pair = !a.dataset.empty() || !b.dataset.empty();
  const Target listed{a.file, !a.dataset.empty() ? a.dataset : b.dataset};
  int status = kFine;
  nlohmann::json out = nlohmann::json::array();
  if (!o.json) {
    fmt::print("{:24} {:14} {:>9} {:>8} {:>8} {:>9} {:>9} {:>8}  {}\n", "dataset", "bound", "error",
               "of bound", "PSNR dB", "NRMSE", "specials", "ratio", "verdict");
  }
  const std::vector<std::string> paths = list_datasets(first, listed);
  if (paths.empty()) fail("{} holds no dataset", a.file);
  for (const std::string& path : paths) {
    const Verdict v = judge_pair(first, path, second, pair && !b.dataset.empty() ? b.dataset : path, o.abs);
    if (v.outcome == Outcome::kBroken) status = std::max<int>(status, kFailed);
    if (v.outcome == Outcome::kUnreadable) status = kUnable;
    if (o.json) {
      out.push_back(json_of(v));
    } else {
      print(v);
    }
  }
  if (o.json) fmt::print("{}\n", out.dump(2));
  return status;
}

}  // namespace

Command add_verify(CLI::App& app) {
  auto* const sub = app.add_subcommand(
      "verify",
      "Compare a compressed file with its original: exit status 0 when every bound is kept and every other "
      "value is the same, 1 when not, 2 when something cannot be read");
  auto o = std::make_shared<Options>();
  sub->add_option("ORIGINAL", o->original, "HDF5 file, or FILE:/dataset")->required();
  sub->add_option("COPY", o->copy, "HDF5 file, or FILE:/dataset")->required();
  sub->add_option("--abs", o->abs, "Absolute bound of datasets that another filter compressed")
      ->check(CLI::PositiveNumber);
  sub->add_flag("--json", o->json, "The same as JSON");
  return {sub, [o] { return run(*o); }};
}

}  // namespace h5neural::tool

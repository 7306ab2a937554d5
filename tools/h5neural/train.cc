// train.cc: `h5neural train`: learns weights from chunks of HDF5 datasets and writes the best of them, with a
// card and a report. Learning itself, and LibTorch, live in programs of their own (engine/learn).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "duration.h"
#include "h5neural/h5neural.h"
#include "learn.h"
#include "network_options.h"
#include "request.h"
#include "tool_error.h"
#include "training_report.h"
#include "weights_files.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMostLatents = 64, kMostModes = 255;

struct Options {
  std::vector<std::string> inputs;
  Request request;
  std::string out, name, chunk, block, model = "auto", form = "chunk", from, device = "cpu", time = "20m",
                                       split = "any", report;
  uint64_t seed = 0, latents = 16, modes = 0, chunks = 0;
  NetworkOptions network;
  bool resume = false;
};

// The command again, as the card has it: what decides the result, --resume aside.
std::string command_of(const Options& o) {
  std::string text = "h5neural train";
  for (const std::string& input : o.inputs) text += " " + input;
  text += " --" + bound_text(o.request.mode(), o.request.bound());
  text += fmt::format(" --model {} --time {} --seed {} -o {}", o.model, o.time, o.seed, o.out);
  const Options usual;
  for (const auto& [key, value, default_value] :
       {std::tuple{"--chunk", o.chunk, usual.chunk},
        {"--form", o.form, usual.form},
        {"--block", o.block, usual.block},
        {"--from", o.from, usual.from},
        {"--device", o.device, usual.device},
        {"--split", o.split, usual.split},
        {"--latents", std::to_string(o.latents), std::to_string(usual.latents)},
        {"--modes", std::to_string(o.modes), std::to_string(usual.modes)},
        {"--chunks", std::to_string(o.chunks), std::to_string(usual.chunks)}}) {
    if (value != default_value) text += fmt::format(" {} {}", key, value);
  }
  for (const std::string& word : o.network.arguments()) text += " " + word;
  return text;
}

void check(const Options& o) {
  if (fs::path(o.out).extension() != ".safetensors") fail("-o {}: weights files end in .safetensors", o.out);
  if (o.request.mode() == H5N_LOSSLESS) fail("weights are learned for a bound; give --abs, --rel or --nrmse");
  const double bound = o.request.bound();
  if (!(bound > 0 && std::isfinite(bound))) fail("the bound {} is not served; give a number above 0", bound);
  if (o.form == "block" && o.model == "auto") fail("--form block needs a family: --model linear or swae");
  if (o.model == "linear" && o.device != "cpu")
    fail("--device {} is of networks; linear learns on the CPU", o.device);
  if (o.model != "linear" && o.modes != 0) fail("--modes is of --model linear");
  if (o.form != "block" && !o.block.empty()) fail("--block is of --form block");
  if ((o.model != "swae" || o.form != "block") && !o.network.empty())
    fail("{} is of --model swae --form block", o.network.arguments().front());
  if (!o.from.empty()) {
    if (!fs::is_regular_file(o.from)) fail("--from {}: there is no such weights file", o.from);
    (void)use_weights_file(o.from);
  }
}

// Unfinished work is never lost by mistake, and never mixed with another's.
void check_unfinished(const Options& o, const std::string& folder) {
  std::error_code none;
  const bool unfinished = fs::exists(folder, none);
  if (unfinished && !o.resume)
    fail("an unfinished training stands in {}; go on with --resume, or remove it", folder);
  if (!unfinished && o.resume) fail("there is no {} to resume; leave --resume out", folder);
}

LearnRequest request_of(const Options& o) {
  LearnRequest r;
  r.setting = {o.request.mode(), o.request.bound()};
  r.model = o.model;
  r.form = o.form;
  r.block = o.block;
  r.latents = o.latents;
  r.network = o.network.arguments();
  r.modes = o.modes;
  r.seed = o.seed;
  r.spread = o.chunks;
  r.seconds = parse_duration("--time", o.time);
  r.from = o.from;
  r.device = o.device;
  r.name = o.name.empty() ? fs::path(o.out).stem().string() : o.name;
  r.command = command_of(o);
  return r;
}

// A family that was asked for is written whatever it brings; the automatic choice only where it pays.
bool is_written(const Options& o, const Learned& learned) {
  if (learned.pays()) return true;
  if (learned.candidates.empty()) {
    fmt::print(stderr, "no model pays: no family's weights are small enough for these chunks\n");
  } else {
    fmt::print(
        stderr,
        "no model pays: the smallest takes {:.1f} bytes a chunk with its share of the weights, none {:.1f}\n",
        learned.candidates[learned.best].total, learned.without);
  }
  if (o.model != "auto") return true;
  fmt::print(stderr,
             "{} is not written; more chunks alike (--chunks N, where N will be written) or a looser bound "
             "may help\n",
             o.out);
  return false;
}

void write(const Options& o, const Training& training) {
  write_card(training, o.out);
  const std::string report =
      o.report.empty() ? fs::path(o.out).replace_extension(".html").string() : o.report;
  write_report(training, report);
  fs::copy_file(training.best().file, o.out, fs::copy_options::overwrite_existing);
  for (const TestRow& r : training.test) {
    fmt::print(stderr, "test chunks at {:.4g}: {:.1f} bytes without, {:.1f} with, {:.2f} times smaller\n",
               r.bound, r.without, r.with, r.without / r.with);
  }
  fmt::print(stderr,
             "{}: family {}, {} bytes; its card and its report stand beside it ({})\nto write with these "
             "weights:\n  export H5NEURAL_WEIGHTS_PATH={}\n",
             o.out, training.best().family, training.best().bytes, report, fs::absolute(o.out).string());
}

int run(const Options& o) {
  start_hdf5();
  check(o);
  const std::string folder = o.out + ".unfinished";
  check_unfinished(o, folder);
  const LearnRequest request = request_of(o);
  std::vector<TrainingSource> sources = open_training_sources(o.inputs, parse_extents("--chunk", o.chunk));
  uint64_t values = 1;
  for (const hsize_t n : sources[0].block) values *= n;
  const SplitBy by = o.split == "time"     ? SplitBy::kTime
                     : o.split == "source" ? SplitBy::kSource
                                           : SplitBy::kAny;
  const TrainingData data(std::move(sources), by, o.seed, most_chunks(request.seconds, values));
  const Learned learned = learn(data, request, folder);
  const bool written = is_written(o, learned);
  if (written) {
    const auto test = measure_test(data, request.setting, learned.candidates[learned.best].hash);
    write(o, {data, request, learned, test});
  }
  fs::remove_all(folder);
  return written ? kFine : kFailed;
}

}  // namespace

Command add_train(CLI::App& app) {
  auto* const sub = app.add_subcommand("train", "Learn weights from chunks of your data");
  auto o = std::make_shared<Options>();
  std::vector<std::string> models{"auto"};
  for (const Family& f : families()) models.emplace_back(f.name);
  sub->add_option("INPUT", o->inputs,
                  "FILE:/dataset, or FILE for all its float datasets with chunks alike; one or more")
      ->required();
  o->request.declare_for_training(*sub);
  sub->add_option("-o,--out", o->out,
                  "Weights file to write, NAME.safetensors; its card (.md) and report (.html) go beside it")
      ->required();
  sub->add_option("--model", o->model,
                  "A family, or auto: each in turn, and the smallest on chunks kept apart, weights counted")
      ->check(CLI::IsMember(models))
      ->capture_default_str();
  sub->add_option("--time", o->time, "Time for all of it: 90s, 20m, 2h")->capture_default_str();
  sub->add_option(
      "--from", o->from,
      "Weights to start from, of family linear, swae or corrections: they are judged too, and that "
      "family learns on from them");
  sub->add_option("--device", o->device, "Where networks learn: cpu, or cuda, a GPU with mixed precision")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  sub->add_option("--chunk", o->chunk,
                  "Cut the data into chunks of these extents (default: the datasets' own)")
      ->type_name("Z,Y,X");
  sub->add_option(
         "--split", o->split,
         "What is kept apart: time (successive chunks), source (whole files), any: source from 20 files on")
      ->check(CLI::IsMember({"any", "time", "source"}))
      ->capture_default_str();
  sub->add_option("--chunks", o->chunks,
                  "Over how many chunks the weights are to pay back (default: those that INPUT has)");
  sub->add_option("--form", o->form, "chunk: one latent vector for a chunk; block: one for each block of it")
      ->check(CLI::IsMember({"chunk", "block"}))
      ->capture_default_str();
  sub->add_option("--block", o->block,
                  "--form block: extents of a block (default: linear 8 along each axis, swae 5,5,5)")
      ->type_name("Z,Y,X");
  sub->add_option("--modes", o->modes, "linear: number of basis fields (default: as many as pay)")
      ->check(CLI::Range(uint64_t{1}, kMostModes));
  sub->add_option("--latents", o->latents, "swae: numbers of a latent vector")
      ->check(CLI::Range(uint64_t{1}, kMostLatents))
      ->capture_default_str();
  o->network.declare(*sub);
  sub->add_option("--seed", o->seed, "The same seed, data and machine give the same start")
      ->capture_default_str();
  sub->add_option("--name", o->name, "Name of the weights (default: the file's)");
  sub->add_option("--report", o->report, "Where the report goes (default: beside the weights, .html)");
  sub->add_flag("--resume", o->resume,
                "Go on with a training that was interrupted; repeat its other options");
  return {sub, [o] { return run(*o); }};
}

}  // namespace h5neural::tool

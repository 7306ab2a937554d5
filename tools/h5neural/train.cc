// train.cc: `h5neural train`: prepares the samples and has h5neural-worker, or for linear models
// h5neural-linear, learn from them. Learning itself, and LibTorch, live there (engine/learn).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "h5neural/h5neural.h"
#include "install.h"
#include "request.h"
#include "tool_error.h"
#include "training_data.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

// The worker learns for these bounds, relative to the range of a chunk.
constexpr double kLoosestBound = 3e-2, kTightestBound = 1e-3;
constexpr uint64_t kMostModes = 128, kMostFineModes = 32, kMostLatents = 64;
constexpr uint64_t kFewestSamples = 32;
constexpr const char* kVariable = "x";  // name of the array of samples

struct Options {
  std::vector<std::string> targets;
  Request request;
  std::string out, name, chunk, block, model = "swae", form = "chunk";
  double seconds = 300;
  uint64_t seed = 0, latents = 16, modes = 0, chunks = 0;
  bool resume = false;
};

// The modes a whole-chunk model can learn from so many samples, and what it is built of.
struct Size {
  uint64_t modes, fine_modes, latents;
};

Size size_for(uint64_t samples, uint64_t latents) {
  Size s{};
  s.modes = std::min(kMostModes, samples / 2);
  s.fine_modes = std::min(kMostFineModes, s.modes);
  s.fine_modes = std::max(s.fine_modes, std::min(latents, s.modes));
  s.latents = std::min(latents, s.fine_modes);
  return s;
}

// The bound asked for, relative to the range of a typical chunk; 0 when none was.
double relative_bound(const Request& request, const TrainingData& data) {
  if (request.mode() == H5N_LOSSLESS) return 0;
  return request.mode() == H5N_ABS ? request.bound() / data.median_range : request.bound();
}

// The value range for the worker, in its samples' unit. Its bounds are relative to it: for a bound outside of
// them the range is stretched so that the nearest of them is the bound asked for.
double range_for(const Request& request, const TrainingData& data) {
  const double range = data.median_range / data.scale;
  const double bound = relative_bound(request, data);
  if (bound == 0 || (bound >= kTightestBound && bound <= kLoosestBound)) return range;
  fmt::print(
      stderr,
      "the bound is {:.2g} of a chunk's range; training aims at it, though models pay most from {} to {}\n",
      bound, kTightestBound, kLoosestBound);
  return range * bound / std::clamp(bound, kTightestBound, kLoosestBound);
}

std::string about(const Options& o, const TrainingData& data) {
  std::string text;
  for (const std::string& t : o.targets) text += (text.empty() ? "" : ", ") + fs::path(t).filename().string();
  return fmt::format("{}: {} chunks of {}, {} left out; x was learned as (x - {:.9g}) / {:.9g}", text,
                     data.count, extents_text(data.sample), data.left_out, data.offset, data.scale);
}

std::vector<std::string> worker_arguments(const Options& o, const TrainingData& data,
                                          const std::string& samples) {
  std::vector<std::string> args{"train",
                                "--model",
                                o.model,
                                "--data",
                                samples,
                                "--variable",
                                kVariable,
                                "--out",
                                o.out,
                                "--form",
                                o.form,
                                "--name",
                                o.name,
                                "--about",
                                about(o, data),
                                "--seed",
                                fmt::format("{}", o.seed),
                                "--seconds",
                                fmt::format("{}", o.seconds),
                                "--range",
                                fmt::format("{:.9g}", range_for(o.request, data))};
  if (o.form == "chunk") {
    const Size s = size_for(data.count, o.latents);
    for (const auto& [key, value] : {std::pair{"--modes", s.modes}, std::pair{"--fine-modes", s.fine_modes},
                                     std::pair{"--latents", s.latents}}) {
      args.insert(args.end(), {key, fmt::format("{}", value)});
    }
  }
  return args;
}

// Unfinished work is never lost by mistake, and never mixed with another's.
void check_checkpoint(const Options& o, const std::string& checkpoint) {
  std::error_code none;
  const bool unfinished = fs::exists(checkpoint, none);
  if (unfinished && !o.resume) {
    fail("an unfinished training stands in {}; go on with --resume, or remove it", checkpoint);
  }
  if (!unfinished && o.resume) fail("there is no {} to resume; leave --resume out", checkpoint);
}

TrainingData write_samples(const Options& o, const std::string& samples) {
  const TrainingData data = write_training_data(o.targets, parse_extents("--chunk", o.chunk), kVariable,
                                                samples, o.model != "swae");
  fmt::print(stderr, "{} samples of {} ({} chunks left out), median range {:.4g}\n", data.count,
             extents_text(data.sample), data.left_out, data.median_range);
  return data;
}

void say_how_to_use(const Options& o) {
  fmt::print(stderr, "to write with these weights:\n  export H5NEURAL_WEIGHTS_PATH={}\n",
             fs::absolute(o.out).string());
}

std::vector<std::string> linear_arguments(const Options& o, const TrainingData& data,
                                          const std::string& samples) {
  const uint32_t mode = o.request.mode();
  const char* const key = mode == H5N_ABS ? "--abs" : mode == H5N_NRMSE ? "--nrmse" : "--rel";
  const double bound = mode == H5N_ABS ? o.request.bound() / data.scale : o.request.bound();
  std::vector<std::string> args{"--data",     samples,
                                "--variable", kVariable,
                                "--out",      o.out,
                                "--form",     o.form,
                                "--name",     o.name,
                                "--about",    about(o, data),
                                "--seed",     fmt::format("{}", o.seed),
                                key,          fmt::format("{:.17g}", bound)};
  if (!o.block.empty()) args.insert(args.end(), {"--block", o.block});
  if (o.modes != 0) args.insert(args.end(), {"--modes", fmt::format("{}", o.modes)});
  if (o.chunks != 0) args.insert(args.end(), {"--chunks", fmt::format("{}", o.chunks)});
  return args;
}

// A linear model: no LibTorch, and nothing that could be interrupted for long.
int run_linear(const Options& o) {
  const fs::path program = program_path("h5neural-linear");
  if (program.empty()) fail("h5neural-linear is not in this install; install h5neural again, in one place");
  if (o.request.mode() == H5N_LOSSLESS)
    fail("a linear model is learned for a bound; give --abs, --rel or --nrmse");
  if (o.resume) fail("a linear model is learned in one go; leave --resume out");
  const std::string samples = o.out + ".samples";
  const TrainingData data = write_samples(o, samples);
  const Finished done = run_program(program, linear_arguments(o, data, samples), false);
  fs::remove(samples);
  if (done.status != 0) fail("h5neural-linear ended with status {}; its reason stands above", done.status);
  say_how_to_use(o);
  return kFine;
}

void check_bound(const Options& o) {
  const double bound = o.request.bound();
  if (o.request.mode() != H5N_LOSSLESS && !(bound > 0 && std::isfinite(bound)))
    fail("the bound {} is not served; give a number above 0", bound);
}

int run(const Options& given) {
  Options o = given;
  start_hdf5();
  if (fs::path(o.out).extension() != ".safetensors") fail("-o {}: weights files end in .safetensors", o.out);
  if (o.name.empty()) o.name = fs::path(o.out).stem().string();
  if (o.model == "linear") {
    check_bound(o);
    return run_linear(o);
  }
  if (!o.block.empty() || o.modes != 0 || o.chunks != 0)
    fail("--block, --modes and --chunks are of --model linear");
  const fs::path worker = worker_path();
  if (worker.empty()) {
    fail(
        "training needs h5neural-worker, which is not in this install; build with LibTorch "
        "(H5NEURAL_TORCH=ON, see "
        "docs/training.md)");
  }
  const std::string checkpoint = o.out + ".checkpoint", samples = o.out + ".samples";
  check_checkpoint(o, checkpoint);
  check_bound(o);
  const TrainingData data = write_samples(o, samples);
  if (data.count < kFewestSamples) {
    fs::remove(samples);
    fail("{} samples are too few to learn from; give at least {} chunks", data.count, kFewestSamples);
  }
  setenv("OMP_WAIT_POLICY", "PASSIVE", 0);  // threads that spin at barriers slow a shared machine down
  const Finished done = run_program(worker, worker_arguments(o, data, samples), false);
  if (done.status != 0) {
    fail(
        "h5neural-worker ended with status {}; its reason stands above. Go on with the same command and "
        "--resume",
        done.status);
  }
  fs::remove(samples);
  fs::remove(checkpoint);
  say_how_to_use(o);
  return kFine;
}

}  // namespace

Command add_train(CLI::App& app) {
  auto* const sub = app.add_subcommand("train", "Train weights on chunks of your data");
  auto o = std::make_shared<Options>();
  sub->add_option("DATA", o->targets, "FILE:/dataset, one or more")->required();
  o->request.declare_for_training(*sub);
  sub->add_option("-o,--out", o->out, "Weights file to write, NAME.safetensors; its card goes beside it")
      ->required();
  sub->add_option("--chunk", o->chunk,
                  "Cut the data into chunks of these extents (default: the datasets' own)")
      ->type_name("Z,Y,X");
  sub->add_option("--model", o->model,
                  "swae: a small autoencoder, three-branch: a grid of latents (both need h5neural-worker); "
                  "linear: sums "
                  "of basis fields, in a minute")
      ->check(CLI::IsMember({"swae", "three-branch", "linear"}))
      ->capture_default_str();
  sub->add_option("--block", o->block,
                  "linear, --form block: extents of a block (default: 8 along each axis)")
      ->type_name("Z,Y,X");
  sub->add_option("--modes", o->modes, "linear: number of basis fields (default: as many as pay)")
      ->check(CLI::Range(uint64_t{1}, uint64_t{255}));
  sub->add_option("--chunks", o->chunks,
                  "linear: over how many chunks the weights are to pay back (default: those learned from)");
  sub->add_option("--form", o->form,
                  "chunk: one latent vector for a chunk; block: one for each block (swae: 5 x 5 x 5)")
      ->check(CLI::IsMember({"chunk", "block"}))
      ->capture_default_str();
  sub->add_option("--seconds", o->seconds, "Time for training")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--latents", o->latents, "Numbers of a latent vector")
      ->check(CLI::Range(uint64_t{1}, kMostLatents))
      ->capture_default_str();
  sub->add_option("--seed", o->seed, "The same seed, data and machine give the same start")
      ->capture_default_str();
  sub->add_option("--name", o->name, "Name of the weights (default: the file's)");
  sub->add_flag("--resume", o->resume,
                "Go on with a training that was interrupted; repeat its other options");
  return {sub, [o] { return run(*o); }};
}

}  // namespace h5neural::tool

// families.cc: see families.h.
#include "families.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

#include "h5neural/h5neural.h"
#include "weights_files.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

using Arguments = std::vector<std::string>;

// The bound asked for, relative to the range of a typical chunk.
double relative_bound(const FamilyTask& t) {
  if (t.mode == H5N_PSNR) return std::pow(10.0, -t.bound / 20);
  return t.mode == H5N_ABS ? t.bound / t.data->median_range() : t.bound;
}

Arguments common(const FamilyTask& t) {
  return {"--data",       t.samples,
          "--variable",   kSamplesVariable,
          "--out",        t.out,
          "--form",       t.form,
          "--name",       t.name,
          "--about",      about(*t.data),
          "--seed",       fmt::format("{}", t.seed),
          "--curve",      t.curve,
          "--seconds",    fmt::format("{:.6g}", t.seconds),
          "--validation", fmt::format("{}", t.data->count(Part::kValidation))};
}

// The option that names weights to go on from; a family goes on from its own.
void add_from(Arguments& args, const FamilyTask& t, const std::string& family) {
  if (!t.from.empty() && use_weights_file(t.from).family == family)
    args.insert(args.end(), {"--from", t.from});
}

// ---- linear: sums of basis fields

constexpr uint64_t kFewestLinear = 16;  // chunks to learn from

std::string why_not_linear(const FamilyTask& t) {
  const uint64_t count = t.data->count(Part::kLearn);
  if (count >= kFewestLinear && t.data->count(Part::kValidation) > 0) return {};
  return fmt::format("{} chunks to learn from are too few: give at least {} chunks in all, or smaller ones",
                     count, kFewestLinear * 5 / 4);
}

uint64_t least_bytes_linear(const FamilyTask&) { return 1000; }

Arguments linear_arguments(const FamilyTask& t) {
  Arguments args = common(t);
  const char* const key = t.mode == H5N_ABS    ? "--abs"
                          : t.mode == H5N_REL  ? "--rel"
                          : t.mode == H5N_PSNR ? "--psnr"
                                               : "--nrmse";
  const double bound = t.mode == H5N_ABS ? t.bound / t.data->scale() : t.bound;
  args.insert(args.end(), {key, fmt::format("{:.17g}", bound), "--chunks", fmt::format("{}", t.spread)});
  if (!t.block.empty()) args.insert(args.end(), {"--block", t.block});
  if (t.modes != 0) args.insert(args.end(), {"--modes", fmt::format("{}", t.modes)});
  add_from(args, t, "linear");
  return args;
}

// ---- swae: the small autoencoder

constexpr uint64_t kFewestSwae = 32;
constexpr uint64_t kMostModes = 128, kMostFineModes = 32;
// The worker learns for these bounds, relative to the range of a chunk.
constexpr double kLoosestBound = 3e-2, kTightestBound = 1e-3;

std::string why_not_swae(const FamilyTask& t) {
  const size_t axes = t.data->sample().size();
  if (t.form == "chunk" ? axes != 3 : axes > 3) {
    return fmt::format("chunks {} have {} axes longer than 1, and swae learns chunks with {}; give --chunk",
                       extents_text(t.data->sample()), axes, t.form == "chunk" ? "3" : "1 to 3");
  }
  const uint64_t count = t.data->count(Part::kLearn);
  if (count >= kFewestSwae && t.data->count(Part::kValidation) > 0) return {};
  return fmt::format("{} chunks to learn from are too few: give at least {} chunks in all, or smaller ones",
                     count, kFewestSwae * 5 / 4);
}

// The value range for the worker, in its samples' unit. Its bounds are relative to it: for a bound outside of
// them the range is stretched so that the nearest of them is the bound asked for.
double range_for(const FamilyTask& t) {
  const double range = t.data->median_range() / t.data->scale();
  const double bound = relative_bound(t);
  return range * bound / std::clamp(bound, kTightestBound, kLoosestBound);
}

// As many modes as can be learned from so many samples. The weights hold each at every value: those that
// matter most in 16 bits, the others in 8.
struct SwaeModes {
  uint64_t all, fine;
};
SwaeModes modes_for(const FamilyTask& t) {
  const uint64_t all = std::min(kMostModes, t.data->count(Part::kLearn) / 2);
  return {all, std::min(all, std::max(kMostFineModes, t.latents))};
}

uint64_t least_bytes_swae(const FamilyTask& t) {
  const SwaeModes modes = modes_for(t);
  return t.form == "chunk" ? t.data->values() * (modes.all + modes.fine) : 0;
}

Arguments swae_arguments(const FamilyTask& t) {
  Arguments args = common(t);
  args.insert(args.begin(), "train");
  args.insert(args.end(), {"--checkpoint", t.checkpoint, "--snapshot", t.snapshot, "--range",
                           fmt::format("{:.9g}", range_for(t)), "--device", t.device});
  add_from(args, t, "swae");
  if (t.form != "chunk") {
    args.insert(args.end(), {"--latents", fmt::format("{}", t.latents)});
    if (!t.block.empty()) args.insert(args.end(), {"--block", t.block});
    args.insert(args.end(), t.network.begin(), t.network.end());
    return args;
  }
  const auto [modes, fine] = modes_for(t);
  for (const auto& [key, value] :
       {std::pair{"--modes", modes}, {"--fine-modes", fine}, {"--latents", std::min(t.latents, fine)}}) {
    args.insert(args.end(), {key, fmt::format("{}", value)});
  }
  return args;
}

// ---- three-branch: a grid of latents

constexpr uint64_t kFewestThreeBranch = 16;

std::string why_not_three_branch(const FamilyTask& t) {
  const size_t axes = t.data->sample().size();
  if (axes < 2) return "three-branch learns chunks with 2 axes or more longer than 1; give --chunk";
  const uint64_t count = t.data->count(Part::kLearn);
  if (count >= kFewestThreeBranch && t.data->count(Part::kValidation) > 0) return {};
  return fmt::format("{} chunks to learn from are too few: give at least {} chunks in all, or smaller ones",
                     count, kFewestThreeBranch * 5 / 4);
}

uint64_t least_bytes_three_branch(const FamilyTask&) { return 0; }

Arguments three_branch_arguments(const FamilyTask& t) {
  Arguments args = common(t);
  args.insert(args.begin(),
              {"train", "--model", "three-branch", "--checkpoint", t.checkpoint, "--device", t.device});
  return args;
}

// ---- corrections: a network inside of the walk

constexpr uint64_t kFewestCorrections = 4;

std::string why_not_corrections(const FamilyTask& t) {
  const uint64_t count = t.data->count(Part::kLearn);
  if (count >= kFewestCorrections && t.data->count(Part::kValidation) > 0) return {};
  return fmt::format("{} chunks to learn from are too few: give at least {} chunks in all, or smaller ones",
                     count, kFewestCorrections + 1);
}

uint64_t least_bytes_corrections(const FamilyTask&) { return 10000; }

Arguments corrections_arguments(const FamilyTask& t) {
  constexpr double kPointwise = 1.7;  // times the root mean square of errors spread evenly
  const bool l2 = t.mode >= H5N_PSNR;
  const double bound = relative_bound(t) * (l2 ? kPointwise : 1);
  Arguments args = common(t);
  args.insert(args.begin(), {"train", "--model", "corrections", "--checkpoint", t.checkpoint});
  args.insert(args.end(), {"--bounds", fmt::format("{:.4g},{:.4g},{:.4g}", 2 * bound, bound, bound / 2),
                           "--pairs", "24", "--widths", "48,24", "--batch", "4096", "--rate", "3e-3"});
  add_from(args, t, "corrections");
  return args;
}

// ---- frames: each frame of a series predicted from those before it

constexpr uint64_t kFewestFrames = 6;                     // chunks to learn from
constexpr uint64_t kFewestSteps = 4, kFewestPoints = 32;  // of a chunk, along time and along the other axes

std::string why_not_frames(const FamilyTask& t) {
  const Extents& sample = t.data->sample();
  if (sample.size() != 3 || sample[0] < kFewestSteps || std::min(sample[1], sample[2]) < kFewestPoints) {
    return fmt::format(
        "chunks {} are no series of frames: {} or more in time first, then two axes of {} or more; give "
        "--chunk",
        extents_text(sample), kFewestSteps, kFewestPoints);
  }
  const uint64_t count = t.data->count(Part::kLearn);
  if (count >= kFewestFrames && t.data->count(Part::kValidation) > 0) return {};
  return fmt::format("{} chunks to learn from are too few: give at least {} chunks in all, or smaller ones",
                     count, kFewestFrames * 5 / 4 + 1);
}

uint64_t least_bytes_frames(const FamilyTask&) { return 10000; }

Arguments frames_arguments(const FamilyTask& t) {
  Arguments args = common(t);
  args.insert(args.begin(), {"train", "--model", "frames", "--checkpoint", t.checkpoint, "--bound",
                             fmt::format("{:.6g}", relative_bound(t))});
  return args;
}

// ---- vae, contextual, dcae, diffusion: frames as grids of latents

constexpr uint64_t kFewestSeries = 4;         // chunks to learn from
constexpr uint64_t kFewestLatentPoints = 32;  // of a frame, along each axis

std::string why_not_latents(const FamilyTask& t) {
  const Extents& sample = t.data->sample();
  const size_t axes = sample.size();
  if (axes < 2 || axes > 3 || std::min(sample[axes - 2], sample[axes - 1]) < kFewestLatentPoints) {
    return fmt::format(
        "chunks {} are neither frames nor series of them: two axes of {} points or more, time before them; "
        "give --chunk",
        extents_text(sample), kFewestLatentPoints);
  }
  const uint64_t count = t.data->count(Part::kLearn);
  if (count >= kFewestSeries && t.data->count(Part::kValidation) > 0) return {};
  return fmt::format("{} chunks to learn from are too few: give at least {} chunks in all, or smaller ones",
                     count, kFewestSeries * 5 / 4 + 1);
}

uint64_t least_bytes_latents(const FamilyTask&) { return 100000; }

Arguments latent_arguments(const FamilyTask& t, const char* model) {
  Arguments args = common(t);
  args.insert(args.begin(), {"train", "--model", model, "--checkpoint", t.checkpoint, "--device", t.device,
                             "--bound", fmt::format("{:.6g}", relative_bound(t))});
  return args;
}

// They have to be asked for: minutes of training seldom pay.
constexpr Family latent_family(const char* name, Arguments (*arguments)(const FamilyTask&)) {
  return {name,
          "h5neural-worker",
          "build with LibTorch (H5NEURAL_TORCH=ON, see docs/training.md)",
          1,
          true,
          false,
          why_not_latents,
          least_bytes_latents,
          arguments};
}

constexpr std::array kFamilies{
    Family{"linear", "h5neural-linear", "install h5neural again, in one place", 3, false, false,
           why_not_linear, least_bytes_linear, linear_arguments},
    Family{"frames", "h5neural-worker", "build with LibTorch (H5NEURAL_TORCH=ON, see docs/training.md)", 3,
           false, false, why_not_frames, least_bytes_frames, frames_arguments},
    Family{"swae", "h5neural-worker", "build with LibTorch (H5NEURAL_TORCH=ON, see docs/training.md)", 2,
           false, true, why_not_swae, least_bytes_swae, swae_arguments},
    Family{"corrections", "h5neural-worker", "build with LibTorch (H5NEURAL_TORCH=ON, see docs/training.md)",
           1, false, false, why_not_corrections, least_bytes_corrections, corrections_arguments},
    // It has paid nowhere yet (docs/notes/three-branch.md).
    Family{"three-branch", "h5neural-worker", "build with LibTorch (H5NEURAL_TORCH=ON, see docs/training.md)",
           1, true, false, why_not_three_branch, least_bytes_three_branch, three_branch_arguments},
    latent_family("vae", [](const FamilyTask& t) { return latent_arguments(t, "vae"); }),
    latent_family("contextual", [](const FamilyTask& t) { return latent_arguments(t, "contextual"); }),
    latent_family("dcae", [](const FamilyTask& t) { return latent_arguments(t, "dcae"); }),
    latent_family("diffusion", [](const FamilyTask& t) { return latent_arguments(t, "diffusion"); })};

}  // namespace

std::span<const Family> families() { return kFamilies; }

const Family* family_called(const std::string& name) {
  const auto found =
      std::find_if(kFamilies.begin(), kFamilies.end(), [&](const Family& f) { return name == f.name; });
  return found == kFamilies.end() ? nullptr : found;
}

std::string about(const TrainingData& data) {
  std::string text;
  for (const TrainingSource& s : data.sources()) {
    text += fmt::format("{}{}:{}", text.empty() ? "" : ", ", fs::path(s.file).filename().string(),
                        s.dataset.path);
  }
  return fmt::format("{}: {} chunks of {}, {} left out; x was learned as (x - {:.9g}) / {:.9g}", text,
                     data.count(), extents_text(data.sample()), data.left_out(), data.offset(), data.scale());
}

}  // namespace h5neural::tool

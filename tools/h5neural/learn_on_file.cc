// learn_on_file.cc: see learn_on_file.h.
#include "learn_on_file.h"

#include <fmt/format.h>

#include <filesystem>
#include <map>

#include "learn.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

struct Share {
  std::vector<TrainingSource> sources;
  uint64_t bytes = 0;
};

// By size of chunk. Datasets that no model can learn from are groups of their own, with the reason.
std::map<Extents, Share> shares_of(const std::string& input, const std::vector<FileSource>& files,
                                   std::vector<LearnedGroup>& groups) {
  std::map<Extents, Share> shares;
  const Handle file = open_file(input);
  for (const FileSource& f : files) {
    TrainingSource s{input, open_dataset(file, f.path), f.chunk};
    if (std::string why = why_not_learned(s); !why.empty()) {
      LearnedGroup group;
      group.datasets = {f.path};
      group.sample = sample_extents(f.chunk);
      group.why = fmt::format("{} {}", f.path, why);
      groups.push_back(std::move(group));
      continue;
    }
    Share& share = shares[sample_extents(s.block)];
    share.bytes += s.dataset.count() * s.dataset.element_bytes;
    share.sources.push_back(std::move(s));
  }
  return shares;
}

LearnedGroup learn_group(Share share, const WriterSetting& setting, double seconds, OutputFile& out,
                         size_t number) {
  LearnedGroup group;
  group.sample = sample_extents(share.sources.front().block);
  for (const TrainingSource& s : share.sources) group.datasets.push_back(s.dataset.path);
  LearnRequest request;
  request.setting = setting;
  request.seconds = seconds;
  request.without = H5N_MODEL_AUTO;  // what the file has otherwise
  request.name = fmt::format("learned-{}", number);
  request.command = "h5neural repack --learn";
  const std::string folder = out.unfinished() + ".learning",
                    file = fmt::format("{}.weights-{}", out.unfinished(), number);
  for (const std::string& name : files_of_learning(folder)) out.remove_too(name);
  out.remove_too(file + ".safetensors");
  uint64_t values = 1;
  for (const hsize_t n : group.sample) values *= n;
  try {
    const TrainingData data(std::move(share.sources), SplitBy::kTime, 0, most_chunks(seconds, values));
    const Learned learned = learn(data, request, folder);
    group.seconds = learned.seconds;
    if (learned.pays()) {
      const Candidate& best = learned.candidates[learned.best];
      group.file = file + ".safetensors";
      fs::copy_file(best.file, group.file);
      group.family = best.family;
      group.hash = best.hash;
      group.sha256 = best.sha256;
      group.bytes = best.bytes;
    } else {
      group.why = fmt::format("no model pays for itself on chunks {}", extents_text(group.sample));
    }
  } catch (const ToolError& e) {
    group.why = fmt::format("chunks {}: {}", extents_text(group.sample), e.what());
  }
  fs::remove_all(folder);
  return group;
}

}  // namespace

std::vector<LearnedGroup> learn_on_file(const std::string& input, const std::vector<FileSource>& sources,
                                        const WriterSetting& setting, double seconds, OutputFile& out) {
  std::vector<LearnedGroup> groups;
  std::map<Extents, Share> shares = shares_of(input, sources, groups);
  uint64_t bytes = 0;
  for (const auto& [sample, share] : shares) bytes += share.bytes;
  size_t number = 0;
  for (auto& [sample, share] : shares) {
    const double part = static_cast<double>(share.bytes) / static_cast<double>(bytes);
    fmt::print(stderr, "learning from chunks {} of {} datasets, {:.0f} s\n", extents_text(sample),
               share.sources.size(), seconds * part);
    groups.push_back(learn_group(std::move(share), setting, seconds * part, out, ++number));
  }
  return groups;
}

void remove_learned(const std::vector<LearnedGroup>& groups) {
  std::error_code none;
  for (const LearnedGroup& g : groups)
    if (g.learned()) fs::remove(g.file, none);
}

std::string brought_text(const LearnedGroup& g) {
  if (!g.learned()) return fmt::format("nothing was learned: {}", g.why);
  const std::string what = fmt::format(
      "weights learned from chunks {} ({}, {} bytes): {} bytes with them, {} without, {} chunks smaller",
      extents_text(g.sample), g.family, g.bytes, g.with, g.without, g.chunks);
  if (!g.used) return what + "; they do not pay for themselves, and are left out";
  return what + fmt::format("; weights counted, {:.2f} times smaller",
                            static_cast<double>(g.without) / static_cast<double>(g.with + g.bytes));
}

}  // namespace h5neural::tool

// training_sources.cc: the datasets of a training; see training_data.h.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "commands.h"
#include "tool_error.h"
#include "training_data.h"

namespace h5neural::tool {
namespace {

constexpr size_t kMostAxes = 4;  // of a sample
constexpr uint64_t kMaxSampleValues = uint64_t{1}
                                      << 18;  // a model of whole chunks holds every mode at this size

uint64_t product(const Extents& e) {
  uint64_t n = 1;
  for (const hsize_t v : e) n *= v;
  return n;
}

TrainingSource open_source(const std::string& file, const std::string& path, const Extents& shape) {
  const Handle handle = open_file(file);
  TrainingSource s{file, open_dataset(handle, path), shape};
  if (shape.empty()) s.block = s.dataset.chunk;
  return s;
}

struct Candidate {
  TrainingSource source;
  std::string why;  // not empty: it cannot be learned from
};

// Of the datasets that nobody named, those with chunks of the one size that most values are in.
Extents commonest(const std::vector<Candidate>& found) {
  std::map<Extents, uint64_t> values;
  for (const Candidate& c : found)
    if (c.why.empty()) values[sample_extents(c.source.block)] += c.source.dataset.count();
  if (values.empty()) return {};
  return std::max_element(values.begin(), values.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

std::string name_of(const TrainingSource& s) { return fmt::format("{}:{}", s.file, s.dataset.path); }

}  // namespace

Extents sample_extents(const Extents& block) {
  Extents shape;
  std::copy_if(block.begin(), block.end(), std::back_inserter(shape), [](hsize_t n) { return n > 1; });
  return shape;
}

std::string why_not_learned(const TrainingSource& source) {
  const Dataset& d = source.dataset;
  const Extents& block = source.block;
  if (d.element == Element::kOther)
    return fmt::format("holds {}; models learn from float32 and float64", d.type_text);
  if (block.empty()) return "is not chunked; say how it is to be cut: --chunk Z,Y,X";
  if (block.size() != d.extents.size()) {
    return fmt::format("has rank {}, and --chunk {} axes; give one number for each axis", d.extents.size(),
                       block.size());
  }
  const Extents sample = sample_extents(block);
  if (sample.empty() || sample.size() > kMostAxes) {
    return fmt::format(
        "has chunks {} with {} axes longer than 1, and models learn chunks with 1 to {}; give --chunk",
        extents_text(block), sample.size(), kMostAxes);
  }
  if (product(sample) > kMaxSampleValues) {
    return fmt::format(
        "has chunks {} of {} values, and a model of whole chunks takes at most {}; give --chunk",
        extents_text(block), product(sample), kMaxSampleValues);
  }
  return {};
}

std::vector<TrainingSource> open_training_sources(const std::vector<std::string>& inputs,
                                                  const Extents& shape) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) fail("--chunk has a 0; give extents above 0");
  std::vector<TrainingSource> sources;
  std::vector<Candidate> found;
  for (const std::string& text : inputs) {
    const Target target = parse_target(text);
    const Handle file = open_file(target.file);
    for (const std::string& path : list_datasets(file, target)) {
      Candidate c{open_source(target.file, path, shape), {}};
      c.why = why_not_learned(c.source);
      if (target.dataset.empty()) {
        found.push_back(std::move(c));
        continue;
      }
      if (!c.why.empty()) fail("{} {}", name_of(c.source), c.why);
      sources.push_back(std::move(c.source));
    }
  }
  const Extents sample = sources.empty() ? commonest(found) : sample_extents(sources[0].block);
  for (const TrainingSource& s : sources) {
    if (sample_extents(s.block) == sample) continue;
    fail("{} has chunks {} and {} has {}; one model learns chunks of one size: give --chunk",
         sources[0].dataset.path, extents_text(sources[0].block), s.dataset.path, extents_text(s.block));
  }
  for (Candidate& c : found) {
    if (c.why.empty() && sample_extents(c.source.block) != sample)
      c.why = fmt::format("has chunks {}, and others {}", extents_text(c.source.block), extents_text(sample));
    if (c.why.empty()) {
      sources.push_back(std::move(c.source));
    } else if (c.source.dataset.element != Element::kOther || found.size() == 1) {
      fmt::print(stderr, "left out: {} {}\n", name_of(c.source), c.why);
    }
  }
  if (sources.empty())
    fail("{}: no dataset to learn from; name one as FILE:/dataset, and --chunk where it is not chunked",
         fmt::join(inputs, ", "));
  return sources;
}

}  // namespace h5neural::tool

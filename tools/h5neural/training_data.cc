// training_data.cc: see training_data.h.
#include "training_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <span>

#include "compare.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

constexpr double kNorm = 4;  // of a sample after scaling, root mean square over all samples; see survey
constexpr size_t kGroups = 20, kToLearnFrom = 16, kToTest = 1;  // the other 3 are for validation

template <class T>
double number_in(const std::vector<uint8_t>& bytes) {
  T v;
  std::memcpy(&v, bytes.data(), sizeof v);
  return v;
}

// The fill value as a number, or NaN.
double fill_of(const Dataset& d) {
  if (!d.fill) return std::nan("");
  return d.element == Element::kFloat32 ? number_in<float>(*d.fill) : number_in<double>(*d.fill);
}

uint64_t blocks_along(const TrainingSource& s, size_t axis) {
  return (s.dataset.extents[axis] + s.block[axis] - 1) / s.block[axis];
}

uint64_t blocks_of(const TrainingSource& s) {
  uint64_t n = 1;
  for (size_t a = 0; a < s.block.size(); ++a) n *= blocks_along(s, a);
  return n;
}

// The numbers 0 ... n-1 in an order drawn by `seed`.
std::vector<size_t> shuffled(size_t n, uint64_t seed) {
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::mt19937_64 draw(seed);
  for (size_t k = n; k-- > 1;) std::swap(order[k], order[draw() % (k + 1)]);
  return order;
}

struct CloseFile {
  void operator()(std::FILE* f) const { (void)std::fclose(f); }
};
using OutFile = std::unique_ptr<std::FILE, CloseFile>;

void put(const OutFile& out, const void* bytes, size_t n, const std::string& path) {
  if (std::fwrite(bytes, 1, n, out.get()) != n) fail("{} cannot be written; is the disk full?", path);
}

// safetensors: the length of a JSON text, the text, the values.
void write_header(const OutFile& out, Extents shape, const std::string& variable, const std::string& path) {
  uint64_t bytes = sizeof(float);
  for (const hsize_t n : shape) bytes *= n;
  std::string text =
      nlohmann::json{{variable, {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {uint64_t{0}, bytes}}}}}
          .dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  put(out, &length, sizeof length, path);
  put(out, text.data(), text.size(), path);
}

}  // namespace

TrainingData::TrainingData(std::vector<TrainingSource> sources, SplitBy by, uint64_t seed, uint64_t most)
    : sources_(std::move(sources)), sample_(sample_extents(sources_.at(0).block)) {
  std::vector<Place> all = places(most);
  survey(all);
  divide(all, by, seed);
}

uint64_t TrainingData::count() const {
  return count(Part::kLearn) + count(Part::kValidation) + count(Part::kTest);
}

uint64_t TrainingData::values() const {
  uint64_t n = 1;
  for (const hsize_t e : sample_) n *= e;
  return n;
}

uint64_t TrainingData::raw_bytes() const { return values() * sources_[0].dataset.element_bytes; }

// Chunks at the edge are smaller, and left out.
std::vector<TrainingData::Place> TrainingData::places(uint64_t most) {
  for (const TrainingSource& s : sources_) all_ += blocks_of(s);
  std::vector<Place> chosen;
  uint64_t at = 0, taken = 0;
  const uint64_t wanted = std::min(most, all_);
  for (size_t i = 0; i < sources_.size(); ++i) {
    const TrainingSource& s = sources_[i];
    for (Extents offset; next_block(s.dataset.extents, s.block, offset); ++at) {
      if (taken * all_ / std::max<uint64_t>(1, wanted) > at) continue;
      ++taken;
      if (clip_block(s.dataset.extents, s.block, offset) == s.block) {
        chosen.push_back({i, offset});
      } else {
        ++left_out_;
      }
    }
  }
  if (wanted < all_) fmt::print(stderr, "{} of {} chunks are looked at, evenly chosen\n", wanted, all_);
  return chosen;
}

// False for a chunk with values that are none.
bool TrainingData::read(const Place& place, std::vector<double>& values) const {
  const TrainingSource& s = sources_[place.source];
  const double fill = fill_of(s.dataset);
  values.resize(this->values());
  read_block(s.dataset, place.offset, s.block, H5T_NATIVE_DOUBLE, values.data());
  return std::all_of(values.begin(), values.end(),
                     [fill](double v) { return std::isfinite(v) && v != fill; });
}

// Finds the scale, and leaves chunks with values that are none out. Scaling brings samples to a norm of about
// kNorm: the latents of the trained model are multiples of 1/1024 between -32 and 32, so samples must neither
// reach 32 nor be small beside 1/1024.
void TrainingData::survey(std::vector<Place>& all) {
  double sum = 0, squares = 0, pivot = 0;  // of means and of squares about the pivot, per value
  std::vector<double> ranges, values;
  std::vector<Place> kept;
  for (const Place& place : all) {
    if (!read(place, values)) continue;
    if (ranges.empty()) pivot = values[0];
    double own_sum = 0, own_squares = 0;
    for (const double v : values) {
      own_sum += v - pivot;
      own_squares += (v - pivot) * (v - pivot);
    }
    sum += own_sum / static_cast<double>(values.size());
    squares += own_squares / static_cast<double>(values.size());
    ranges.push_back(range_of<double>(values, std::nullopt));
    kept.push_back(place);
  }
  left_out_ += all.size() - kept.size();
  all = std::move(kept);
  if (all.empty()) {
    fail(
        "none of the {} chunks is whole and without NaN, Inf and fill values; give --chunk smaller than the "
        "holes",
        left_out_);
  }
  const auto count = static_cast<double>(all.size());
  const double mean = sum / count, variance = squares / count - mean * mean;
  if (!(variance > 0)) fail("all samples are constant; there is nothing to learn");
  offset_ = pivot + mean;
  scale_ = std::sqrt(variance * static_cast<double>(this->values())) / kNorm;
  const auto middle = ranges.begin() + static_cast<int64_t>(ranges.size() / 2);
  std::nth_element(ranges.begin(), middle, ranges.end());
  range_ = *middle;
}

// Chunks of one time step, and the same time in several datasets, resemble each other: they stay together
// where every dataset has enough steps.
std::vector<size_t> TrainingData::groups_of_time(const std::vector<Place>& all) const {
  const bool steps = std::all_of(sources_.begin(), sources_.end(),
                                 [](const TrainingSource& s) { return blocks_along(s, 0) >= kGroups; });
  std::vector<size_t> groups;
  for (size_t k = 0; k < all.size(); ++k) {
    const TrainingSource& s = sources_[all[k].source];
    groups.push_back(steps ? all[k].offset[0] / s.block[0] * kGroups / blocks_along(s, 0)
                           : k * kGroups / all.size());
  }
  return groups;
}

std::vector<size_t> TrainingData::groups_of_files(const std::vector<Place>& all, size_t files) const {
  std::map<std::string, size_t> place;
  for (const TrainingSource& s : sources_) place.emplace(s.file, place.size());
  std::vector<size_t> groups;
  for (const Place& p : all) {
    const size_t file = place.at(sources_[p.source].file);
    // With few files each is a group: one for the test, then those for validation.
    groups.push_back(files >= kGroups ? file * kGroups / files : file);
  }
  return groups;
}

void TrainingData::divide(const std::vector<Place>& all, SplitBy by, uint64_t seed) {
  std::map<std::string, size_t> names;
  for (const TrainingSource& s : sources_) names.emplace(s.file, 0);
  const size_t files = names.size();
  if (by == SplitBy::kSource && files < 3)
    fail("--split source keeps whole files apart, and there are {}; give 3 or more, or --split time", files);
  const bool by_file = by == SplitBy::kSource || (by == SplitBy::kAny && files >= kGroups);
  const std::vector<size_t> group = by_file ? groups_of_files(all, files) : groups_of_time(all);
  const size_t count = by_file ? std::min(files, kGroups) : kGroups;
  const size_t test = std::max<size_t>(1, count * kToTest / kGroups);
  const size_t learn = std::min(count * kToLearnFrom / kGroups, count - test - 1);
  const std::vector<size_t> order = shuffled(count, seed);
  for (size_t k = 0; k < all.size(); ++k) {
    const size_t at = order[group[k]];
    const Part part = at < learn ? Part::kLearn : at < count - test ? Part::kValidation : Part::kTest;
    parts_[static_cast<size_t>(part)].push_back(all[k]);
  }
  split_ = by_file ? "whole files kept apart" : "successive chunks kept apart in groups";
}

TrainingData::Chunk TrainingData::chunk(Part part, uint64_t k) const {
  const Place& place = parts_[static_cast<size_t>(part)].at(k);
  Chunk c{&sources_[place.source], {}};
  const Dataset& d = c.source->dataset;
  c.values.resize(values() * d.element_bytes);
  read_block(d, place.offset, c.source->block,
             d.element == Element::kFloat32 ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE, c.values.data());
  return c;
}

void TrainingData::write_samples(const std::string& path, const std::string& variable) const {
  const OutFile out(std::fopen(path.c_str(), "wb"));
  if (out == nullptr) fail("{} cannot be written; is its folder there?", path);
  Extents shape{count(Part::kLearn) + count(Part::kValidation)};
  shape.insert(shape.end(), sample_.begin(), sample_.end());
  write_header(out, shape, variable, path);
  std::vector<double> sample;
  std::vector<float> scaled(values());
  for (const Part part : {Part::kLearn, Part::kValidation}) {
    for (const Place& place : parts_[static_cast<size_t>(part)]) {
      (void)read(place, sample);
      for (size_t i = 0; i < sample.size(); ++i)
        scaled[i] = static_cast<float>((sample[i] - offset_) / scale_);
      put(out, scaled.data(), scaled.size() * sizeof(float), path);
    }
  }
  if (std::fflush(out.get()) != 0) fail("{} cannot be written; is the disk full?", path);
}

}  // namespace h5neural::tool

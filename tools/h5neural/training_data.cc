// training_data.cc: see training_data.h.
#include "training_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>

#include "compare.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

constexpr size_t kAxes = 3, kMostAxes = 4;  // of a sample; where any rank will do
constexpr uint64_t kMaxSampleValues = uint64_t{1}
                                      << 18;  // a model of whole chunks holds every mode at this size
constexpr double kNorm = 4;  // of a sample after scaling, root mean square over all samples; see Survey

// A dataset to learn from.
struct Source {
  Handle file;
  Dataset dataset;
  Extents block;  // of one sample, in the dataset's own rank
};

// Sums over all samples. Scaling brings them to a norm of about kNorm: the latents of the trained model are
// multiples of 1/1024 between -32 and 32, so samples must neither reach 32 nor be small beside 1/1024.
struct Survey {
  uint64_t count = 0, left_out = 0;
  double sum = 0, sum_of_squares = 0;  // of means and of squares about `pivot`, per value
  double pivot = 0;
  std::vector<double> ranges;
};

// Axes of length 1 at any place say nothing; samples have three others, or 1 to 4 with `any_rank`.
Extents sample_shape(const Source& s, bool any_rank) {
  Extents shape;
  std::copy_if(s.block.begin(), s.block.end(), std::back_inserter(shape), [](hsize_t n) { return n > 1; });
  if (any_rank && (shape.empty() || shape.size() > kMostAxes)) {
    fail("{}: its chunks {} have {} axes longer than 1, and models learn chunks with 1 to {}; give --chunk",
         s.dataset.path, extents_text(s.block), shape.size(), kMostAxes);
  }
  if (!any_rank && shape.size() != kAxes) {
    fail(
        "{}: its chunks {} have {} axes longer than 1, and models learn chunks with 3; give --chunk, such as "
        "--chunk 1,32,32,32 for a dataset of rank 4",
        s.dataset.path, extents_text(s.block), shape.size());
  }
  uint64_t values = 1;
  for (const hsize_t n : shape) values *= n;
  if (values > kMaxSampleValues) {
    fail("{}: its chunks {} hold {} values, and a model of whole chunks at most {}; give --chunk",
         s.dataset.path, extents_text(s.block), values, kMaxSampleValues);
  }
  return shape;
}

Source open_source(const Target& target, const Extents& shape) {
  const std::string& path = target.dataset;
  Source s{open_file(target.file), {}, shape};
  s.dataset = open_dataset(s.file, list_datasets(s.file, target).front());
  const Dataset& d = s.dataset;
  if (d.element == Element::kOther) {
    fail("{}:{} holds {}; models learn from float32 and float64", target.file, path, d.type_text);
  }
  if (shape.empty()) s.block = d.chunk;
  if (s.block.empty())
    fail("{}:{} is not chunked; say how it is to be cut: --chunk Z,Y,X", target.file, path);
  if (s.block.size() != d.extents.size()) {
    fail("{}:{} has rank {}, and --chunk {} axes; give one number for each axis", target.file, path,
         d.extents.size(), s.block.size());
  }
  if (std::find(s.block.begin(), s.block.end(), 0) != s.block.end())
    fail("--chunk has a 0; give extents above 0");
  return s;
}

std::vector<Source> open_sources(const std::vector<std::string>& targets, const Extents& shape,
                                 bool any_rank) {
  std::vector<Source> sources;
  for (const std::string& text : targets) {
    const Target target = parse_target(text);
    if (target.dataset.empty()) {
      fail("{}: say which dataset to learn from, as {}:/dataset; `h5neural info {}` lists them", text, text,
           text);
    }
    sources.push_back(open_source(target, shape));
  }
  const Extents first = sample_shape(sources[0], any_rank);
  for (const Source& s : sources) {
    if (sample_shape(s, any_rank) == first) continue;
    fail("{} has chunks {} and {} has {}; one model learns chunks of one size: give --chunk",
         sources[0].dataset.path, extents_text(sources[0].block), s.dataset.path, extents_text(s.block));
  }
  return sources;
}

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

// Calls `use` with the values of every sample. Chunks at the edge are smaller and left out, as are those with
// values that are none.
uint64_t each_sample(const std::vector<Source>& sources,
                     const std::function<void(std::span<const double>)>& use) {
  uint64_t left_out = 0;
  std::vector<double> values;
  for (const Source& s : sources) {
    const double fill = fill_of(s.dataset);
    for (Extents offset; next_block(s.dataset.extents, s.block, offset);) {
      const Extents size = clip_block(s.dataset.extents, s.block, offset);
      uint64_t n = 1;
      for (const hsize_t e : size) n *= e;
      values.resize(n);
      bool whole = size == s.block;
      if (whole) read_block(s.dataset, offset, size, H5T_NATIVE_DOUBLE, values.data());
      whole = whole && std::all_of(values.begin(), values.end(),
                                   [fill](double v) { return std::isfinite(v) && v != fill; });
      if (whole) {
        use(values);
      } else {
        ++left_out;
      }
    }
  }
  return left_out;
}

Survey make_survey(const std::vector<Source>& sources) {
  Survey s;
  s.left_out = each_sample(sources, [&s](std::span<const double> values) {
    if (s.count == 0) s.pivot = values[0];
    double sum = 0, squares = 0;
    for (const double v : values) {
      sum += v - s.pivot;
      squares += (v - s.pivot) * (v - s.pivot);
    }
    const auto n = static_cast<double>(values.size());
    s.sum += sum / n;
    s.sum_of_squares += squares / n;
    s.ranges.push_back(range_of<double>(values, std::nullopt));
    ++s.count;
  });
  return s;
}

struct CloseFile {
  void operator()(std::FILE* f) const { (void)std::fclose(f); }
};
using OutFile = std::unique_ptr<std::FILE, CloseFile>;

void put(const OutFile& out, const void* bytes, size_t n, const std::string& path) {
  if (std::fwrite(bytes, 1, n, out.get()) != n) fail("{} cannot be written; is the disk full?", path);
}

// safetensors: the length of a JSON text, the text, the values.
void write_header(const OutFile& out, const TrainingData& data, const std::string& variable,
                  const std::string& path) {
  Extents shape{data.count};
  shape.insert(shape.end(), data.sample.begin(), data.sample.end());
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

TrainingData write_training_data(const std::vector<std::string>& targets, const Extents& shape,
                                 const std::string& variable, const std::string& path, bool any_rank) {
  const std::vector<Source> sources = open_sources(targets, shape, any_rank);
  Survey survey = make_survey(sources);
  TrainingData data;
  data.sample = sample_shape(sources[0], any_rank);
  data.count = survey.count;
  data.left_out = survey.left_out;
  if (survey.count == 0) {
    fail(
        "none of the {} chunks is whole and without NaN, Inf and fill values; give --chunk smaller than the "
        "holes",
        survey.left_out);
  }
  uint64_t values = 1;
  for (const hsize_t n : data.sample) values *= n;
  const auto count = static_cast<double>(survey.count);
  const double mean = survey.sum / count;
  const double variance = survey.sum_of_squares / count - mean * mean;
  if (!(variance > 0)) fail("all samples are constant; there is nothing to learn");
  data.offset = survey.pivot + mean;
  data.scale = std::sqrt(variance * static_cast<double>(values)) / kNorm;
  std::nth_element(survey.ranges.begin(), survey.ranges.begin() + static_cast<int64_t>(survey.count / 2),
                   survey.ranges.end());
  data.median_range = survey.ranges[survey.count / 2];

  const OutFile out(std::fopen(path.c_str(), "wb"));
  if (out == nullptr) fail("{} cannot be written; is its folder there?", path);
  write_header(out, data, variable, path);
  std::vector<float> scaled(values);
  each_sample(sources, [&](std::span<const double> sample) {
    for (size_t i = 0; i < sample.size(); ++i) {
      scaled[i] = static_cast<float>((sample[i] - data.offset) / data.scale);
    }
    put(out, scaled.data(), scaled.size() * sizeof(float), path);
  });
  if (std::fflush(out.get()) != 0) fail("{} cannot be written; is the disk full?", path);
  return data;
}

}  // namespace h5neural::tool

// training_data.h: the chunks of a training: which datasets they come from, which are learned from and which
// are kept apart, and their samples, brought to one size and scale, in a safetensors file. Knows HDF5; knows
// of learning only what its samples must look like.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "hdf5_file.h"

namespace h5neural::tool {

// A dataset to learn from, cut into blocks.
struct TrainingSource {
  std::string file;
  Dataset dataset;
  Extents block;  // of one chunk, in the dataset's own rank
};

// The datasets of the inputs (FILE:/dataset, or FILE: those of its float datasets whose chunks are alike).
// `shape` replaces the datasets' own chunks where it is not empty. All have chunks of one size, axes of one
// point aside. What is left out of a FILE is said on stderr. Throws ToolError.
std::vector<TrainingSource> open_training_sources(const std::vector<std::string>& inputs,
                                                  const Extents& shape);

// Why models cannot learn from such chunks, as "has chunks ..."; empty when they can.
std::string why_not_learned(const TrainingSource& source);

// A block without its axes of one point: what a model sees. [Z, Y, X], or as many axes as there are.
Extents sample_extents(const Extents& block);

enum class SplitBy { kAny, kTime, kSource };
enum class Part { kLearn, kValidation, kTest };

class TrainingData {
 public:
  // Looks at every chunk, at most `most` of them, evenly chosen. Twenty groups of chunks, 16 to learn from, 3
  // to choose by and 1 to report on, are drawn by `seed`: successive time steps (along the first axis), or
  // whole files where there are so many; else successive chunks. Throws ToolError.
  TrainingData(std::vector<TrainingSource> sources, SplitBy by, uint64_t seed, uint64_t most);

  uint64_t count(Part part) const { return parts_[static_cast<size_t>(part)].size(); }
  uint64_t count() const;
  const Extents& sample() const { return sample_; }
  uint64_t values() const;                             // of a sample
  uint64_t raw_bytes() const;                          // of a chunk of the first source
  uint64_t chunks_in_all() const { return all_; }      // that the sources have, edges included
  uint64_t left_out() const { return left_out_; }      // with NaN, Inf or fill values, and those at the edge
  double offset() const { return offset_; }            // what is subtracted from every value of a sample
  double scale() const { return scale_; }              // what it is then divided by
  double median_range() const { return range_; }       // of the chunks, in the data's unit
  const std::string& split() const { return split_; }  // a few words
  const std::vector<TrainingSource>& sources() const { return sources_; }

  // Chunk `k` of a part: its values in native order, C order.
  struct Chunk {
    const TrainingSource* source;
    std::vector<uint8_t> values;
  };
  Chunk chunk(Part part, uint64_t k) const;

  // The samples as float32 array `variable` of shape [count, sample...]: those to learn from, then
  // `validation`, those of the validation. The same data give the same bytes. Throws ToolError.
  void write_samples(const std::string& path, const std::string& variable) const;

 private:
  struct Place {
    size_t source;
    Extents offset;
  };
  std::vector<Place> places(uint64_t most);
  void survey(std::vector<Place>& all);
  void divide(const std::vector<Place>& all, SplitBy by, uint64_t seed);
  std::vector<size_t> groups_of_time(const std::vector<Place>& all) const;
  std::vector<size_t> groups_of_files(const std::vector<Place>& all, size_t files) const;
  bool read(const Place& place, std::vector<double>& values) const;

  std::vector<TrainingSource> sources_;
  std::vector<Place> parts_[3];
  Extents sample_;
  uint64_t all_ = 0, left_out_ = 0;
  double offset_ = 0, scale_ = 1, range_ = 0;
  std::string split_;
};

}  // namespace h5neural::tool

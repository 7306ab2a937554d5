// training_data.h: the samples of a training: chunks of HDF5 datasets, brought to one size and scale, in a
// safetensors file. Knows HDF5; knows of learning only what its samples must look like.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "hdf5_file.h"

namespace h5neural::tool {

struct TrainingData {
  Extents sample;           // [Z, Y, X], or as many axes as were asked for
  uint64_t count = 0;       // samples written
  uint64_t left_out = 0;    // chunks with NaN, Inf or fill values, and those at the edge
  double offset = 0;        // what was subtracted from every value, in the data's unit
  double scale = 1;         // what they were then divided by
  double median_range = 0;  // of the samples, in the data's unit
};

// The chunks of the targets (FILE:/dataset) as float32 array `variable` of shape
// [count, Z, Y, X], or with any number of axes from 1 to 4 where `any_rank`. `shape` replaces the datasets'
// own chunks where it is not empty. Reads every dataset twice and holds one chunk in memory. The same
// arguments give the same bytes. Throws ToolError.
TrainingData write_training_data(const std::vector<std::string>& targets, const Extents& shape,
                                 const std::string& variable, const std::string& path, bool any_rank = false);

}  // namespace h5neural::tool

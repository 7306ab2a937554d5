// train_linear.h: training of family `linear`. No LibTorch.
#pragma once
#include <cstdint>
#include <string>

namespace h5neural::learn {

struct LinearOptions {
  std::string
      data;  // safetensors file of float32 arrays [count, ...], as training_data.cc of the tools writes it
  std::string variable;        // the array in it
  std::string out;             // weights file to write; its card goes beside it with the suffix .md
  std::string name;            // of the weights, for people
  std::string about;           // a sentence on the data, for the card
  std::string command;         // as typed, for the card
  std::string form = "chunk";  // chunk: one vector of latents for a chunk; block: one for each block
  std::string block;           // extents of a block, "8,8,8"; empty: 8 along each axis
  uint32_t mode = 1;           // H5N_ABS, H5N_REL, H5N_PSNR or H5N_NRMSE
  double bound = 0;            // in the unit of the array
  uint64_t modes = 0;          // basis fields; 0: as many as pay
  uint64_t chunks = 0;         // over how many chunks the weights are spread; 0: those to learn from
  uint64_t validation = 0;     // the last so many samples are only chosen by; 0: three of twenty
  double seconds = 600;        // about; what is best by then is taken
  std::string from;            // weights of this family whose basis counts as much as the samples
  std::string curve;           // file for the rows of what was tried, for a report; empty: none
  uint64_t seed = 0;
};

// Throws std::runtime_error or Failure with a sentence.
void train_linear(const LinearOptions& options);

}  // namespace h5neural::learn

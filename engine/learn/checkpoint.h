// checkpoint.h: the state of a training run as a safetensors file: parameters, Adam's moments, and how far it
// is. No pickle: nothing in it can execute.
#pragma once
#include <torch/torch.h>

#include <map>
#include <string>

namespace h5neural::learn {

struct Progress {
  int64_t step = 0;
  double seconds = 0;   // spent in the loop, over all runs
  double best = 1e300;  // smallest validation loss so far in this stage
  int64_t stale = 0;    // evaluations since
  int64_t stage = 0;
  std::string curve;  // lines of the card: seconds, training loss, validation loss
};

void save_checkpoint(const std::string& path, const torch::nn::Module& net,
                     const std::map<std::string, torch::Tensor>& best, torch::optim::Adam& adam,
                     const Progress& progress, const std::string& run);
// False when there is no such file. Throws std::runtime_error when it belongs to another run (other options).
bool load_checkpoint(const std::string& path, torch::nn::Module& net,
                     std::map<std::string, torch::Tensor>& best, torch::optim::Adam& adam, Progress& progress,
                     const std::string& run);

}  // namespace h5neural::learn

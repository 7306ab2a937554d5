// train.h: the trainings, and the loop that they share. Interface without LibTorch.
#pragma once
#include "exact/backend.h"
#include "learn/options.h"

namespace h5neural::learn {

// Each reads options.data, trains, writes options.out and its card. Throws std::runtime_error with a
// sentence.
void train_chunk(const Options& options);
void train_block(const Options& options);
void train_three_branch(const Options& options);
void train_corrections(const Options& options);
void train_frames(const Options& options);
void train_latents(const Options& options);  // vae, contextual, dcae, diffusion

// Runs the known program through LibTorch and compares with the scalar backend. True when all bits agree.
bool selftest();
// The same for one of LibTorch's backends (exact/backends/torch/torch.h).
bool selftest(const Backend& torch);

}  // namespace h5neural::learn

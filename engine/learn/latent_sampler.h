// latent_sampler.h: the steps of a generation of latents: how noisy they are at each, and the numbers of the
// integer sampler, x_next = A x + B (what the network takes for the latents) + C noise. No LibTorch.
//
// Noise by the cosine schedule (Nichol and Dhariwal, "Improved denoising diffusion probabilistic models",
// 2021); `noise` "none": deterministic steps (Song, Meng and Ermon, "Denoising diffusion implicit models",
// 2021); "ancestral": those of Ho, Jain and Abbeel, 2020.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace h5neural::learn {

struct SamplerStep {
  double signal = 0, noise = 1;  // x = signal * latents + noise * their usual size * a normal number
  double a = 0, b = 1, c = 0;    // c: in units of the usual size
  std::vector<double> level;     // says to the network which step it is; from -1 to 1
};

// One step alone is plain regression: it starts from nothing, and the network's result is the latents.
std::vector<SamplerStep> sampler_steps(int64_t count, const std::string& noise, int64_t level_channels);

}  // namespace h5neural::learn

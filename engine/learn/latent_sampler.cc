// latent_sampler.cc: see latent_sampler.h.
#include "learn/latent_sampler.h"

#include <algorithm>
#include <cmath>

namespace h5neural::learn {
namespace {

constexpr double kOffset = 0.008;

// The share of the latents' energy at time t, from 1 (t = 0) to 0 (t = 1).
double kept(double t) {
  const auto wave = [](double at) {
    return std::pow(std::cos((at + kOffset) / (1 + kOffset) * M_PI / 2), 2);
  };
  return std::clamp(wave(t) / wave(0), 0.0, 1.0);
}

std::vector<double> level_of(double t, int64_t channels) {
  std::vector<double> v;
  for (int64_t k = 0; k < channels; ++k) {
    const double turns = std::ldexp(t, static_cast<int>(k / 2)) * M_PI / 2;
    v.push_back(k % 2 == 0 ? std::cos(turns) : std::sin(turns));
  }
  return v;
}

}  // namespace

std::vector<SamplerStep> sampler_steps(int64_t count, const std::string& noise, int64_t level_channels) {
  std::vector<SamplerStep> steps;
  for (int64_t k = 0; k < count; ++k) {
    const double t = 1 - static_cast<double>(k) / static_cast<double>(count);
    const double now = kept(t), next = kept(t - 1 / static_cast<double>(count));
    SamplerStep s;
    s.signal = std::sqrt(now);
    s.noise = count == 1 ? 0 : std::sqrt(1 - now);
    s.level = level_of(t, level_channels);
    if (count > 1 && noise == "none") {
      s.a = std::sqrt((1 - next) / (1 - now));
      s.b = std::sqrt(next) - s.a * std::sqrt(now);
    } else if (count > 1) {
      const double fresh = 1 - now / next;  // variance that this step takes away
      s.a = std::sqrt(1 - fresh) * (1 - next) / (1 - now);
      s.b = std::sqrt(next) * fresh / (1 - now);
      s.c = std::sqrt((1 - next) / (1 - now) * fresh);
    }
    steps.push_back(std::move(s));
  }
  return steps;
}

}  // namespace h5neural::learn

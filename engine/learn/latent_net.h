// latent_net.h: series of frames as grids of latents, as they are trained: encoder, decoder, hyperprior, what
// is expected of latents from those before and from the frame seen before, and the generator of groups in
// between. Families vae, contextual, dcae and diffusion are shapes of this one network. LibTorch; included in
// few files. The integer side is engine/models/latent_frames.h.
//
// Sources: scale hyperprior (Balle, Minnen, Singh, Hwang and Johnston, 2018); conditioning on the frame
// before (Li, Li and Lu, "Deep contextual video compression", 2021); latents that saturate, and their
// emulation (Rozet et al., "Lost in latent space", 2025); x_0 prediction (Ho, Jain and Abbeel, 2020).
#pragma once
#include <torch/torch.h>

#include <string>
#include <vector>

#include "learn/conv_layer.h"

namespace h5neural::learn {

// Activations: multiples of kLatentGrid up to kLatentLimit of them.
constexpr double kLatentGrid = 1.0 / 256;
constexpr int64_t kLatentLimit = 16383;
constexpr int64_t kLatentGains = 7;
constexpr double kSaturation = 5;        // |latents| stay below it where they saturate
constexpr int64_t kHyperMost = 63;       // of a hyper-latent in size
constexpr double kSpreadUnit = 1.0 / 8;  // a code of the spread, in what the network says of it
// A hyper-latent of 1 in the programs' integers.
constexpr int64_t kHyperStep = 256;

struct LatentShape {
  int64_t window = 1;     // frames of a group
  int64_t stages = 3;     // a cell has 2^stages points along each axis
  int64_t channels = 32;  // latents of a cell
  int64_t hyper = 4;      // cells along each axis that share hyper-latents; 0: none
  int64_t memory = 0;     // groups before whose latents are seen
  int64_t motion = 0;     // points of a block that is displaced; 0: no frame is seen
  int64_t every = 1;      // of so many groups one has latents in the payload
  int64_t samples = 1;    // steps of a generation
  bool saturated = false;
  double width = 1;  // times the usual numbers of channels

  static constexpr int64_t kHyperChannels = 16, kLevelChannels = 8;
  static constexpr int64_t kEncoderHalo = 1, kHyperHalo = 2, kMemoryHalo = 4, kSeenHalo = 3,
                           kGeneratorHalo = 5;
  static constexpr int64_t kNear = 5;  // points of the linear prediction from the seen frame, along each axis
  static constexpr int64_t kDetail = 4;  // points of the look at the seen frame at half resolution
  int64_t step() const { return int64_t{1} << stages; }
  double latent_unit() const { return saturated ? 1.0 / 2048 : kLatentGrid; }
  double latent_limit() const { return latent_unit() * static_cast<double>(kLatentLimit); }
  // Cells of 2^level points around a tile: of what its layers make, and of what they take.
  int64_t result_margin(int64_t level) const;
  int64_t input_margin(int64_t level) const { return result_margin(level) + 1; }
  int64_t decoder_halo() const { return input_margin(stages) + 1; }
  int64_t decoder_channels(int64_t level) const;  // of cells of 2^level points
  int64_t encoder_channels(int64_t level) const;
  int64_t widened(int64_t channels) const;
  int64_t hyper_levels() const;  // halvings between latents and hyper-latents
};

class LatentNet : public torch::nn::Module {
 public:
  // `bins`: kLatentGains of them, growing, in deviations of the field.
  LatentNet(const LatentShape& shape, std::vector<double> bins);

  // Starts from the linear transform of cells that keeps most of their energy (Karhunen and Loeve): `cells`
  // [N, window * step^2], of frames or, where one is seen, of what frames differ by.
  void start_from(const torch::Tensor& cells);

  // x: [B, window, (K + 2) step...], in deviations; seen: [B, 1, the same] -> latents [B, C, K...].
  torch::Tensor encode(const torch::Tensor& x, const torch::Tensor& seen, bool quantise) const;
  // latents [B, C, K...] -> [B, window, K step...]. Beyond the grid latents are 0, the seen frame is
  // mirrored.
  torch::Tensor decode(const torch::Tensor& latents, const torch::Tensor& seen, bool quantise) const;
  // Latents -> hyper-latents [B, Z, K / hyper...], not rounded.
  torch::Tensor hyper_encode(const torch::Tensor& latents, bool quantise) const;

  // What is known before a group's latents are: what is missing is left undefined.
  struct Known {
    torch::Tensor hyper, memory, seen;  // [B, Z, K / hyper...], [B, memory * C, K...], [B, 1, K step...]
  };
  struct Expected {
    torch::Tensor mean,
        spread;  // [B, C, K...]; four times the binary logarithm of the deviation, in latent units
  };
  Expected prior(const Known& known, bool quantise) const;

  // One step of a generation: x [B, (every - 1) C, K...], the latents at both ends [B, 2 C, K...], level
  // [level channels] -> the latents in between.
  torch::Tensor generate(const torch::Tensor& x, const torch::Tensor& ends, const torch::Tensor& level,
                         bool quantise) const;

  torch::Tensor steps(int64_t gain, bool quantise) const;  // [1, C, 1, 1]
  torch::Tensor hyper_spread(bool quantise) const;  // [Z], as Expected::spread, in multiples of kLatentGrid
  // Bits of numbers v, in steps from what was expected, at these spreads.
  static torch::Tensor bits(const torch::Tensor& v, const torch::Tensor& spread, double unit,
                            const torch::Tensor& step);
  static torch::Tensor spreads_of(const torch::Tensor& deviation);  // in units -> spreads

  LatentShape shape;
  std::vector<double> bins;
  struct Down {
    Conv in, first, second;  // of half the resolution, then a residual pair
  };
  std::vector<Down> down;
  Conv stem_seen, head, analysis, analysis_seen;
  Conv first, same;  // of the decoder, at the cells
  struct Up {
    Conv up, same;  // to twice the resolution; no `same` at the points
  };
  std::vector<Up> up;  // from coarse to fine
  Conv synthesis;
  Conv seen_coarse, seen_detail, seen_near;
  std::vector<Conv> hyper_down;
  Conv hyper_in;
  std::vector<Conv> hyper_up;
  std::vector<Conv> remember;  // of earlier latents
  Conv remember_linear;
  std::vector<Conv> look;  // at the seen frame
  Conv mean, spread;
  Conv from_x, from_ends, from_level, generated, between;
  std::vector<Conv> denoise;

 private:
  Conv make(const std::string& name, int64_t in, int64_t out, int64_t kernel, int64_t stride = 1,
            int64_t padding = 0, bool transposed = false);
  Conv identity(const std::string& name, int64_t channels);
  void make_encoder();
  void make_decoder();
  void make_prior();
  void make_generator();
  torch::Tensor rounded(const torch::Tensor& latents, bool quantise) const;

  torch::Tensor log_step_;    // [gains, C]
  torch::Tensor hyper_size_;  // [Z]
};

// x without `margin` points at each side; x with `margin` mirrored ones (... 1 0 0 1 ...).
torch::Tensor without_margin(const torch::Tensor& x, int64_t margin);
torch::Tensor with_mirrored_margin(const torch::Tensor& x, int64_t margin);

}  // namespace h5neural::learn

// three_branch_net.h: the three-branch autoencoder as it is trained, for fields of rank 2 and 3: encoder,
// decoder, steps of the latents for each gain, and the model of what latents cost. LibTorch; included in few
// files. The integer side of all of it is engine/models/three_branch.h.
#pragma once
#include <torch/torch.h>

#include <string>
#include <vector>

#include "learn/conv_layer.h"
#include "learn/corrections_cost.h"
#include "learn/nets.h"

namespace h5neural::learn {

constexpr int64_t kGainCount = 7;
// Of the first gain, in deviations of the field; each next one is twice it.
constexpr double kFinestBin = 0.03;
inline double gain_bin(int64_t gain) { return std::ldexp(kFinestBin, static_cast<int>(gain)); }
// Latents and activations: multiples of 1/256 up to 64.
constexpr double kGridUnit = 1.0 / 256;
constexpr int64_t kGridLimit = 16383;

struct ThreeBranchShape {
  int64_t rank = 3, stages = 2, channels = 8, tile = 8;
  bool spectrum = true;  // all three branches, or the spatial one alone
  bool adaptive = true;  // a step for each channel and gain, or one for each gain
  static constexpr int64_t kEncoderHalo = 1, kDecoderHalo = 2;
  int64_t step() const { return int64_t{1} << stages; }
  int64_t window() const { return (tile + 2 * kEncoderHalo) * step(); }  // points of a tile with its halo
};

class ThreeBranchNet : public torch::nn::Module {
 public:
  explicit ThreeBranchNet(const ThreeBranchShape& shape);

  // Starts from the linear transform of cells that keeps most of their energy (Karhunen and Loeve): `blocks`
  // [N, step^rank], cells of fields in deviations.
  void start_from(const torch::Tensor& blocks);

  // x: [B, 1, window...], in deviations -> latents [B, C, tile...].
  torch::Tensor encode(const torch::Tensor& x, bool quantise);
  // latents [B, C, cells...] -> [B, 1, cells * step...]; beyond the grid latents are 0.
  torch::Tensor decode(const torch::Tensor& z, bool quantise);
  // Steps of one gain [1, C, 1...], whole multiples of kGridUnit where `quantise`.
  torch::Tensor steps(int64_t gain, bool quantise);
  // Bits of latents y [B, C, cells...], in steps: under Laplace distributions about a prediction from the
  // neighbours before, as wide as the differences around were (LatentContexts).
  torch::Tensor bits(const torch::Tensor& y, int64_t gain, bool quantise);

  torch::Tensor spreads() const;  // [C, N + 2], [gains, C]: above 0, as LatentContexts has them
  torch::Tensor floors() const;

  // log(1 + |F|) / 8 and phase / pi of x, as engine/models/spectrum.h.
  static std::vector<torch::Tensor> spectrum(const torch::Tensor& x, int64_t rank);

  ThreeBranchShape shape;
  struct Branch {  // a stem of stride 2, then stages of a convolution of stride 2 and a residual block
    std::vector<Conv> down;
    std::vector<std::pair<Conv, Conv>> residual;  // after down[k]; none in branches of the spectrum
    Conv fuse;                                    // 1x1
  };
  std::vector<Branch> branches;
  Conv head;
  std::vector<Conv> decoder;
  // Beside the networks, added to what they give: linear transforms of overlapping windows.
  Conv analysis, synthesis;
  torch::Tensor log_step;       // [gains, C or 1]
  torch::Tensor predict;        // [C, N]
  torch::Tensor spread, floor;  // of spreads(), floors()

 private:
  Conv make(const std::string& name, int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding,
            bool transposed = false);
  Branch make_branch(const std::string& name, std::vector<int64_t> widths, bool residual);
  torch::Tensor run_branch(const Branch& b, torch::Tensor x, bool quantise) const;
};

}  // namespace h5neural::learn

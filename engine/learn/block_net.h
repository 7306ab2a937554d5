// block_net.h: the networks of the form `blocks` of SWAE: MLP, convolutions, convolutions with batch norm,
// and the small network that says what a block's neighbours suggest of its latents. They compute as the
// exported program will: weights and activations are rounded all through training. LibTorch.
#pragma once
#include <torch/torch.h>

#include <array>
#include <string>
#include <vector>

#include "learn/export.h"
#include "learn/start.h"

namespace h5neural::learn {

// Units and limits of the programs' numbers.
constexpr double kBlockValueUnit = 1.0 / 8192, kBlockLatentUnit = 1.0 / 1024, kBlockHiddenUnit = 1.0 / 256;
constexpr int64_t kBlockValueLimit = 16383, kBlockLatentLimit = 16383, kBlockHiddenLimit = 4095;

enum class Precision : uint8_t {
  kInt8,
  kInt16,
  kFp8  // E4M3 (Micikevicius et al., FP8 Formats for Deep Learning, 2022), carried by 16-bit integers
};

// Numbers that a layer reads or makes: multiples of `unit`, `low` to `high` of them.
struct Numbers {
  double unit = 1;
  int64_t low = 0, high = 0;
};
constexpr Numbers kBlockHidden{kBlockHiddenUnit, 0, kBlockHiddenLimit};

// A linear layer, a convolution or a transposed convolution; batch norm; then rounding and clipping, which
// is ReLU where the lowest number is 0. Spatial axes are always three, outer ones of extent 1.
class BlockLayerImpl : public torch::nn::Module {
 public:
  enum class Kind : uint8_t { kLinear, kConv, kTransposed };
  using Axes = std::array<int64_t, 3>;
  struct Geometry {
    Kind kind = Kind::kLinear;
    int64_t channels = 0, outputs = 0;  // linear: inputs, outputs
    Axes in{1, 1, 1}, out{1, 1, 1}, kernel{1, 1, 1}, stride{1, 1, 1};
    int64_t before(size_t axis) const { return kernel[axis] / 2; }
    int64_t after(size_t axis) const;
  };
  BlockLayerImpl(const Geometry& g, Numbers in, Numbers out, Precision precision, bool batch_norm);

  // [B, channels, Z, Y, X], or [B, channels] for a linear layer. While `learning` statistics, weights stay
  // real and batch norm follows the batch; otherwise it is folded into them (Jacob et al., Quantization and
  // Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, 2018).
  torch::Tensor forward(const torch::Tensor& x, bool learning);
  // Appends operations that compute it from value x.
  int store(ProgramWriter& p, int x);
  // What `store` wrote, as real weights again; false where the layer is another.
  bool load(const StoredLayer& stored);

  const Geometry& geometry() const { return g_; }

 private:
  struct Folded {
    torch::Tensor weight, bias;
  };
  Folded folded() const;
  torch::Tensor apply(const torch::Tensor& x, const torch::Tensor& w, const torch::Tensor& b) const;
  // [outputs, -1] of a weight, and the unit of each output's weights: [outputs].
  torch::Tensor rows(const torch::Tensor& w) const;
  torch::Tensor units(const Folded& f) const;
  torch::Tensor in_units(const torch::Tensor& w, const torch::Tensor& units) const;  // rounded, whole numbers
  torch::Tensor per_output(const torch::Tensor& t, const torch::Tensor& like) const;

  Geometry g_;
  Numbers in_, out_;
  Precision precision_;
  torch::Tensor weight, bias;          // of the layer
  torch::Tensor gain, mean, variance;  // of batch norm; its shift is `bias`
};
TORCH_MODULE(BlockLayer);

struct BlockNetShape {
  std::string net = "mlp";  // mlp, conv, conv-bn
  std::array<int64_t, 3> block{5, 5, 5};
  int64_t axes = 3;  // how many of the block's are its own; outer ones are of one point
  int64_t latents = 16;
  double width = 1;  // times the published numbers of channels or hidden units
  Precision precision = Precision::kInt8;
  bool logarithm = false;      // pos_log
  bool folded = false;         // conv-bn: the batch norm is in the weights already
  std::vector<int64_t> sizes;  // of the hidden layers or levels; empty: by `width`
  int64_t points() const { return block[0] * block[1] * block[2]; }
  int64_t size(size_t layer, int64_t published) const;  // of a hidden layer or level
  int64_t neighbour() const { return latents + 3; }     // inputs of the context network for each
};

class BlockNet : public torch::nn::Module {
 public:
  explicit BlockNet(const BlockNetShape& shape);

  // Sets the linear layers to the KLT of blocks [N, points], and the last layers of the networks to 0.
  // Returns what the coefficients were multiplied by to make latents.
  double start_from_klt(torch::Tensor x);
  // Takes the networks of a weights file; false where it holds others.
  bool start_from(const StartingWeights& weights);
  torch::Tensor encode(torch::Tensor x);         // [B, points] -> [B, K]
  torch::Tensor decode(const torch::Tensor& z);  // [B, K] -> [B, points]
  struct Suggestion {
    torch::Tensor mean, spread;  // [B, K]; standard deviation
  };
  Suggestion context(const torch::Tensor& neighbours);  // [B, axes * (K + 3)]

  bool learning = false;  // batch norm's statistics
  bool has_batch_norm() const { return shape_.net == "conv-bn" && !shape_.folded; }
  const BlockNetShape& shape() const { return shape_; }
  // Adds the programs `encode`, `decode` and `context`.
  void store(WeightsWriter& w);

 private:
  void make_mlp();
  void make_conv();
  torch::Tensor values_in(const torch::Tensor& x) const;  // as the first layer takes them
  void add(std::vector<BlockLayer>& to, const BlockLayerImpl::Geometry& g, Numbers in, Numbers out,
           bool norm);
  torch::Tensor run(std::vector<BlockLayer>& layers, torch::Tensor x) const;
  std::string encode_program(WeightsWriter& w);
  std::string decode_program(WeightsWriter& w);
  std::string context_program(WeightsWriter& w);
  // Hands the layers of a program, in its order, to the straight layer and the network beside it.
  static bool load_layers(const std::vector<StoredLayer>& stored, BlockLayer& straight,
                          std::vector<BlockLayer>& layers);
  static int store_layers(ProgramWriter& p, std::vector<BlockLayer>& layers, int x);

  BlockNetShape shape_;
  std::vector<BlockLayer> encoder_, decoder_;
  BlockLayer straight_encoder_{nullptr}, straight_decoder_{nullptr};
  BlockLayer hidden_{nullptr}, mean_{nullptr}, spread_{nullptr};
};

// The shape of the networks in a weights file of form `blocks`; all other choices are those of `shape`.
BlockNetShape shape_of(const StartingWeights& weights, BlockNetShape shape);

}  // namespace h5neural::learn

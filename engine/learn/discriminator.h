// discriminator.h: adversarial training: a small network that learns to tell decoded frames from true ones,
// patch by patch, and what decoded frames lose by being told. It is trained beside a network and never
// exported. LibTorch.
//
// Sources: learned compression with a discriminator on patches (Mentzer, Toderici, Tschannen and Agustsson,
// "High-fidelity generative image compression", 2020; patches: Isola, Zhu, Zhou and Efros, 2017); hinge loss
// (Lim and Ye, "Geometric GAN", 2017).
#pragma once
#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "learn/conv_layer.h"

namespace h5neural::learn {

class Discriminator : public torch::nn::Module {
 public:
  explicit Discriminator(int64_t channels);

  // One step of its own Adam on `real` and `made`, both [B, channels, Y, X]: towards more than 1 for the
  // first, less than -1 for the other.
  void learn(const torch::Tensor& real, const torch::Tensor& made);
  // What `made` is to lose: its score, negative, in the mean. The discriminator itself stays as it is.
  torch::Tensor loss(const torch::Tensor& made) const;

 private:
  // [B, 1, patches...]; `frozen`: gradients reach x only.
  torch::Tensor score(const torch::Tensor& x, bool frozen) const;

  std::vector<Conv> layers_;
  std::unique_ptr<torch::optim::Adam> adam_;
};

}  // namespace h5neural::learn

// discriminator.cc: see discriminator.h.
#include "learn/discriminator.h"

namespace h5neural::learn {
namespace {

constexpr int64_t kWidths[] = {32, 64, 64};  // a patch is 22 points along each axis
constexpr double kRate = 4e-4, kLeak = 0.2;
constexpr std::pair<double, double> kBetas{0.5, 0.9};

}  // namespace

Discriminator::Discriminator(int64_t channels) {
  const torch::NoGradGuard no_grad;
  Conv c;
  c.rank = 2;
  c.stride = 2;
  c.padding = 1;
  int64_t in = channels;
  for (const int64_t out : kWidths) {
    layers_.push_back(
        make_conv(*this, std::string("c").append(std::to_string(layers_.size())), c, in, out, 4));
    in = out;
  }
  c.stride = 1;
  c.padding = 0;
  layers_.push_back(make_conv(*this, "score", c, in, 1, 1));
}

torch::Tensor Discriminator::score(const torch::Tensor& x, bool frozen) const {
  auto y = x;
  for (size_t k = 0; k < layers_.size(); ++k) {
    Conv c = layers_[k];
    if (frozen) c.weight = c.weight.detach(), c.bias = c.bias.detach();
    y = c(y, false);
    if (k + 1 < layers_.size()) y = torch::leaky_relu(y, kLeak);
  }
  return y;
}

void Discriminator::learn(const torch::Tensor& real, const torch::Tensor& made) {
  if (!adam_) {
    adam_ =
        std::make_unique<torch::optim::Adam>(parameters(), torch::optim::AdamOptions(kRate).betas(kBetas));
  }
  const auto hinge =
      torch::relu(1 - score(real, false)).mean() + torch::relu(1 + score(made.detach(), false)).mean();
  hinge.backward();
  adam_->step();
  // Nothing is left for the optimizer of the network beside which it stands.
  for (auto& p : parameters()) p.mutable_grad().reset();
}

torch::Tensor Discriminator::loss(const torch::Tensor& made) const { return -score(made, true).mean(); }

}  // namespace h5neural::learn

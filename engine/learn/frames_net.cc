// frames_net.cc: see frames_net.h.
#include "learn/frames_net.h"

#include <algorithm>
#include <sstream>
#include <string>

namespace h5neural::learn {
namespace {

torch::Tensor activation(const torch::Tensor& x) { return x.clamp(0, kFrameLimit * kFrameUnit); }

torch::Tensor crop(const torch::Tensor& x, int64_t margin) {
  if (margin == 0) return x;
  return x.narrow(2, margin, x.size(2) - 2 * margin).narrow(3, margin, x.size(3) - 2 * margin);
}

Conv layer(torch::nn::Module& net, const std::string& name, int64_t in, int64_t out, int64_t kernel,
           int64_t stride = 1, int64_t padding = 0, bool transposed = false) {
  Conv c;
  c.rank = 2;
  c.stride = stride;
  c.padding = padding;
  c.transposed = transposed;
  return make_conv(net, name, c, in, out, kernel);
}

// 3x3, begun as the identity with a little noise: deep chains of them learn at once.
Conv same(torch::nn::Module& net, const std::string& name, int64_t channels) {
  const torch::NoGradGuard no_grad;
  Conv c = layer(net, name, channels, channels, 3);
  c.weight.mul_(0.2);
  c.weight.select(2, 1).select(2, 1).add_(torch::eye(channels));
  return c;
}

}  // namespace

// The last layer, 4x4 and transposed, needs one cell around the frame.
int64_t FramesShape::result_margin(size_t level) const {
  if (level == 0) return 1;
  const int64_t finer = result_margin(level - 1) + levels[level - 1].after;
  return (finer + 1) / 2;
}

int64_t FramesShape::input_margin(size_t level) const {
  return result_margin(level) + levels[level].after + levels[level].before;
}

int64_t FramesShape::halo() const {
  int64_t h = kNear / 2;
  for (size_t k = 0; k < levels.size(); ++k) h = std::max(h, input_margin(k) * points(k));
  return h;
}

FramesNet::FramesNet(const FramesShape& s) : shape(s) {
  const torch::NoGradGuard no_grad;
  for (size_t k = 0; k < s.levels.size(); ++k) {
    const FramesShape::Level& l = s.levels[k];
    const auto named = [k](const char* part, int64_t i = 0) {
      std::ostringstream name;
      name << 'l' << k << part << i;
      return name.str();
    };
    Level level;
    level.in = layer(*this, named("in"), s.history, l.channels, s.points(k), s.points(k));
    for (int64_t i = 0; i < l.before; ++i)
      level.before.push_back(same(*this, named("before", i), l.channels));
    for (int64_t i = 0; i < l.after; ++i) level.after.push_back(same(*this, named("after", i), l.channels));
    if (k == 0) {
      level.up = layer(*this, named("up"), l.channels, 1, 4, 2, 3, true);
      level.up.weight.mul_(0.02);
    } else {
      const int64_t finer = s.result_margin(k - 1) + s.levels[k - 1].after;
      level.up = layer(*this, named("up"), l.channels, s.levels[k - 1].channels, 2, 2,
                       2 * s.result_margin(k) - finer, true);
      level.up.weight.mul_(0.5);
    }
    level.up.bits = 16;
    levels.push_back(level);
  }
  // Begun as the frame before: what a straight line adds to it is lost again in the noise of decoded frames.
  // Between two it is their mean.
  near = layer(*this, "near", s.history, 1, FramesShape::kNear);
  near.weight.zero_();
  const int64_t used = s.between ? s.history : 1;
  for (int64_t k = s.history - used; k < s.history; ++k)
    near.weight[0][k][FramesShape::kNear / 2][FramesShape::kNear / 2] = 1.0 / static_cast<double>(used);
  near.bits = 16;
}

torch::Tensor FramesNet::forward(const torch::Tensor& x, bool quantise) const {
  const int64_t halo = shape.halo();
  torch::Tensor coarser;
  for (size_t k = levels.size(); k-- > 0;) {
    const Level& l = levels[k];
    auto y = activation(l.in(crop(x, halo - shape.input_margin(k) * shape.points(k)), quantise));
    for (const Conv& c : l.before) y = activation(c(y, quantise));
    if (coarser.defined()) y = activation(y + coarser);
    for (const Conv& c : l.after) y = activation(c(y, quantise));
    coarser = l.up(y, quantise);
  }
  return coarser + near(crop(x, halo - FramesShape::kNear / 2), quantise);
}

}  // namespace h5neural::learn

// frames_export.cc: see frames_export.h.
#include "learn/frames_export.h"

#include "learn/conv_program.h"

namespace h5neural::learn {
namespace {

constexpr int64_t kInputLimit = 32767, kOutputLimit = 1 << 18;
constexpr double kPointUnit = 1.0 / kFramePoint;

// The frames with less and less of their margin, each cut from the one before.
class Cropped {
 public:
  Cropped(ConvProgram& p, int x, int64_t channels, int64_t margin)
      : p_(p), whole_(x), x_(x), channels_(channels), all_(margin), margin_(margin) {}
  int with_margin(int64_t margin) {
    if (margin > margin_) x_ = whole_, margin_ = all_;
    x_ = p_.crop(x_, channels_, margin_ - margin);
    margin_ = margin;
    return x_;
  }

 private:
  ConvProgram& p_;
  int whole_, x_;
  int64_t channels_, all_, margin_;
};

int activated(ConvProgram& p, int x, const Conv& c, double unit, int64_t most) {
  return p.conv(x, c, unit, static_cast<double>(most), kFrameUnit, 0, kFrameLimit);
}

std::string program(WeightsWriter& w, const std::string& name, const FramesNet& net, int64_t tile) {
  const FramesShape& s = net.shape;
  ConvProgram p(w, name + ".");
  Cropped frames(p, p.input(2, tile + 2 * s.halo(), s.history, kInputLimit), s.history, s.halo());
  int coarser = -1;
  for (size_t k = net.levels.size(); k-- > 0;) {
    const FramesNet::Level& l = net.levels[k];
    int y = activated(p, frames.with_margin(s.input_margin(k) * s.points(k)), l.in, kPointUnit, kInputLimit);
    for (const Conv& c : l.before) y = activated(p, y, c, kFrameUnit, kFrameLimit);
    if (coarser >= 0) y = p.clamp(p.add(y, coarser), 0, kFrameLimit);
    for (const Conv& c : l.after) y = activated(p, y, c, kFrameUnit, kFrameLimit);
    coarser = p.conv(y, l.up, kFrameUnit, kFrameLimit, k == 0 ? kPointUnit : kFrameUnit, -kOutputLimit,
                     kOutputLimit);
  }
  const int near = p.conv(frames.with_margin(FramesShape::kNear / 2), net.near, kPointUnit, kInputLimit,
                          kPointUnit, -kOutputLimit, kOutputLimit);
  return p.json(p.add(coarser, near));
}

}  // namespace

WeightsWriter frames_weights(const FramesNet& predict, const FramesNet* between, int64_t tile, bool periodic,
                             const std::string& name) {
  const torch::NoGradGuard no_grad;
  WeightsWriter w;
  w.metadata["program.predict"] = program(w, "predict", predict, tile);
  if (between != nullptr) w.metadata["program.between"] = program(w, "between", *between, tile);
  w.metadata["name"] = name;
  w.metadata["family"] = "frames";
  w.metadata["config"] = Json{{"rank", 2},           {"history", predict.shape.history},
                              {"tile", tile},        {"halo", predict.shape.halo()},
                              {"unit", kFramePoint}, {"periodic", periodic}}
                             .dump();
  return w;
}

}  // namespace h5neural::learn

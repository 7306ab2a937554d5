// geometry.cc: see geometry.h.
#include "corrections/geometry.h"

#include <unordered_map>

namespace h5neural {
namespace {

// Everything a stencil depends on: how far it may reach, the weights, the refined axes, the coset, the cosets
// known before.
uint64_t key(const Layout& l, const Level& level, uint8_t axes, uint32_t known) {
  uint64_t k = known;
  for (int a = 0; a < kAxes; ++a) {
    k = k << 4 | static_cast<uint64_t>(l.reach[a]);
    k = k << 4 | level.weight[a];
  }
  return k << 8 | uint64_t{level.mask} << 4 | axes;
}

constexpr size_t kMostKept = 512;  // about 3 kB each

struct Cache {
  std::mutex mutex;
  std::unordered_map<uint64_t, std::shared_ptr<const CosetGeometry>> kept;
};

// Never destroyed: readers may still run while the process exits.
Cache& cache() {
  static Cache* c = new Cache;
  return *c;
}

}  // namespace

const std::vector<int32_t>& CosetGeometry::kriging(int exponent, int nugget) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  auto& slot = solved_[exponent * kNuggets + nugget];
  if (!slot) {
    if (!system_) system_ = std::make_unique<Kriging>(stencil, weight_);
    slot = std::make_unique<std::vector<int32_t>>(system_->solve(exponent, nugget));
  }
  return *slot;
}

std::shared_ptr<const CosetGeometry> coset_geometry(const Layout& layout, const Level& level, uint8_t axes,
                                                    uint32_t known) {
  const uint64_t k = key(layout, level, axes, known);
  Cache& c = cache();
  {
    const std::lock_guard<std::mutex> lock(c.mutex);
    const auto found = c.kept.find(k);
    if (found != c.kept.end()) return found->second;
  }
  auto made = std::make_shared<const CosetGeometry>(layout, level, axes, known);
  const std::lock_guard<std::mutex> lock(c.mutex);
  if (c.kept.size() >= kMostKept) c.kept.clear();
  return c.kept.emplace(k, std::move(made)).first->second;
}

}  // namespace h5neural

// series.cc: see series.h. Integer arithmetic throughout.
#include "corrections/series.h"

namespace h5neural {

void SeriesBase::of(int t, std::span<const int32_t> decoded, std::span<int32_t> base) {
  const bool echoes = echo_ != 0 && t > in_.known;
  if (echoes && at_ != t - 1) {
    expected_.resize(base.size());
    in_.expect(t - 1, decoded, expected_);
  }
  in_.expect(t, decoded, base);
  const std::vector<int32_t> before = std::move(expected_);
  expected_.assign(base.begin(), base.end());
  at_ = t;
  if (!echoes) return;
  const auto last = decoded.subspan(static_cast<size_t>(t - 1) * base.size(), base.size());
  for (size_t k = 0; k < base.size(); ++k) {
    const int64_t more = int64_t{last[k]} - before[k];
    base[k] = clamp_lattice(base[k] + ((more * echo_ + 4) >> 3));
  }
}

}  // namespace h5neural

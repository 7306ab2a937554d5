// l2_error.h: how far what a payload decodes to lies from the chunk in the mean square, patch by patch.
// Writer only. Knows nothing of what the numbers mean: values or lattice points.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "codec/patches.h"

namespace h5neural {

class L2Error {
 public:
  // Of `values` points; `classes`: not 0 for those that are no part of a patch; empty: none.
  L2Error(const Patches& patches, size_t values, std::span<const uint8_t> classes)
      : patches_(patches), values_(values), regular_(patches.count(values)) {
    patches_.for_pieces(values, [&](size_t patch, size_t from, size_t to) {
      for (size_t k = from; k < to; ++k) regular_[patch] += classes.empty() || classes[k] == 0;
    });
  }

  const Patches& patches() const { return patches_; }
  size_t values() const { return values_; }
  // Points of a patch that count.
  size_t regular(size_t patch) const { return regular_[patch]; }

  // The RMSE of each patch, 0 where no point counts. `error_of`: from the place of a point in the chunk to
  // its error, 0 for points that do not count.
  template <class ErrorOf>
  std::vector<double> of_patches(ErrorOf&& error_of) const {
    std::vector<double> error(regular_.size());
    patches_.for_pieces(values_, [&](size_t patch, size_t from, size_t to) {
      for (size_t k = from; k < to; ++k) {
        const double e = error_of(k);
        error[patch] += e * e;
      }
    });
    for (size_t p = 0; p < error.size(); ++p)
      error[p] = std::sqrt(error[p] / double(std::max<size_t>(1, regular_[p])));
    return error;
  }

  // The largest of them; infinity where an error is no number.
  template <class ErrorOf>
  double worst(ErrorOf&& error_of) const {
    double worst = 0;
    for (const double e : of_patches(error_of)) {
      if (std::isnan(e)) return std::numeric_limits<double>::infinity();
      worst = std::max(worst, e);
    }
    return worst;
  }

 private:
  Patches patches_;
  size_t values_;
  std::vector<size_t> regular_;
};

}  // namespace h5neural

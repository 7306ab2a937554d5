// setting.h: what is decided about a chunk before anything is coded: which points are special, and which
// bound the others get. Writer only; what is decided here is transmitted.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <type_traits>

#include "h5neural/h5neural.h"
#include "specials/specials.h"

namespace h5neural {

template <class T>
uint64_t bits_of(T x) {
  return std::bit_cast<std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>(x);
}

// No lattice carries these.
template <class T>
bool always_special(T x) {
  return !std::isfinite(x) || (x == 0 && std::signbit(x));
}

// One way to code the chunk: which points are special, and the bound of the others.
struct Setting {
  double bound = 0;          // absolute, or pointwise relative for H5N_RATIO; 0: exact
  double abs_bound = 0;      // as it goes into the header
  double low = 0, high = 0;  // of the regular values
  Specials specials;
};

// The settings of one chunk of float (T = float or double) values, which it refers to.
template <class T>
class Settings {
 public:
  // `masks`: whether a value that fills much of the chunk may become a class of its own.
  Settings(const h5n_params& params, std::span<const T> values, bool masks)
      : params_(params), values_(values), masks_(masks) {}

  // The fill value, sentinels, NaN, Inf and -0 apart. For the modes psnr and nrmse without a bound.
  Setting plain();
  // The same with the value that fills much of the chunk as a class of its own, where there is one.
  std::optional<Setting> masked(const Setting& plain) const;
  // Of the regular values of plain(), for rel, psnr and nrmse.
  double range() const { return range_; }

 private:
  Specials classify(const std::map<uint64_t, bool>& special) const;
  bool find_range(Setting& s) const;
  std::optional<uint64_t> dominant(const Specials& s) const;

  const h5n_params& params_;
  std::span<const T> values_;
  bool masks_;
  std::map<uint64_t, bool> special_;
  double range_ = 0;
};

}  // namespace h5neural

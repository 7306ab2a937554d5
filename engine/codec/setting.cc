// setting.cc: see setting.h.
#include "codec/setting.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "bounds/range.h"
#include "support/short_double.h"

namespace h5neural {
namespace {

// A value that fills at least this share of a chunk may be worth a class of its own.
constexpr double kDominantShare = 0.12;

}  // namespace

// Classes for the points whose bits `special` names or that no lattice can carry.
template <class T>
Specials Settings<T>::classify(const std::map<uint64_t, bool>& special) const {
  Specials s;
  std::map<uint64_t, uint8_t> known;
  std::vector<uint8_t> classes;
  std::vector<size_t> literal;
  bool any = false;
  size_t first = 0;
  if (special.empty()) {  // the common case: nothing special at all
    while (first < values_.size() && !always_special(values_[first])) ++first;
  }
  if (first == values_.size()) return s;
  classes.assign(values_.size(), 0);
  for (size_t k = first; k < values_.size(); ++k) {
    const uint64_t bits = bits_of(values_[k]);
    if (!always_special(values_[k]) && (special.empty() || !special.contains(bits))) continue;
    any = true;
    const auto it = known.find(bits);
    if (it != known.end()) {
      classes[k] = it->second;
    } else if (s.patterns.size() < kMaxPatterns) {
      s.patterns.push_back(bits);
      known[bits] = classes[k] = static_cast<uint8_t>(s.patterns.size());
    } else {
      literal.push_back(k);
      s.literals.push_back(bits);
    }
  }
  for (const size_t k : literal) classes[k] = static_cast<uint8_t>(s.patterns.size() + 1);
  if (any) s.classes = std::move(classes);
  return s;
}

template <class T>
Setting Settings<T>::plain() {
  std::map<uint64_t, bool> special;
  if (params_.has_fill) special[params_.fill] = true;
  Setting s;
  if (params_.mode != H5N_LOSSLESS && params_.mode != H5N_RATIO) {
    const Specials known = classify(special);
    const ValueRange range = value_range<T>(values_, known.classes);
    for (const double v : range.sentinels) {
      special[bits_of(static_cast<T>(v))] = true;
      if (v == 0) special[bits_of(T{0})] = true;
    }
    range_ = range.high - range.low;
  }
  s.specials = classify(special);
  special_ = special;
  if (!find_range(s)) return s;  // nothing but specials
  s.bound = s.abs_bound = params_.bound;
  if (params_.mode == H5N_LOSSLESS) s.bound = s.abs_bound = 0;
  if (params_.mode == H5N_REL) s.bound = s.abs_bound = short_double_below(params_.bound * range_);
  if (params_.mode == H5N_RATIO) s.abs_bound = std::nan("");
  return s;
}

template <class T>
bool Settings<T>::find_range(Setting& s) const {
  s.low = std::numeric_limits<double>::infinity();
  s.high = -s.low;
  for (size_t k = 0; k < values_.size(); ++k) {
    if (!s.specials.classes.empty() && s.specials.classes[k] != 0) continue;
    s.low = std::min(s.low, static_cast<double>(values_[k]));
    s.high = std::max(s.high, static_cast<double>(values_[k]));
  }
  if (s.low <= s.high) return true;
  s.low = s.high = 0;
  return false;
}

// The bits of the value that fills most of the chunk, where it is worth trying as a class.
template <class T>
std::optional<uint64_t> Settings<T>::dominant(const Specials& s) const {
  const auto regular = [&](size_t k) { return s.classes.empty() || s.classes[k] == 0; };
  // Such a value shows in a sample; how often it occurs is then counted.
  std::vector<T> sample;
  const size_t every = std::max<size_t>(1, values_.size() / 1024) | 1;
  for (size_t k = 0; k < values_.size(); k += every) {
    if (regular(k)) sample.push_back(values_[k]);
  }
  std::sort(sample.begin(), sample.end());
  size_t most = 0;
  T value{};
  for (size_t k = 0; k < sample.size();) {
    const size_t end = static_cast<size_t>(
        std::upper_bound(sample.begin() + static_cast<ptrdiff_t>(k), sample.end(), sample[k]) -
        sample.begin());
    if (end - k > most) {
      most = end - k;
      value = sample[k];
    }
    k = end;
  }
  if (double(most) < kDominantShare / 2 * double(sample.size())) return {};
  size_t count = 0, all = 0;
  for (size_t k = 0; k < values_.size(); ++k) {
    if (!regular(k)) continue;
    ++all;
    count += values_[k] == value;
  }
  if (count == all || double(count) < kDominantShare * double(values_.size())) return {};
  return bits_of(value);
}

// The same with the value that fills much of the chunk as a class of its own, where there is one.
template <class T>
std::optional<Setting> Settings<T>::masked(const Setting& s) const {
  if (!masks_ || params_.mode == H5N_LOSSLESS) return {};
  const auto bits = dominant(s.specials);
  if (!bits) return {};
  std::map<uint64_t, bool> special = special_;
  special[*bits] = true;
  Setting m = s;
  m.specials = classify(special);
  return find_range(m) ? std::optional(std::move(m)) : std::nullopt;
}

template class Settings<float>;
template class Settings<double>;

}  // namespace h5neural

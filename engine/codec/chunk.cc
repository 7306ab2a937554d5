// chunk.cc: see chunk.h.
#include "codec/chunk.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "corrections/grid.h"

namespace h5neural {

template <class T>
Chunk<T>::Chunk(const h5n_params& p, ByteSpan bytes)
    : params(p), native(bytes), values(bytes.size() / sizeof(T)) {
  extents.rank = static_cast<int>(p.rank);
  std::copy_n(p.dims, p.rank, extents.n.begin());
  std::memcpy(values.data(), native.data(), native.size());
}

template <class T>
bool Chunk<T>::choose_lattice(const Setting& s, Lattice& lattice) const {
  if (params.mode == H5N_LOSSLESS || params.mode == H5N_RATIO) {
    const double reach = std::ldexp(s.bound, std::numeric_limits<T>::digits - 1);
    return bits_lattice(ordered_bits(static_cast<T>(s.low)), ordered_bits(static_cast<T>(s.high)),
                        static_cast<uint64_t>(reach), lattice);
  }
  const T largest = static_cast<T>(std::max(std::abs(s.low), std::abs(s.high)));
  const T above = std::nextafter(largest, std::numeric_limits<T>::infinity());
  const double half_ulp =
      std::isfinite(above) ? (double(above) - double(largest)) / 2 : double(largest) * 1e-7;
  return linear_lattice(s.low, s.high, s.bound, half_ulp, lattice);
}

template <class T>
std::vector<double> Chunk<T>::targets(const Setting& s, const Lattice& l) const {
  std::vector<double> t(values.size());
  for (size_t k = 0; k < t.size(); ++k) {
    if (!s.specials.classes.empty() && s.specials.classes[k] != 0) continue;
    if (l.domain == Lattice::kBits) {
      const int64_t offset = ordered_bits(values[k]) - l.origin * l.bit_unit;
      t[k] = double(offset) / double(l.bit_unit);
    } else {
      t[k] = double(values[k]) / l.unit - double(l.origin);
    }
  }
  return t;
}

template <class T>
std::vector<int32_t> Chunk<T>::filled(const Setting& s, const std::vector<double>& target) const {
  std::vector<int32_t> f(target.size());
  const auto& c = s.specials.classes;
  const auto first = std::find(c.begin(), c.end(), 0) - c.begin();
  int32_t last = c.empty() ? 0 : clamp_lattice(std::llround(target[static_cast<size_t>(first)]));
  for (size_t k = 0; k < f.size(); ++k) {
    if (c.empty() || c[k] == 0) last = clamp_lattice(std::llround(target[k]));
    f[k] = last;
  }
  return f;
}

template struct Chunk<float>;
template struct Chunk<double>;

}  // namespace h5neural

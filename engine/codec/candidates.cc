// candidates.cc: see candidates.h.
#include "codec/candidates.h"

#include <algorithm>
#include <cmath>

#include "codec/decode.h"
#include "codec/exact_bytes.h"
#include "specials/specials.h"

namespace h5neural {

template <class T>
size_t Candidates<T>::offer(const Setting& s, const Lattice& lattice, const std::vector<int32_t>& points,
                            uint32_t kind, const Bytes& coded, const Base& base) {
  std::vector<T> decoded(chunk_.values.size());
  for (size_t k = 0; k < decoded.size(); ++k) decoded[k] = lattice.value<T>(points[k]);
  Specials specials = s.specials;
  restore(specials, decoded);
  for (size_t k = 0; k < decoded.size(); ++k) {
    if (within(chunk_.values[k], decoded[k], s.bound)) continue;
    specials.outliers.push_back({k, bits_of(chunk_.values[k])});
    decoded[k] = chunk_.values[k];
  }
  ByteWriter corrections;
  lattice.write(corrections);
  corrections.bytes(coded);
  const Bytes c = corrections.take();
  const Bytes section = write_specials(specials, chunk_.extents, sizeof(T));
  Payload p = blank(kind, s.abs_bound);
  p.model = base.model ? base.model->hash() : 0;
  p.latents = base.latents;
  p.corrections = c;
  p.specials = section;
  return finish(p, s, decoded);
}

template <class T>
void Candidates<T>::offer_constant(const Setting& s) {
  const T value = static_cast<T>(s.low);
  std::vector<T> decoded(chunk_.values.size(), value);
  const Bytes section = write_specials(s.specials, chunk_.extents, sizeof(T));
  Payload p = blank(H5N_KIND_CONSTANT, s.abs_bound);
  p.corrections = {reinterpret_cast<const uint8_t*>(&value), sizeof value};
  p.specials = section;
  restore(s.specials, decoded);
  finish(p, s, decoded);
}

template <class T>
size_t Candidates<T>::bar() const {
  return best_.empty() ? chunk_.native.size() : best_.size();
}

template <class T>
bool Candidates<T>::verified() const {
  std::vector<T> decoded(chunk_.values.size());
  try {
    Payload p = parse_payload(best_);
    p.big_endian = false;
    decode_payload(p, {reinterpret_cast<uint8_t*>(decoded.data()), chunk_.native.size()});
  } catch (const Failure&) {
    return false;
  }
  for (size_t k = 0; k < chunk_.values.size(); ++k) {
    if (!within(chunk_.values[k], decoded[k], best_bound_)) return false;
  }
  return !errors_ || rmse(decoded) <= most_rmse_;
}

template <class T>
double Candidates<T>::largest_error(const Setting& s, const Lattice& lattice,
                                    const std::vector<int32_t>& points) const {
  double largest = 0;
  for (size_t k = 0; k < chunk_.values.size(); ++k) {
    if (!s.specials.classes.empty() && s.specials.classes[k] != 0) continue;
    const double e = std::abs(double(chunk_.values[k]) - double(lattice.value<T>(points[k])));
    largest = std::max(largest, e);
  }
  return largest;
}

template <class T>
double Candidates<T>::rmse(const std::vector<T>& decoded) const {
  return errors_->worst([&](size_t k) {
    return bits_of(chunk_.values[k]) == bits_of(decoded[k]) ? 0.0
                                                            : double(chunk_.values[k]) - double(decoded[k]);
  });
}

template <class T>
size_t Candidates<T>::finish(Payload& p, const Setting& s, const std::vector<T>& decoded) {
  if (errors_) {
    const double error = rmse(decoded);
    const size_t about = p.corrections.size() + p.latents.size() + p.specials.size();
    if (about < round_.bytes) {
      round_.bytes = about;
      round_.rmse = error;
    }
    if (error > most_rmse_) return std::numeric_limits<size_t>::max();
  }
  p.values_hash = hash_values({reinterpret_cast<const uint8_t*>(decoded.data()), decoded.size() * sizeof(T)});
  Bytes out = write_payload(p);
  const size_t size = out.size();
  if (size < bar()) {
    best_ = std::move(out);
    best_bound_ = s.bound;
  }
  return size;
}

template <class T>
bool Candidates<T>::within(T x, T y, double bound) const {
  if (bits_of(x) == bits_of(y)) return true;
  if (bound == 0 || always_special(x) || !std::isfinite(y)) return false;
  const double error = std::abs(double(x) - double(y));
  return chunk_.params.mode == H5N_RATIO ? error <= bound * std::abs(double(x)) && (y != 0) : error <= bound;
}

template <class T>
void Candidates<T>::restore(const Specials& s, std::vector<T>& decoded) const {
  for (size_t k = 0; k < s.classes.size(); ++k) {
    if (s.classes[k] != 0) decoded[k] = chunk_.values[k];
  }
}

template <class T>
Payload Candidates<T>::blank(uint32_t kind, double abs_bound) const {
  Payload p;
  p.kind = kind;
  p.mode = chunk_.params.mode;
  p.type = chunk_.params.type;
  p.big_endian = chunk_.params.big_endian != 0;
  p.bound = chunk_.params.mode == H5N_LOSSLESS ? 0 : chunk_.params.bound;
  p.abs_bound = abs_bound;
  p.extents = chunk_.extents;
  return p;
}

template <class T>
Bytes Candidates<T>::exact() const {
  Payload p = blank(H5N_KIND_LOSSLESS, 0);
  p.values_hash = hash_values(chunk_.native);
  const Bytes packed = pack_exact(chunk_.native, sizeof(T), static_cast<int>(chunk_.params.effort), bar());
  p.corrections = packed;
  if (packed.empty() || packed.size() >= chunk_.native.size()) {
    p.kind = H5N_KIND_RAW;
    p.corrections = chunk_.native;
  }
  return write_payload(p);
}

template <class T>
Bytes Candidates<T>::take() {
  Bytes exactly = exact();
  return best_.empty() || exactly.size() < best_.size() ? exactly : std::move(best_);
}

template class Candidates<float>;
template class Candidates<double>;

}  // namespace h5neural

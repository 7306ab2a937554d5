// base_scale.h: how what a model's last program gives, y, becomes lattice values of the base:
//
//     base = mean + (y * mantissa + 2^(shift - 1)) >> shift        clipped to +-2^30
//
// (nothing is added before a shift of 0). Of one chunk; sent.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "support/bytes.h"
#include "support/failure.h"

namespace h5neural {

struct BaseScale {
  static constexpr int kMantissaBits = 13, kMostShift = 60, kMostMeanBits = 30;
  static constexpr int64_t kMost = int64_t{1} << 30;

  int64_t mean = 0;  // a multiple of 2^mean_bits
  int mean_bits = 0;
  int32_t mantissa = 1 << kMantissaBits;  // 2^13 to 2^14 - 1
  int shift = 0;

  int32_t value(int32_t y) const {
    const int64_t half = shift == 0 ? 0 : int64_t{1} << (shift - 1);
    return static_cast<int32_t>(std::clamp(mean + ((int64_t{y} * mantissa + half) >> shift), -kMost, kMost));
  }

  // u8 mean_bits | u8 shift | u16 mantissa | varint mean / 2^mean_bits, zigzag
  void write(ByteWriter& w) const {
    w.put(static_cast<uint8_t>(mean_bits));
    w.put(static_cast<uint8_t>(shift));
    w.put(static_cast<uint16_t>(mantissa));
    w.zigzag(mean >> mean_bits);
  }
  static BaseScale read(ByteReader& r) {
    BaseScale s;
    s.mean_bits = r.get<uint8_t>();
    s.shift = r.get<uint8_t>();
    s.mantissa = r.get<uint16_t>();
    if (s.mean_bits > kMostMeanBits || s.shift > kMostShift || s.mantissa >> kMantissaBits != 1)
      fail_corrupt("a scale of the model is out of its range");
    const int64_t m = r.zigzag();
    if (m > kMost >> s.mean_bits || m < -(kMost >> s.mean_bits))
      fail_corrupt("the mean of the model is out of its range");
    s.mean = m * (int64_t{1} << s.mean_bits);
    return s;
  }

  // Writer: for y in 2^-bits deviations of a field, corrected in bins of `bin`. Nothing where none serves.
  static std::optional<BaseScale> of(double mean, double deviation, int bits, int32_t bin) {
    const double scale = std::ldexp(deviation, -bits);
    if (!(scale > 0)) return std::nullopt;
    BaseScale s;
    s.shift = kMantissaBits - std::ilogb(scale);
    if (s.shift < 0 || s.shift > kMostShift) return std::nullopt;
    s.mantissa = std::min<int32_t>((2 << kMantissaBits) - 1,
                                   static_cast<int32_t>(std::lround(std::ldexp(scale, s.shift))));
    s.mean_bits = std::max(0, std::ilogb(bin / 4.0));
    s.mean = std::llround(std::ldexp(mean, -s.mean_bits)) * (int64_t{1} << s.mean_bits);
    if (s.mean > kMost || s.mean < -kMost) return std::nullopt;
    return s;
  }
};

// Mean and standard deviation of a field.
struct FieldMoments {
  double mean = 0, deviation = 0;
  template <class T>
  explicit FieldMoments(const T& field) {
    const auto count = static_cast<double>(field.size());
    for (const auto v : field) mean += static_cast<double>(v);
    mean /= count;
    double squares = 0;
    for (const auto v : field) squares += (v - mean) * (v - mean);
    deviation = std::sqrt(squares / count);
  }
};

}  // namespace h5neural

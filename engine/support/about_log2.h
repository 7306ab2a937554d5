// about_log2.h: quick logarithms and powers for the writer's estimates: the same on every machine, as the
// library's need not be, and without branches, so that loops over them become vectors.
#pragma once
#include <bit>
#include <cstdint>

namespace h5neural {

// log2 of v >= 1 to 1.5e-4, by its exponent and a polynomial of its mantissa (least squares, exact at both
// ends).
inline float about_log2(float v) {
  const auto bits = std::bit_cast<uint32_t>(v);
  const auto exponent = static_cast<float>(static_cast<int32_t>(bits >> 23) - 127);
  const auto m = std::bit_cast<float>((bits & 0x7fffff) | 0x3f800000);
  const float p = ((-0.08065316f * m + 0.6407671f) * m - 2.114263f) * m + 4.067217f;
  return exponent + (p * m - 2.5130677f);
}

// 2^x to 2e-3 of itself, -100 <= x <= 0.
inline float about_exp2(float x) {
  const auto whole = static_cast<int32_t>(x) - 1;
  const float part = x - static_cast<float>(whole);  // 0 < part <= 1
  const float m = (0.3371894f * part + 0.6576364f) * part + 1.0017247f;
  return m * std::bit_cast<float>((whole + 127) << 23);
}

}  // namespace h5neural

// scalar.cc: the kernels in plain C++, the truth that every other set is held to; see kernels.h.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "kernels/kernels.h"

namespace h5neural {

std::array<int32_t, kFeatures> features(const ContextTaps& t, int32_t prediction, int64_t at) {
  std::array<int32_t, kFeatures> f{};
  const int32_t nearest = t.plus[0][at] + t.minus[0][at];
  for (int j = 0; j < t.pairs; ++j) {
    f[j < kNearPairs ? 0 : 1] += t.plus_magnitude[j][at] + t.minus_magnitude[j][at];
    const int32_t plus = t.plus[j][at], minus = t.minus[j][at];
    if (j < kSpreadPairs) f[2] += std::min(kFeatureMax, std::abs(plus + minus - nearest));
    if (j < kGradientPairs) f[4] += std::min(kFeatureMax, std::abs(plus - minus));
  }
  f[3] = std::min(kFeatureMax, std::abs(2 * prediction - nearest));
  return f;
}

namespace {

constexpr int64_t kLimit = 1 << 28;  // |value| of lattice points

void predict(const PredictorTaps& t, int64_t at, int count, int32_t* out) {
  for (int k = 0; k < count; ++k) {
    int64_t sum = int64_t{1} << (kCoefficientBits - 1);
    for (int j = 0; j < t.pairs; ++j) {
      sum += int64_t{t.coefficient[j]} * (t.plus[j][at + k] + t.minus[j][at + k]);
    }
    out[k] = static_cast<int32_t>(std::clamp(sum >> kCoefficientBits, -kLimit, kLimit));
  }
}

void contexts(const ContextTaps& t, const int32_t* prediction, int64_t at, int count, uint8_t* out) {
  constexpr int64_t kMost = INT32_MAX;
  for (int k = 0; k < count; ++k) {
    const auto f = features(t, prediction[k], at + k);
    int64_t s = 0;
    for (int i = 0; i < kFeatures; ++i) s += int64_t{t.weight[i]} * f[i];
    // Expected magnitude in sixteenths of a lattice unit.
    const int h = half_octaves(static_cast<uint32_t>(std::min(s >> 12, kMost)));
    out[k] = static_cast<uint8_t>(std::clamp(h - t.origin, 0, kContexts - 1));
  }
}

void accept(const int32_t* prediction, const int32_t* quantised, int count, int32_t bin, int32_t* value,
            uint16_t* magnitude) {
  const int32_t most = (1 << 29) / bin;
  for (int k = 0; k < count; ++k) {
    const int32_t step = std::clamp(quantised[k], -most, most) * bin;
    value[k] = std::clamp<int32_t>(prediction[k] + step, -kLimit, kLimit);
    magnitude[k] = static_cast<uint16_t>(std::min(std::abs(value[k] - prediction[k]), 65535));
  }
}

int64_t decode_groups(RansLanes& lanes, const uint8_t* context, int64_t groups, const uint32_t* table,
                      const uint32_t* slots, uint8_t* symbols) {
  RansLanes l = lanes;
  const auto read = [&l]() -> uint32_t {
    const uint32_t word = l.next[0] | uint32_t{l.next[1]} << 8;
    l.next += 2;
    return word;
  };
  int64_t g = 0;
  for (; g < groups && l.end - l.next >= 2 * kMaxLanes; ++g, context += kMaxLanes, symbols += kMaxLanes) {
    for (int i = 0; i < kMaxLanes; ++i) {
      symbols[i] = static_cast<uint8_t>(decode_symbol(l.state[i], slots + table[context[i]], read) >> 24);
    }
  }
  lanes = l;
  return g;
}

bool unfold(const uint8_t* symbols, int64_t count, int32_t* out) {
  bool escaped = false;
  for (int64_t k = 0; k < count; ++k) {
    out[k] = (symbols[k] >> 1) ^ -(symbols[k] & 1);
    escaped |= symbols[k] == kEscape;
  }
  return escaped;
}

// x c 2^-28, rounded, modulo 2^32.
int32_t scaled(int32_t x, int32_t c) {
  return static_cast<int32_t>((int64_t{x} * c + (int64_t{1} << (kLiftBits - 1))) >> kLiftBits);
}

void lift(int32_t* out, const int32_t* left, const int32_t* right, int64_t count, int32_t c) {
  for (int64_t k = 0; k < count; ++k) {
    const auto sum = static_cast<int32_t>(static_cast<uint32_t>(left[k]) + static_cast<uint32_t>(right[k]));
    out[k] = static_cast<int32_t>(static_cast<uint32_t>(out[k]) - static_cast<uint32_t>(scaled(sum, c)));
  }
}

void scale(const int32_t* in, int64_t count, int32_t c, int times, int32_t* out) {
  for (int64_t k = 0; k < count; ++k) {
    int32_t x = in[k];
    for (int i = 0; i < times; ++i) x = scaled(x, c);
    out[k] = x;
  }
}

void interleave(const int32_t* even, const int32_t* odd, int64_t count, int32_t* out) {
  for (int64_t k = 0; k < count; ++k) {
    out[2 * k] = even[k];
    out[2 * k + 1] = odd[k];
  }
}

void reconstruct(const int32_t* quantised, int64_t count, const ReconstructionPoints& p, int32_t* out) {
  // Larger ones come to `most` anyhow.
  const int32_t largest = p.most / p.step + 2;
  for (int64_t k = 0; k < count; ++k) {
    const int32_t q = quantised[k];
    const int32_t magnitude = std::min(std::abs(q), largest);
    const uint32_t exact = static_cast<uint32_t>(magnitude) * static_cast<uint32_t>(p.step) -
                           static_cast<uint32_t>(magnitude == 1 ? p.one : p.more);
    const auto v = static_cast<int32_t>(std::min(exact, static_cast<uint32_t>(p.most)));
    out[k] = q == 0 ? 0 : q < 0 ? -v : v;
  }
}

void weigh(std::span<const WeighedRows> sums, int count, uint32_t* out) {
  for (const WeighedRows& s : sums) {
    for (int r = 0; r < s.rows; ++r) {
      const uint16_t* const row = s.row[r];
      for (int k = 0; k < count; ++k) out[k] += s.weight * row[k];
    }
  }
}

void roughness(const int32_t* x, const RowsBeside& b, int count, uint8_t* out) {
  for (int k = 0; k < count; ++k) {
    int32_t sum = 0;
    for (int a = 0; a < b.axes; ++a) {
      sum += std::min(std::abs(b.before[a][k] - 2 * x[k] + b.after[a][k]), kRoughMost);
    }
    out[k] = static_cast<uint8_t>(std::bit_width(static_cast<uint32_t>(sum)));
  }
}

double residual_bits(const Samples& s, std::span<const float> c, const float* y, const float* share,
                     float* e) {
  double bits = 0;
  for (int i = 0; i < s.rows; ++i) {
    float v = y[i];
    for (size_t j = 0; j < c.size(); ++j) v -= c[j] * s.x[static_cast<ptrdiff_t>(j) * s.stride + i];
    e[i] = v;
    bits += 0.5 * share[i] * std::log2(1 + 9 * v * v);
  }
  return bits;
}

void normal_equations(const Samples& s, int from, int to, const float* w, const float* e, double* a,
                      double* b) {
  for (int j = from; j < to; ++j) {
    const float* xj = s.x + j * s.stride;
    for (int i = 0; i < s.rows; ++i) b[j] += double(w[i]) * xj[i] * e[i];
    for (int k = 0; k <= j; ++k) {
      const float* xk = s.x + k * s.stride;
      double sum = 0;
      for (int i = 0; i < s.rows; ++i) sum += double(w[i]) * xj[i] * xk[i];
      a[j * s.columns + k] += sum;
    }
  }
}

}  // namespace

const Kernels& scalar_kernels() {
  static constexpr Kernels k = {
      "scalar",      predict,         contexts,    accept, decode_groups, unfold,         lift,
      scale,         interleave,      reconstruct, weigh,  roughness,     &kScalarPlaces, network_row_scalar,
      residual_bits, normal_equations};
  return k;
}

}  // namespace h5neural

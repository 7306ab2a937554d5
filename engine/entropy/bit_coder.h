// bit_coder.h: adaptive binary range coder for the small numbers of a payload: coefficients, table choices,
// latents, masks. Carry-less-to-the-caller range coder with 12-bit adaptive probabilities (Pavlov, LZMA,
// 1998), and integer models built on it. The bulk (corrections) goes through rANS (rans.h).
#pragma once
#include <cstdint>
#include <span>

#include "support/bytes.h"

namespace h5neural {

// Probability that the next bit is 0, in units of 2^-12, adapted by 1/16 (fast at first).
struct BitModel {
  uint16_t p = 2048;
  uint8_t seen = 0;
  void update(bool bit) {
    const int rate = seen < 3 ? seen + 2 : 5;
    if (seen < 255) ++seen;
    if (bit) {
      p = static_cast<uint16_t>(p - (p >> rate));
    } else {
      p = static_cast<uint16_t>(p + ((4096 - p) >> rate));
    }
    if (p < 16) p = 16;
    if (p > 4080) p = 4080;
  }
};

class BitEncoder {
 public:
  void bit(BitModel& m, bool b) {
    const uint32_t bound = (range_ >> 12) * m.p;
    if (!b) {
      range_ = bound;
    } else {
      low_ += bound;
      range_ -= bound;
    }
    m.update(b);
    while (range_ < (1u << 24)) {
      range_ <<= 8;
      shift();
    }
  }
  // `count` equiprobable bits, high first.
  void raw(uint32_t value, int count);
  // Ends the stream and returns it. A few zero bytes at its end are dropped (the decoder reads zeros past the
  // end).
  Bytes finish();

 private:
  void shift();
  uint64_t low_ = 0;
  uint32_t range_ = 0xffffffffu;
  uint8_t cache_ = 0;
  uint64_t pending_ = 1;
  Bytes out_;
};

class BitDecoder {
 public:
  explicit BitDecoder(ByteSpan in);
  bool bit(BitModel& m) {
    const uint32_t bound = (range_ >> 12) * m.p;
    bool b;
    if (code_ < bound) {
      range_ = bound;
      b = false;
    } else {
      code_ -= bound;
      range_ -= bound;
      b = true;
    }
    m.update(b);
    while (range_ < (1u << 24)) {
      range_ <<= 8;
      code_ = (code_ << 8) | next();
    }
    return b;
  }
  uint32_t raw(int count);

 private:
  // Zeros past the end; a decoder that needs more than a few of them has a damaged stream.
  uint8_t next();
  ByteSpan in_;
  size_t at_ = 0;
  uint32_t range_ = 0xffffffffu;
  uint32_t code_ = 0;
};

// Adaptive signed integers: zero flag, sign, then Exp-Golomb with adaptive unary prefix. Cheap for small |v|,
// any int32 works.
class IntModel {
 public:
  static constexpr size_t kExpected = 20;
  // Begins with these probabilities, in units of 2^-12, and adapts them slowly: that a number is 0; that one
  // of at least k + 1 bits has no more, k = 0 ... 9; that the second highest bit is 0, k = 1 ... 9.
  void expect(std::span<const uint16_t, kExpected> p);
  void encode(BitEncoder& c, int32_t v);
  int32_t decode(BitDecoder& c);

 private:
  BitModel zero_, sign_, prefix_[33], mantissa_[33];
};

}  // namespace h5neural

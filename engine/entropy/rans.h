// rans.h: range asymmetric numeral systems (Duda 2013), 64-bit states, 32-bit renormalisation, 16-bit
// probabilities (after the construction of Giesen, "Interleaved entropy coders", 2014). One or four
// interleaved states.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "support/bytes.h"

namespace h5neural {

// Records symbols in reading order; finish() codes them backwards, as rANS must.
class RansEncoder {
 public:
  void symbol(uint32_t start, uint32_t frequency) { ops_.push_back({start, frequency}); }
  // `bits` equiprobable bits, 0 <= bits <= 16.
  void raw(uint32_t value, int bits) {
    if (bits > 0) ops_.push_back({value << (16 - bits), 1u << (16 - bits)});
  }
  size_t size() const { return ops_.size(); }
  Bytes finish();

 private:
  struct Op {
    uint32_t start, frequency;
  };
  std::vector<Op> ops_;
};

class RansDecoder {
 public:
  explicit RansDecoder(ByteSpan in);
  uint32_t slot() const { return static_cast<uint32_t>(state_[lane_]) & 0xffffu; }
  void advance(uint32_t start, uint32_t frequency) {
    uint64_t& x = state_[lane_];
    x = frequency * (x >> 16) + (x & 0xffffu) - start;
    if (x < (uint64_t{1} << 31)) x = x << 32 | next();
    lane_ = (lane_ + 1) & lane_mask_;
  }
  uint32_t raw(int bits) {
    if (bits == 0) return 0;
    const uint32_t value = slot() >> (16 - bits);
    advance(value << (16 - bits), 1u << (16 - bits));
    return value;
  }
  // Throws unless the stream was read to its very end and every state came back to where the encoder began.
  void finish() const;

 private:
  uint32_t next() {
    if (at_ + 4 > in_.size()) fail_corrupt("the corrections end early");
    uint32_t v;
    std::memcpy(&v, in_.data() + at_, 4);
    at_ += 4;
    return v;
  }
  ByteSpan in_;
  size_t at_ = 0;
  uint32_t lane_ = 0, lane_mask_ = 0;
  std::array<uint64_t, 4> state_{};
};

}  // namespace h5neural

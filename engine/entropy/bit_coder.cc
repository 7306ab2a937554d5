// bit_coder.cc: see bit_coder.h.
#include "entropy/bit_coder.h"

#include <bit>

namespace h5neural {
namespace {

// Zero bytes at the end of a stream that are left out: a decoder that needs more has a damaged one.
constexpr size_t kLeftOut = 16;

}  // namespace

void BitEncoder::shift() {
  if (static_cast<uint32_t>(low_) < 0xff000000u || (low_ >> 32) != 0) {
    const auto carry = static_cast<uint8_t>(low_ >> 32);
    uint8_t byte = cache_;
    do {
      out_.push_back(static_cast<uint8_t>(byte + carry));
      byte = 0xff;
    } while (--pending_ != 0);
    cache_ = static_cast<uint8_t>(low_ >> 24);
  }
  ++pending_;
  low_ = (low_ & 0x00ffffffu) << 8;
}

void BitEncoder::raw(uint32_t value, int count) {
  while (count-- > 0) {
    range_ >>= 1;
    if ((value >> count) & 1) low_ += range_;
    while (range_ < (1u << 24)) {
      range_ <<= 8;
      shift();
    }
  }
}

Bytes BitEncoder::finish() {
  // Any number in [low, low + range) ends the stream; the one with most zeros at its end is the shortest.
  for (int zeros = 31; zeros > 0; --zeros) {
    const uint64_t mask = (uint64_t{1} << zeros) - 1, v = (low_ + mask) & ~mask;
    if (v - low_ >= range_) continue;
    low_ = v;
    break;
  }
  for (int i = 0; i < 5; ++i) shift();
  out_.erase(out_.begin());  // the first byte out of this coder is always zero
  // A decoder takes as many bytes as there are now.
  for (size_t k = 0; k < kLeftOut && !out_.empty() && out_.back() == 0; ++k) out_.pop_back();
  return std::move(out_);
}

BitDecoder::BitDecoder(ByteSpan in) : in_(in) {
  for (int i = 0; i < 4; ++i) code_ = (code_ << 8) | next();
}

uint8_t BitDecoder::next() {
  if (at_ < in_.size()) return in_[at_++];
  if (++at_ > in_.size() + kLeftOut) fail_corrupt("a coded section ends early");
  return 0;
}

uint32_t BitDecoder::raw(int count) {
  uint32_t v = 0;
  while (count-- > 0) {
    range_ >>= 1;
    const bool b = code_ >= range_;
    if (b) code_ -= range_;
    v = v << 1 | static_cast<uint32_t>(b);
    while (range_ < (1u << 24)) {
      range_ <<= 8;
      code_ = (code_ << 8) | next();
    }
  }
  return v;
}

void IntModel::expect(std::span<const uint16_t, kExpected> p) {
  constexpr uint8_t kSettled = 3;  // past the fast start of BitModel::update
  constexpr size_t kPrefixes = kExpected / 2;
  zero_ = {p[0], kSettled};
  for (size_t k = 0; k < kPrefixes; ++k) prefix_[k] = {p[1 + k], kSettled};
  for (size_t k = 1; k < kPrefixes; ++k) mantissa_[k] = {p[kPrefixes + k], kSettled};
}

void IntModel::encode(BitEncoder& c, int32_t v) {
  c.bit(zero_, v != 0);
  if (v == 0) return;
  c.bit(sign_, v < 0);
  const uint32_t m = v < 0 ? 0u - static_cast<uint32_t>(v) : static_cast<uint32_t>(v);  // >= 1
  const int bits = std::bit_width(m) - 1;                                               // 0 to 31
  for (int i = 0; i < bits; ++i) c.bit(prefix_[i], true);
  if (bits < 31) c.bit(prefix_[bits], false);
  if (bits > 0) c.bit(mantissa_[bits], (m >> (bits - 1)) & 1);
  if (bits > 1) c.raw(m & ((1u << (bits - 1)) - 1), bits - 1);
}

int32_t IntModel::decode(BitDecoder& c) {
  if (!c.bit(zero_)) return 0;
  const bool negative = c.bit(sign_);
  int bits = 0;
  while (bits < 31 && c.bit(prefix_[bits])) ++bits;
  uint32_t m = 1;
  if (bits > 0) m = m << 1 | static_cast<uint32_t>(c.bit(mantissa_[bits]));
  if (bits > 1) m = m << (bits - 1) | c.raw(bits - 1);
  return static_cast<int32_t>(negative ? 0u - m : m);
}

}  // namespace h5neural

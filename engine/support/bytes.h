// bytes.h: little-endian bytes in and out. ByteReader throws fail_corrupt at the end of its input, never
// reads past it.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "support/failure.h"

namespace h5neural {

static_assert(std::endian::native == std::endian::little,
              "the engine's loads and stores are written for little-endian machines");

using Bytes = std::vector<uint8_t>;
using ByteSpan = std::span<const uint8_t>;

class ByteWriter {
 public:
  template <class T>
  void put(T v) {
    const size_t at = out_.size();
    out_.resize(at + sizeof v);
    std::memcpy(out_.data() + at, &v, sizeof v);
  }
  // LEB128: 7 bits a byte, low first.
  void varint(uint64_t v) {
    for (; v >= 128; v >>= 7) out_.push_back(static_cast<uint8_t>(v | 128));
    out_.push_back(static_cast<uint8_t>(v));
  }
  // 0, -1, 1, -2, ... as 0, 1, 2, 3, ...
  void zigzag(int64_t v) { varint(static_cast<uint64_t>(v) << 1 ^ static_cast<uint64_t>(v >> 63)); }
  void bytes(ByteSpan b) { out_.insert(out_.end(), b.begin(), b.end()); }
  size_t size() const { return out_.size(); }
  Bytes take() { return std::move(out_); }

 private:
  Bytes out_;
};

class ByteReader {
 public:
  explicit ByteReader(ByteSpan in) : in_(in) {}
  template <class T>
  T get() {
    T v;
    std::memcpy(&v, take(sizeof v).data(), sizeof v);
    return v;
  }
  uint64_t varint() {
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t b = get<uint8_t>();
      v |= uint64_t{b & 127u} << shift;
      if (b < 128) return v;
    }
    fail_corrupt("a number is too long");
  }
  int64_t zigzag() {
    const uint64_t v = varint();
    return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1);
  }
  ByteSpan take(uint64_t n) {
    if (n > in_.size()) fail_corrupt("a section ends early");
    const ByteSpan s = in_.first(n);
    in_ = in_.subspan(n);
    return s;
  }
  size_t left() const { return in_.size(); }

 private:
  ByteSpan in_;
};

}  // namespace h5neural

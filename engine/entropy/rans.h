// rans.h: range asymmetric numeral systems (Duda 2013): 32-bit states, 16-bit renormalisation, 12-bit
// probabilities, interleaved (Giesen, "Interleaved entropy coders", 2014), so that 32 symbols can be decoded
// at a time. Symbols come in batches whose tables are all known before; bits that are not worth a model go
// into a stream of their own beside them.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "entropy/tables.h"
#include "support/array.h"
#include "support/bytes.h"

namespace h5neural {

constexpr int kMaxLanes = 32;
constexpr uint32_t kRansLow = 1u << 16;  // states live in [2^16, 2^32)

// The decoder's states, and where the words that it has yet to read stand. Symbol i of a batch belongs to
// lane i mod lanes.
struct RansLanes {
  std::array<uint32_t, kMaxLanes> state{};
  const uint8_t* next = nullptr;
  const uint8_t* end = nullptr;
};

// Decodes whole groups of kMaxLanes symbols while at least as many words are left; returns their number.
// `table`: the first slot of each context's table in `slots`.
using DecodeGroups = int64_t (*)(RansLanes& lanes, const uint8_t* context, int64_t groups,
                                 const uint32_t* table, const uint32_t* slots, uint8_t* symbols);

// One symbol of one lane. Returns its slot's entry; `read` is called for a 16-bit word when one is due.
template <class Read>
uint32_t decode_symbol(uint32_t& state, const uint32_t* slots, Read&& read) {
  const uint32_t slot = state & (kSlots - 1);
  const uint32_t entry = slots[slot];
  state = (entry >> kProbabilityBits & (kSlots - 1)) * (state >> kProbabilityBits) + slot -
          (entry & (kSlots - 1));
  if (state < kRansLow) state = state << 16 | read();
  return entry;
}

// Bits in order, from the lowest of each byte.
class RawBits {
 public:
  void put(uint64_t value, int bits) {  // bits <= 32
    for (held_ |= value << count_, count_ += bits; count_ >= 8; count_ -= 8, held_ >>= 8) {
      bytes_.push_back(static_cast<uint8_t>(held_));
    }
  }
  Bytes finish() {
    if (count_ > 0) bytes_.push_back(static_cast<uint8_t>(held_));
    held_ = 0;
    count_ = 0;
    return std::move(bytes_);
  }

 private:
  Bytes bytes_;
  uint64_t held_ = 0;
  int count_ = 0;
};

class RawBitReader {
 public:
  explicit RawBitReader(ByteSpan in) : in_(in) {}
  uint32_t take(int bits) {  // bits <= 32
    for (; count_ < bits; count_ += 8) {
      if (at_ == in_.size()) fail_corrupt("the corrections end early");
      held_ |= uint64_t{in_[at_++]} << count_;
    }
    const auto value = static_cast<uint32_t>(held_ & ((uint64_t{1} << bits) - 1));
    held_ >>= bits;
    count_ -= bits;
    return value;
  }
  bool finished() const { return at_ == in_.size() && count_ < 8 && held_ == 0; }

 private:
  ByteSpan in_;
  size_t at_ = 0;
  uint64_t held_ = 0;
  int count_ = 0;
};

// Records symbols in reading order; finish() codes them backwards, as rANS must.
class RansEncoder {
 public:
  // The next batch, of so many symbols. What each takes stands in `ranges` at its place: start << 16 |
  // frequency; they are the caller's to fill in until the next call.
  uint32_t* begin_batch(size_t symbols) {
    batches_.push_back(ranges_.size());
    ranges_.resize(ranges_.size() + symbols);
    return ranges_.data() + batches_.back();
  }
  // What the symbols of a batch cost altogether, in units of 1/256 bit.
  void add_cost(uint64_t cost) { cost_ += cost; }
  RawBits& raw() { return raw_; }
  // `spare`: share of the bytes that states may take for the sake of speed.
  // u8 lanes' code (0, 1, 2: 1, 4, 32) | 0x80 where there are raw bits | varint their length, they | states,
  // u32 each | u16 words. Nothing at all where there were no symbols.
  Bytes finish(double spare = 0.005);

 private:
  Array<uint32_t> ranges_;
  std::vector<size_t> batches_;
  uint64_t cost_ = 0;
  RawBits raw_;
};

class RansDecoder {
 public:
  explicit RansDecoder(ByteSpan in);
  // The symbols of a batch; `table` as for DecodeGroups, over all_slots().
  void batch(std::span<const uint8_t> context, const uint32_t* table, std::span<uint8_t> symbols);
  // The same symbol by symbol, where contexts depend on the symbols before: begin_series() begins a batch,
  // next() reads its next symbol. `slots`: of its table.
  void begin_series() { at_ = 0; }
  uint8_t next(const uint32_t* slots) {
    uint32_t& state = lanes_.state[at_++ & (static_cast<size_t>(lane_count_) - 1)];
    return static_cast<uint8_t>(decode_symbol(state, slots, [this] { return word(); }) >> 24);
  }
  // The same without a check of the end, while there are words for `count` symbols: pull() between open() and
  // close().
  bool has_words_for(int count) const { return lanes_.end - lanes_.next >= 2 * ptrdiff_t{count}; }
  struct Series {
    uint32_t* states;
    size_t mask, at;
    const uint8_t* next;
    uint8_t pull(const NearSlots& slots) {
      uint32_t& state = states[at++ & mask];
      const uint32_t slot = state & (kSlots - 1);
      const uint8_t symbol = slots.symbol[slot];
      const uint32_t range = slots.range[symbol];
      const uint32_t x = (range >> 16) * (state >> kProbabilityBits) + slot - (range & 0xffff);
      // Whether a word is due is as good as random: no branch.
      const uint32_t word = next[0] | uint32_t{next[1]} << 8;
      const uint32_t due = x < kRansLow ? 1 : 0, all = 0 - due;
      state = (x & ~all) | ((x << 16 | word) & all);
      next += 2 * due;
      return symbol;
    }
  };
  Series open() { return {lanes_.state.data(), static_cast<size_t>(lane_count_) - 1, at_, lanes_.next}; }
  void close(const Series& s) {
    at_ = s.at;
    lanes_.next = s.next;
  }
  RawBitReader& raw() { return raw_; }
  // Throws unless both streams were read to their very end and every state came back to where the encoder
  // began.
  void finish() const;

 private:
  uint32_t word() {
    if (lanes_.next == lanes_.end) fail_corrupt("the corrections end early");
    const uint32_t w = lanes_.next[0] | uint32_t{lanes_.next[1]} << 8;
    lanes_.next += 2;
    return w;
  }
  int lane_count_ = 1;
  size_t at_ = 0;  // of a series
  RansLanes lanes_;
  RawBitReader raw_{{}};
};

}  // namespace h5neural

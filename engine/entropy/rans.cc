// rans.cc: see rans.h.
#include "entropy/rans.h"

#include <algorithm>

#include "kernels/kernels.h"

namespace h5neural {
namespace {

constexpr int kLaneCodes[] = {1, 4, kMaxLanes};

// More lanes decode faster; their states take four bytes each.
int lanes_code(double bytes) { return bytes >= 4 * kLaneCodes[2] ? 2 : bytes >= 4 * kLaneCodes[1] ? 1 : 0; }

}  // namespace

namespace {

// Quotients by a frequency as products: x / f = x of[f] >> 44 for all x < f 2^20, which states are before
// they take a symbol; the error of the product stays below f 2^-24 < 1 / f.
constexpr int kInverseBits = 44;
struct Inverses {
  std::array<uint64_t, kSlots + 1> of{};
  Inverses() {
    for (uint64_t f = 1; f <= kSlots; ++f) of[f] = ((uint64_t{1} << kInverseBits) + f - 1) / f;
  }
};

}  // namespace

Bytes RansEncoder::finish(double spare) {
  static const Inverses inverses;
  const Bytes raw = raw_.finish();
  if (ranges_.empty()) return {};
  const int code = lanes_code(spare * (double(cost_) / 2048 + double(raw.size())));
  const size_t lanes = kLaneCodes[code];
  std::array<uint32_t, kMaxLanes> state;
  state.fill(kRansLow);
  // Filled from their end; no more than one a symbol, and room for one that is not due.
  Array<uint16_t> words(ranges_.size() + 1);
  uint16_t* next = words.data() + words.size();
  size_t end = ranges_.size();
  for (size_t b = batches_.size(); b-- > 0;) {
    const size_t begin = batches_[b];
    for (size_t i = end; i-- > begin;) {
      uint32_t x = state[(i - begin) % lanes];
      const uint32_t start = ranges_[i] >> 16, frequency = ranges_[i] & 0xffff;
      // Whether a word is due is as good as random: no branch.
      const uint32_t due = x >> (32 - kProbabilityBits) >= frequency ? 1 : 0;
      next[-1] = static_cast<uint16_t>(x);
      next -= due;
      x >>= 16 * due;
      const auto quotient = static_cast<uint32_t>(x * inverses.of[frequency] >> kInverseBits);
      state[(i - begin) % lanes] = (quotient << kProbabilityBits) + (x - quotient * frequency) + start;
    }
    end = begin;
  }
  ByteWriter out;
  out.put<uint8_t>(static_cast<uint8_t>(code | (raw.empty() ? 0 : 0x80)));
  if (!raw.empty()) {
    out.varint(raw.size());
    out.bytes(raw);
  }
  for (size_t l = 0; l < lanes; ++l) out.put<uint32_t>(state[l]);
  for (; next != words.data() + words.size(); ++next) out.put<uint16_t>(*next);
  ranges_.clear();
  batches_.clear();
  return out.take();
}

RansDecoder::RansDecoder(ByteSpan in) {
  lanes_.state.fill(kRansLow);
  if (in.empty()) return;
  ByteReader r(in);
  const auto code = r.get<uint8_t>();
  if ((code & 0x7f) >= std::size(kLaneCodes)) fail_corrupt("the corrections have a wrong number of lanes");
  lane_count_ = kLaneCodes[code & 0x7f];
  if (code & 0x80) raw_ = RawBitReader(r.take(r.varint()));
  for (int l = 0; l < lane_count_; ++l) {
    lanes_.state[l] = r.get<uint32_t>();
    if (lanes_.state[l] < kRansLow) fail_corrupt("a state of the corrections is out of range");
  }
  const ByteSpan words = r.take(r.left());
  if (words.size() % 2 != 0) fail_corrupt("the corrections end in half a word");
  lanes_.next = words.data();
  lanes_.end = words.data() + words.size();
}

void RansDecoder::batch(std::span<const uint8_t> context, const uint32_t* table, std::span<uint8_t> symbols) {
  const uint32_t* const slots = all_slots();
  size_t i = 0;
  if (lane_count_ == kMaxLanes) {
    const auto groups = static_cast<int64_t>(context.size() / kMaxLanes);
    i = static_cast<size_t>(
            kernels().decode_groups(lanes_, context.data(), groups, table, slots, symbols.data())) *
        kMaxLanes;
  }
  const size_t mask = static_cast<size_t>(lane_count_) - 1;
  RansLanes l = lanes_;  // a copy that the compiler may keep in registers
  const auto read = [&l]() -> uint32_t {
    if (l.next == l.end) fail_corrupt("the corrections end early");
    const uint32_t word = l.next[0] | uint32_t{l.next[1]} << 8;
    l.next += 2;
    return word;
  };
  for (; i < context.size(); ++i) {
    symbols[i] =
        static_cast<uint8_t>(decode_symbol(l.state[i & mask], slots + table[context[i]], read) >> 24);
  }
  lanes_ = l;
}

void RansDecoder::finish() const {
  if (lanes_.next != lanes_.end || !raw_.finished()) {
    fail_corrupt("the corrections are longer than they should be");
  }
  for (const uint32_t x : lanes_.state) {
    if (x != kRansLow) fail_corrupt("the corrections do not end where they should");
  }
}

}  // namespace h5neural

// rans.cc: see rans.h. Stream: u8 lanes - 1 | lanes x u64 state | u32 words in reading order. Empty: no
// symbols.
#include "entropy/rans.h"

#include <algorithm>

namespace h5neural {
namespace {

constexpr uint64_t kLow = uint64_t{1} << 31;  // states live in [2^31, 2^63)
constexpr size_t kInterleaveFrom = 32768;     // below, 24 more bytes of states cost more than they bring

}  // namespace

Bytes RansEncoder::finish() {
  if (ops_.empty()) return {};
  const uint32_t lanes = ops_.size() >= kInterleaveFrom ? 4 : 1;
  std::array<uint64_t, 4> state;
  state.fill(kLow);
  std::vector<uint32_t> words;
  for (size_t i = ops_.size(); i-- > 0;) {
    uint64_t& x = state[i % lanes];
    const auto [start, frequency] = ops_[i];
    if (x >= ((kLow >> 16) << 32) * frequency) {
      words.push_back(static_cast<uint32_t>(x));
      x >>= 32;
    }
    x = (x / frequency << 16) + x % frequency + start;
  }
  ByteWriter out;
  out.put<uint8_t>(static_cast<uint8_t>(lanes - 1));
  for (uint32_t l = 0; l < lanes; ++l) out.put<uint64_t>(state[l]);
  for (size_t i = words.size(); i-- > 0;) out.put<uint32_t>(words[i]);
  ops_.clear();
  return out.take();
}

RansDecoder::RansDecoder(ByteSpan in) : in_(in) {
  state_.fill(kLow);
  if (in_.empty()) return;
  const uint32_t lanes = in_[0] + 1u;
  if (lanes != 1 && lanes != 4) fail_corrupt("the corrections have a wrong number of lanes");
  lane_mask_ = lanes - 1;
  at_ = 1;
  for (uint32_t l = 0; l < lanes; ++l) {
    const uint64_t low = next();
    state_[l] = uint64_t{next()} << 32 | low;
    if (state_[l] < kLow || state_[l] >> 63) fail_corrupt("a state of the corrections is out of range");
  }
}

void RansDecoder::finish() const {
  if (at_ != in_.size()) fail_corrupt("the corrections are longer than they should be");
  for (const uint64_t x : state_) {
    if (x != kLow) fail_corrupt("the corrections do not end where they should");
  }
}

}  // namespace h5neural

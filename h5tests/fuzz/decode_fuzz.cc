// decode_fuzz.cc: any bytes as a payload, through the C API. They are refused with a sentence, or decode;
// never a crash, a hang, or memory out of proportion.
//
// The checksum would stop nearly every input at the door, so each is tried twice: as it is, and on a copy
// whose checksum is made right (docs/format.md: low 32 bits of XXH3 over every byte but its own four). The
// hash of the decoded values is left alone: it is compared last, when all the code under test has run.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "h5neural/h5neural.h"

namespace {

constexpr size_t kChecksumAt = 3, kChecksumEnd = 7;
constexpr uint64_t kMaxChunk = 1 << 20;  // bytes; larger chunks would only be slower

void make_checksum_right(std::vector<uint8_t>& payload) {
  if (payload.size() < kChecksumEnd) return;
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, payload.data(), kChecksumAt);
  XXH3_64bits_update(&state, payload.data() + kChecksumEnd, payload.size() - kChecksumEnd);
  const auto checksum = static_cast<uint32_t>(XXH3_64bits_digest(&state));
  std::memcpy(payload.data() + kChecksumAt, &checksum, sizeof checksum);
}

// A refusal carries its status and a sentence.
void check_refusal(int32_t status, const h5n_error& error) {
  if (status == H5N_OK) return;
  if (error.status == status && error.message[0] != '\0' && status != H5N_ERR_INTERNAL) return;
  (void)std::fprintf(stderr, "decode_fuzz: status %d, error %d: %s\n", status, error.status, error.message);
  std::abort();
}

void look_at_latents(const std::vector<uint8_t>& payload) {
  h5n_latents info{};
  h5n_error error{};
  const int32_t status =
      h5n_latents_get(payload.data(), payload.size(), &info, nullptr, nullptr, nullptr, &error);
  check_refusal(status, error);
  if (status != H5N_OK) return;
  std::vector<int32_t> numbers(info.vectors * info.numbers);
  std::vector<double> scale(info.vectors), offset(info.vectors);
  check_refusal(h5n_latents_get(payload.data(), payload.size(), &info, numbers.data(), scale.data(),
                                offset.data(), &error),
                error);
}

void decode(const std::vector<uint8_t>& payload) {
  h5n_info info{};
  h5n_error error{};
  const int32_t status = h5n_inspect(payload.data(), payload.size(), &info, &error);
  check_refusal(status, error);
  if (status != H5N_OK || info.raw_bytes > kMaxChunk) return;
  std::vector<uint8_t> chunk(info.raw_bytes);
  check_refusal(h5n_decode(payload.data(), payload.size(), chunk.data(), chunk.size(), &error), error);
  uint32_t shown = 0;
  check_refusal(h5n_preview(payload.data(), payload.size(), chunk.data(), chunk.size(), &shown, &error),
                error);
  look_at_latents(payload);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> payload(data, data + size);
  decode(payload);
  make_checksum_right(payload);
  decode(payload);
  return 0;
}

// worker_fuzz.cc: what a hostile client says to h5neural-worker. Input: a byte whose lowest bit is 0, and the
// rest is a message; or is 1, and the rest is a program as it travels. Either is refused, or is what it was
// when written and read again.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "worker/program_bytes.h"
#include "worker/protocol.h"

namespace {

void same_again(bool same, const char* what) {
  if (same) return;
  (void)std::fprintf(stderr, "worker_fuzz: %s does not come back\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const h5neural::ByteSpan rest(data + 1, size - 1);
  try {
    if (data[0] % 2 == 0) {
      const h5neural::Bytes again = write_message(h5neural::parse_message(rest));
      same_again(std::equal(again.begin(), again.end(), rest.begin(), rest.end()), "a message");
    } else {
      const h5neural::Bytes once = program_bytes(h5neural::program_of(rest));
      same_again(program_bytes(h5neural::program_of(once)) == once, "a program");
    }
  } catch (const h5neural::Failure&) {  // refused, with a sentence
  }
  return 0;
}

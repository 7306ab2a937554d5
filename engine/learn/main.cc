// main.cc: h5neural-worker, the process that holds LibTorch. Parses the command line; knows nothing of
// tensors.
#include <cstdio>
#include <cstring>
#include <exception>

#include "learn/options.h"
#include "learn/serving.h"
#include "learn/train.h"

int main(int argc, char** argv) {
  using namespace h5neural::learn;
  try {
    if (argc >= 2 && std::strcmp(argv[1], "selftest") == 0) {
      const bool passed = selftest();
      std::puts(passed ? "selftest passed" : "selftest FAILED: LibTorch and the scalar backend differ");
      return passed ? 0 : 1;
    }
    if (argc >= 2 && std::strcmp(argv[1], "train") == 0) {
      const Options options = parse_options(argc - 2, argv + 2);
      if (options.model == "three-branch") {
        train_three_branch(options);
      } else if (options.model == "corrections") {
        train_corrections(options);
      } else if (options.model == "frames") {
        train_frames(options);
      } else if (learns_latents(options.model)) {
        train_latents(options);
      } else {
        options.form == "chunk" ? train_chunk(options) : train_block(options);
      }
      return 0;
    }
    if (argc >= 2 && is_serving(argv[1])) return serving(argv[1], argc - 2, argv + 2);
    std::fprintf(stderr, "%s\n%s\n", usage().c_str(), serving_usage());
    return argc >= 2 && std::strcmp(argv[1], "--help") == 0 ? 0 : 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "h5neural-worker: %s\n", e.what());
    return 1;
  }
}

// serving.h: the command line of h5neural-worker serve, status and stop. Interface without LibTorch.
#pragma once
#include <string>

namespace h5neural::learn {

bool is_serving(const std::string& command);
// Returns the exit status: 0; 1 for what failed; 3 for status and stop where no worker serves. Throws
// std::runtime_error with a sentence.
int serving(const std::string& command, int argc, char** argv);
const char* serving_usage();

}  // namespace h5neural::learn

// failure.h: how the engine reports what went wrong. A Failure carries a status of the C API and a sentence
// for the user; it is thrown inside the engine only, and turned into a value at the C API (codec/api.cc).
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

#include "h5neural/h5neural.h"

namespace h5neural {

class Failure : public std::runtime_error {
 public:
  Failure(int32_t status, const std::string& message) : std::runtime_error(message), status_(status) {}
  int32_t status() const { return status_; }

 private:
  int32_t status_;
};

[[noreturn]] inline void fail_corrupt(const std::string& what) {
  throw Failure(H5N_ERR_CORRUPT,
                "h5neural: the chunk is damaged (" + what + "); restore the file from a copy");
}

}  // namespace h5neural

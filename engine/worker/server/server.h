// server.h: h5neural-worker's side of the protocol (worker/protocol.h): takes connections of its own user,
// answers their messages, ends when nobody has asked for anything for a while. Knows a backend, no LibTorch.
#pragma once
#include <string>

#include "exact/backend.h"
#include "worker/place.h"

namespace h5neural {

struct ServeOptions {
  WorkerPlace place;
  int64_t idle_seconds = 60;
  uint64_t elements = uint64_t{1} << 22;  // of all values of all items of one execution
  int stop_fd = -1;                       // ends when it can be read
  std::string about;                      // "key: value" lines that kWelcome says first
};

// Serves until it is stopped or idle. `backend` has passed its known answer. Throws Failure where the folder
// is not to be trusted or another one serves there.
void serve(const ServeOptions& options, const Backend& backend);

}  // namespace h5neural

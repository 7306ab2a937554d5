// start.h: starts h5neural-worker for the engine. Knows nothing of what it does.
#pragma once
#include "worker/place.h"

namespace h5neural {

// Starts `bin/h5neural-worker serve` of the install that this engine belongs to, detached: in a session of
// its own, with no file of this process's open, not this process's child. Does not wait until it serves.
// Nothing happens where there is none, where the folder is not to be trusted, or where one was started in the
// last seconds, by whichever process.
void start_worker(const WorkerPlace& place);

}  // namespace h5neural

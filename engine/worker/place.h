// place.h: where the worker of a user listens: a socket in a folder that nobody else can enter. Both sides
// look at it before they trust it. Linux.
#pragma once
#include <string>

namespace h5neural {

struct WorkerPlace {
  std::string folder, socket;
  std::string lock() const { return socket + ".lock"; }    // held by the one that serves
  std::string start() const { return socket + ".start"; }  // when an engine last started one
  std::string log() const { return socket + ".log"; }      // what one that an engine started has to say
};

// `socket`: an absolute path, or empty: $XDG_RUNTIME_DIR/h5neural/worker.socket, or
// /tmp/h5neural-UID/worker.socket where there is no such variable.
WorkerPlace worker_place(const std::string& socket = "");

// Throws Failure with a sentence unless the folder is one of this user's that nobody else may enter. With
// `make`, it is made where it is missing; without, that is a NoWorker.
void check_place(const WorkerPlace& place, bool make);

}  // namespace h5neural

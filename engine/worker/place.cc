// place.cc: see place.h.
#include "worker/place.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "worker/socket.h"

namespace h5neural {

WorkerPlace worker_place(const std::string& socket) {
  if (!socket.empty()) {
    const size_t slash = socket.rfind('/');
    return {slash == 0 ? "/" : socket.substr(0, slash), socket};
  }
  const char* const run = secure_getenv("XDG_RUNTIME_DIR");
  const std::string folder = run != nullptr && run[0] == '/' ? std::string(run) + "/h5neural"
                                                             : "/tmp/h5neural-" + std::to_string(geteuid());
  return {folder, folder + "/worker.socket"};
}

void check_place(const WorkerPlace& place, bool make) {
  if (make) mkdir(place.folder.c_str(), S_IRWXU);  // what stands there now is looked at below
  struct stat s {};
  if (lstat(place.folder.c_str(), &s) != 0) throw NoWorker("there is no folder " + place.folder);
  if (!S_ISDIR(s.st_mode) || s.st_uid != geteuid() || (s.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    fail_worker(place.folder +
                " is not a folder of this user that nobody else may enter; remove it, or chmod 700");
  }
}

}  // namespace h5neural

// places.cc: see places.h.
#include "weights/places.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>

namespace h5neural {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSuffix = ".safetensors";

// The value of an environment variable, or "" (also in a set-user-id process, which strangers must not
// steer).
std::string environment(const char* name) {
  const char* v = secure_getenv(name);
  return v == nullptr ? "" : v;
}

void add_from_variable(std::vector<fs::path>& places) {
  const std::string list = environment("H5NEURAL_WEIGHTS_PATH");
  for (size_t at = 0; at < list.size();) {
    const size_t end = std::min(list.find(':', at), list.size());
    if (end > at) places.emplace_back(list.substr(at, end - at));
    at = end + 1;
  }
}

void add_of_user(std::vector<fs::path>& places) {
  if (const std::string data = environment("XDG_DATA_HOME"); !data.empty()) {
    places.push_back(fs::path(data) / "h5neural/weights");
  } else if (const std::string home = environment("HOME"); !home.empty()) {
    places.push_back(fs::path(home) / ".local/share/h5neural/weights");
  }
}

// PREFIX/lib/h5neural/libh5neural.so, PREFIX/bin/tool and PREFIX/lib/ARCH/h5neural/libh5neural.so all belong
// to PREFIX.
void add_of_install(std::vector<fs::path>& places) {
  Dl_info self{};
  if (dladdr(reinterpret_cast<const void*>(&weights_places), &self) == 0 || self.dli_fname == nullptr) return;
  std::error_code ignored;
  fs::path folder = fs::canonical(self.dli_fname, ignored).parent_path();
  fs::path nearest;
  for (int up = 0; up < 3 && folder.has_relative_path(); ++up) {
    folder = folder.parent_path();
    const fs::path place = folder / H5NEURAL_INSTALL_WEIGHTS;
    if (fs::is_directory(place, ignored)) {
      places.push_back(place);
      return;
    }
    if (up == 1) nearest = place;
  }
  if (!nearest.empty()) places.push_back(nearest);  // for the message of a miss
}

}  // namespace

std::vector<fs::path> weights_places() {
  std::vector<fs::path> places;
  add_from_variable(places);
  add_of_user(places);
  add_of_install(places);
  return places;
}

std::vector<fs::path> weights_paths() {
  std::vector<fs::path> paths;
  for (const fs::path& place : weights_places()) {
    std::error_code error;
    if (fs::is_regular_file(place, error)) {
      paths.push_back(place);
      continue;
    }
    std::vector<fs::path> found;
    for (fs::directory_iterator it(place, error), end; !error && it != end; it.increment(error)) {
      std::error_code ignored;
      if (it->path().extension() == kSuffix && it->is_regular_file(ignored)) found.push_back(it->path());
    }
    std::sort(found.begin(), found.end());
    paths.insert(paths.end(), found.begin(), found.end());
  }
  return paths;
}

}  // namespace h5neural

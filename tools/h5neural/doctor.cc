// doctor.cc: `h5neural doctor`: looks at the plugin the way another program's HDF5 would, then at the engine,
// the weights and the worker, and says what is wrong and what to do about it.
#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "commands.h"
#include "filter_id.h"
#include "h5neural/h5neural.h"
#include "hdf5_file.h"
#include "install.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

enum class Grade { kFine, kNote, kBroken };

// One finding: what was looked at, what was found, and what to do when it is broken.
struct Finding {
  Grade grade;
  std::string subject, text, remedy;
};
using Findings = std::vector<Finding>;

void fine(Findings& f, const std::string& subject, const std::string& text) {
  f.push_back({Grade::kFine, subject, text, ""});
}
void note(Findings& f, const std::string& subject, const std::string& text, const std::string& remedy = "") {
  f.push_back({Grade::kNote, subject, text, remedy});
}
void broken(Findings& f, const std::string& subject, const std::string& text, const std::string& remedy) {
  f.push_back({Grade::kBroken, subject, text, remedy});
}

std::string plugin_remedy() {
  const fs::path own = own_plugin_folder();
  if (own.empty()) return fmt::format("reinstall h5neural: {} is not in this install", kPluginName);
  const char* const now = std::getenv("HDF5_PLUGIN_PATH");
  return fmt::format("export HDF5_PLUGIN_PATH={}{}", own.string(),
                     now != nullptr ? ":$HDF5_PLUGIN_PATH" : "");
}

void examine_hdf5(Findings& f) {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  fine(f, "HDF5",
       fmt::format("{}.{}.{} ({}). Other programs may bring their own", major, minor, release,
                   library_of(reinterpret_cast<const void*>(&H5get_libversion)).string()));
  const char* const preload = std::getenv("HDF5_PLUGIN_PRELOAD");
  unsigned kinds = 0;
  if (preload != nullptr && std::string(preload) == "::") {
    broken(f, "HDF5", "HDF5_PLUGIN_PRELOAD=:: switches all plugins off", "unset HDF5_PLUGIN_PRELOAD");
  } else if (H5PLget_loading_state(&kinds) >= 0 && (kinds & H5PL_FILTER_PLUGIN) == 0) {
    broken(f, "HDF5", "this HDF5 does not load filter plugins",
           "use one that was built with dynamic plugins");
  }
}

// Loads a plugin as HDF5 does and asks for its filter. Returns whether it is ours and works that far.
bool examine_plugin(const fs::path& file, Findings& f) {
  const std::string subject = "plugin";
  void* const handle = dlopen(file.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const reason = dlerror();
    broken(f, subject,
           fmt::format("{} does not load: {}", file.string(), reason != nullptr ? reason : "no reason"),
           "reinstall h5neural for this system, with all its files readable");
    return false;
  }
  const bool speaks =
      dlsym(handle, "H5PLget_plugin_info") != nullptr && dlsym(handle, "H5PLget_plugin_type") != nullptr;
  dlclose(handle);
  if (!speaks) {
    broken(f, subject, file.string() + " loads, but is no HDF5 plugin", "reinstall h5neural");
    return false;
  }
  fine(f, subject, file.string() + " loads");
  // The engine that this very plugin will open.
  const char* const named = std::getenv("H5NEURAL_ENGINE");
  std::error_code none;
  const fs::path engine = named != nullptr && named[0] != '\0'
                              ? fs::path(named)
                              : fs::canonical(file, none).parent_path().parent_path() / "libh5neural.so";
  if (!fs::exists(engine, none)) {
    broken(f, subject, "its engine is missing: " + engine.string(),
           named != nullptr ? "unset H5NEURAL_ENGINE, or let it name libh5neural.so" : "reinstall h5neural");
    return false;
  }
  fine(f, subject, "its engine is " + engine.string() + (named != nullptr ? " (H5NEURAL_ENGINE)" : ""));
  return true;
}

// The folders in which HDF5 looks, in its order.
void examine_search_path(Findings& f) {
  const char* const variable = std::getenv("HDF5_PLUGIN_PATH");
  fine(f, "search path",
       variable != nullptr ? fmt::format("HDF5_PLUGIN_PATH={}", variable)
                           : "HDF5_PLUGIN_PATH is not set; HDF5 looks in its default folder");
  unsigned n = 0;
  bool found = false;
  H5PLsize(&n);
  for (unsigned i = 0; i < n; ++i) {
    std::array<char, 4096> text{};
    if (H5PLget(i, text.data(), text.size()) < 0) continue;
    const fs::path folder = text.data();
    std::error_code none;
    if (!fs::is_directory(folder, none)) {
      note(f, "search path", folder.string() + ": no such folder");
    } else if (!fs::exists(folder / kPluginName, none)) {
      note(f, "search path", fmt::format("{}: no {}", folder.string(), kPluginName));
    } else {
      found = examine_plugin(folder / kPluginName, f) || found;
    }
  }
  if (!found)
    broken(f, "search path", fmt::format("no folder has a {} that works", kPluginName), plugin_remedy());
}

// Writes and reads one chunk in memory through the filter. Returns why it failed, or nothing.
std::string round_trip() {
  constexpr hsize_t kSide = 32;
  constexpr double kBound = 1e-3;
  const std::array<hsize_t, 2> extents{kSide, kSide};
  const std::array<unsigned, 3> words{H5N_ABS, 1, 3};
  std::array<float, kSide * kSide> in{}, out{};
  for (size_t i = 0; i < in.size(); ++i) in[i] = std::sin(0.07F * static_cast<float>(i));

  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_core(access, 1 << 20, 0);
  const Handle file(H5Fcreate("h5neural-doctor.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose);
  const Handle dcpl(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  const Handle space(H5Screate_simple(2, extents.data(), nullptr), H5Sclose);
  H5Pset_chunk(dcpl, 2, extents.data());
  if (H5Pset_filter(dcpl, H5NEURAL_FILTER_ID, H5Z_FLAG_MANDATORY, words.size(), words.data()) < 0)
    return hdf5_error();
  const Handle dataset(H5Dcreate2(file, "u", H5T_IEEE_F32LE, space, H5P_DEFAULT, dcpl, H5P_DEFAULT),
                       H5Dclose);
  if (!dataset.valid()) return hdf5_error();
  if (H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, in.data()) < 0 ||
      H5Dflush(dataset) < 0) {
    return hdf5_error();
  }
  // The chunk in the cache never met the filter: read the one that was written.
  hsize_t stored = 0;
  const std::array<hsize_t, 2> origin{0, 0};
  uint32_t skipped = 0;
  if (H5Dget_chunk_storage_size(dataset, origin.data(), &stored) < 0 || stored == 0) return hdf5_error();
  std::vector<uint8_t> payload(stored);
  if (H5Dread_chunk(dataset, H5P_DEFAULT, origin.data(), &skipped, payload.data()) < 0) return hdf5_error();
  const Handle again(H5Dcreate2(file, "v", H5T_IEEE_F32LE, space, H5P_DEFAULT, dcpl, H5P_DEFAULT), H5Dclose);
  if (!again.valid() ||
      H5Dwrite_chunk(again, H5P_DEFAULT, skipped, origin.data(), payload.size(), payload.data()) < 0 ||
      H5Dread(again, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data()) < 0) {
    return hdf5_error();
  }
  for (size_t i = 0; i < in.size(); ++i) {
    const double error = std::abs(static_cast<double>(in[i]) - static_cast<double>(out[i]));
    if (!(error <= kBound))
      return fmt::format("value {} came back with an error of {} (bound {})", i, error, kBound);
  }
  return skipped != 0 ? "HDF5 stored the chunk unfiltered" : "";
}

void examine_filter(Findings& f) {
  if (H5Zfilter_avail(H5NEURAL_FILTER_ID) <= 0) {
    broken(f, "filter", fmt::format("HDF5 has no filter {}", H5NEURAL_FILTER_ID), plugin_remedy());
    return;
  }
  fine(f, "filter", fmt::format("HDF5 found filter {}", H5NEURAL_FILTER_ID));
  const std::string why = round_trip();
  if (why.empty()) {
    fine(f, "filter", "a chunk was written, read and compared: inside its bound");
  } else {
    broken(f, "filter", "a chunk does not come back: " + why, "see the findings above and below");
  }
}

void examine_engine(Findings& f) {
  const fs::path path = library_of(reinterpret_cast<const void*>(&h5n_version));
  const std::string text =
      fmt::format("{} (version {}, API {})", path.string(), h5n_version(), h5n_api_major());
  if (h5n_api_major() == H5N_API_MAJOR) {
    fine(f, "engine", text);
  } else {
    broken(f, "engine", text + fmt::format("; this program needs API {}", H5N_API_MAJOR),
           "install program and engine of one release");
  }
  h5n_backend backend{};
  bool any = false;
  for (uint32_t i = 0; h5n_backend_get(i, &backend) != 0; ++i) {
    if (backend.available == 0) {
      note(f, "backend", fmt::format("{}: not on this machine", backend.name));
    } else if (backend.known_answer == 0) {
      broken(f, "backend", fmt::format("{}: fails its known answer, and is not used", backend.name),
             "the processor or the build is faulty: test another machine, and report this");
    } else {
      any = true;
      fine(f, "backend", fmt::format("{}: passes its known answer", backend.name));
    }
  }
  if (!any)
    broken(f, "backend", "none works: chunks that were written with a model cannot be read", "report this");
}

void examine_weights(Findings& f) {
  h5n_weights w{};
  uint32_t n = 0;
  for (; h5n_weights_get(n, &w) != 0; ++n) {
    const std::string text = fmt::format("{} ({:.16}, {}): {}", w.name, w.sha256, w.family, w.source);
    if (w.problem[0] == '\0') {
      fine(f, "weights", text);
    } else {
      broken(f, "weights", text + ": refused: " + w.problem, "replace or remove this file");
    }
  }
  if (n == 0) note(f, "weights", "none: chunks are compressed without a model");
}

// "key: value" lines.
std::map<std::string, std::string> lines_of(const std::string& text) {
  std::map<std::string, std::string> all;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) all[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return all;
}

// Whether one runs that serves the engines of this user, and what writers make of it.
void examine_serving(const fs::path& worker, Findings& f) {
  const char* const wanted = std::getenv("H5NEURAL_WORKER");
  const bool named = wanted != nullptr && wanted[0] == '/';
  std::vector<std::string> arguments{"status"};
  if (named) arguments.insert(arguments.end(), {"--socket", wanted});
  const Finished status = run_program(worker, arguments, true);
  const std::string use = wanted == nullptr || wanted[0] == '\0'
                              ? "writers do not ask for one (H5NEURAL_WORKER is not set)"
                              : fmt::format("H5NEURAL_WORKER={}", wanted);
  if (status.status != 0) {
    note(f, "worker", fmt::format("{}; {}", status.output.substr(0, status.output.find('\n')), use));
    return;
  }
  auto said = lines_of(status.output);
  fine(f, "worker",
       fmt::format(
           "process {} serves on {} (backend {}, known answer {}, {} other clients, {} executions); {}",
           said["pid"], said["device"], said["backend"], said["known answer"], said["other clients"],
           said["executions"], use));
}

void examine_worker(Findings& f) {
  const fs::path worker = worker_path();
  if (worker.empty()) {
    note(f, "worker",
         "h5neural-worker is not installed: no training, no GPU; everything else works without it",
         "to have it, build with LibTorch (H5NEURAL_TORCH=ON)");
    return;
  }
  const Finished test = run_program(worker, {"selftest"}, true);
  if (test.status == 0) {
    fine(f, "worker", worker.string() + " passes its self-test");
    examine_serving(worker, f);
  } else {
    broken(f, "worker",
           fmt::format("{} selftest ends with status {}: {}", worker.string(), test.status, test.output),
           "check that LibTorch stands where it was when h5neural was built");
  }
}

nlohmann::json json_of(const Findings& findings) {
  static constexpr std::array kGrades{"fine", "note", "broken"};
  nlohmann::json out = nlohmann::json::array();
  for (const Finding& f : findings) {
    out.push_back({{"grade", kGrades[static_cast<size_t>(f.grade)]},
                   {"subject", f.subject},
                   {"text", f.text},
                   {"remedy", f.remedy}});
  }
  return out;
}

void print(const Findings& findings) {
  static constexpr std::array kMarks{"ok  ", "note", "FAIL"};
  for (const Finding& f : findings) {
    fmt::print("{} {:12} {}\n", kMarks[static_cast<size_t>(f.grade)], f.subject, f.text);
    if (!f.remedy.empty()) fmt::print("{:18}-> {}\n", "", f.remedy);
  }
}

int run(bool json) {
  silence_hdf5();
  Findings f;
  examine_hdf5(f);
  examine_search_path(f);
  examine_filter(f);
  examine_engine(f);
  examine_weights(f);
  examine_worker(f);
  size_t wrong = 0;
  for (const Finding& finding : f) wrong += finding.grade == Grade::kBroken ? 1 : 0;
  if (json) {
    fmt::print("{}\n", json_of(f).dump(2));
  } else {
    print(f);
    fmt::print("{}\n", wrong == 0 ? "all is well" : fmt::format("{} things are broken", wrong));
  }
  return wrong == 0 ? kFine : kFailed;
}

}  // namespace

Command add_doctor(CLI::App& app) {
  auto* const sub = app.add_subcommand("doctor",
                                       "Why the plugin is not found, what works and what does not (exit "
                                       "status 1 when something is broken)");
  auto json = std::make_shared<bool>(false);
  sub->add_flag("--json", *json, "The same as JSON");
  return {sub, [json] { return run(*json); }};
}

}  // namespace h5neural::tool

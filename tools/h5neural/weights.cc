// weights.cc: `h5neural weights`: list, show, install and extract weights, those inside of HDF5 files too.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "commands.h"
#include "output_file.h"
#include "tool_error.h"
#include "weights_files.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMostHeader = uint64_t{4} << 20;  // of a safetensors file, as the engine reads it
constexpr const char* kSuffix = ".safetensors";

struct Options {
  std::vector<std::string> files;
  std::string what, folder;
  bool json = false;
};

bool is_hdf5(const std::string& path) {
  std::error_code none;
  return fs::is_regular_file(path, none) && H5Fis_hdf5(path.c_str()) > 0;
}

// Weights with their bytes at hand.
struct Weights {
  std::string sha256, source;
  FileBytes bytes;
  bool found_by_readers = true;  // inside of a file: whether its record leads to them
};

// The weights inside of an HDF5 file, in the order of their names. Throws ToolError where there are none.
std::vector<Weights> weights_inside(const std::string& path) {
  const Handle file = open_file(path);
  std::set<std::string> recorded;
  const std::string source = fs::canonical(path).string() + " (inside)";
  for (const h5n_weights& w : all_weights()) {
    if (source.starts_with(w.source)) recorded.insert(w.sha256);
  }
  std::vector<Weights> found;
  for (const CarriedWeights& c : list_carried(file)) {
    found.push_back({c.sha256, path + " (inside)", read_carried(file, c), recorded.contains(c.sha256)});
  }
  if (found.empty()) fail("{} carries no weights; `h5neural repack --weights W --embed` puts them in", path);
  return found;
}

// ---- what a weights file says of itself

// The metadata of a safetensors file; null when it is none. The engine judges; this is for people to look at.
nlohmann::json header_of(const FileBytes& bytes) {
  uint64_t length = 0;
  if (bytes.size() < sizeof length) return nullptr;
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > kMostHeader || length > bytes.size() - sizeof length) return nullptr;
  const auto* const text = reinterpret_cast<const char*>(bytes.data()) + sizeof length;
  return nlohmann::json::parse(text, text + length, nullptr, false);
}

std::string text_of(const nlohmann::json& header, const char* key) {
  if (!header.is_object() || !header.contains("__metadata__") || !header["__metadata__"].is_object())
    return {};
  const auto& metadata = header["__metadata__"];
  return metadata.contains(key) && metadata[key].is_string() ? metadata[key].get<std::string>()
                                                             : std::string();
}

// A copy of weights that the engine has judged, under a name that says what they are. Returns its path.
std::string write_judged(const Weights& w, const fs::path& folder) {
  std::string name = text_of(header_of(w.bytes), "name");
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_') c = '_';
  }
  const fs::path path = folder / fmt::format("{}-{}{}", name.substr(0, 63), w.sha256.substr(0, 16), kSuffix);
  std::error_code none;
  fs::create_directories(folder, none);
  OutputFile out(path.string(), "");
  std::ofstream file(out.unfinished(), std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(w.bytes.data()), static_cast<std::streamsize>(w.bytes.size()));
  file.close();
  if (!file) fail("{} cannot be written; check the disk's space", path.string());
  try {
    use_weights_file(out.unfinished());
  } catch (const ToolError& e) {
    std::string why = e.what();
    for (size_t at; (at = why.find(out.unfinished())) != std::string::npos;)
      why.replace(at, out.unfinished().size(), w.source);
    throw ToolError(why);
  }
  out.finish();
  return path.string();
}

// ---- list

nlohmann::json json_of(const h5n_weights& w) {
  std::error_code none;
  const uint64_t bytes = fs::exists(w.source, none) ? fs::file_size(w.source, none) : 0;
  nlohmann::json j{{"sha256", w.sha256}, {"name", w.name}, {"family", w.family}, {"source", w.source}};
  if (bytes > 0) j["bytes"] = bytes;
  if (w.problem[0] != '\0') j["problem"] = w.problem;
  return j;
}

void print_row(const std::string& hash, const std::string& name, const std::string& family,
               const std::string& source, const std::string& problem) {
  fmt::print("{:16}  {:24} {:12} {}{}{}\n", hash, name, family, source,
             problem.empty() ? "" : "\n    refused: ", problem);
}

// The weights inside of files, as the engine would find them; and those that only this program finds.
nlohmann::json inside_json(const std::string& path) {
  nlohmann::json out = nlohmann::json::array();
  for (const Weights& w : weights_inside(path)) {
    const nlohmann::json header = header_of(w.bytes);
    out.push_back({{"sha256", w.sha256},
                   {"name", text_of(header, "name")},
                   {"family", text_of(header, "family")},
                   {"source", w.source},
                   {"bytes", w.bytes.size()},
                   {"found_by_readers", w.found_by_readers}});
  }
  return out;
}

int list(const Options& o) {
  start_hdf5();
  nlohmann::json out = nlohmann::json::array();
  for (const std::string& path : o.files) {
    for (nlohmann::json& w : inside_json(path)) out.push_back(std::move(w));
  }
  if (o.files.empty()) {
    for (const h5n_weights& w : all_weights()) out.push_back(json_of(w));
  }
  if (o.json) {
    fmt::print("{}\n", out.dump(2));
    return kFine;
  }
  if (out.empty())
    fmt::print("no weights are found; `h5neural weights install FILE` puts them where they are\n");
  bool lost = false;
  for (const nlohmann::json& w : out) {
    print_row(w["sha256"].get<std::string>().substr(0, 16), w["name"], w["family"], w["source"],
              w.value("problem", ""));
    lost = lost || !w.value("found_by_readers", true);
  }
  if (lost) {
    fmt::print(
        "readers do not find these weights, since a program has rewritten the file: install them, or write "
        "the "
        "file again with `h5neural repack`\n");
  }
  return kFine;
}

// ---- show

// Numbers and programs of one weights file.
nlohmann::json described(const Weights& w) {
  const nlohmann::json header = header_of(w.bytes);
  nlohmann::json out{{"sha256", w.sha256}, {"source", w.source}, {"bytes", w.bytes.size()}};
  for (const char* key : {"name", "family", "format"}) out[key] = text_of(header, key);
  const nlohmann::json config = nlohmann::json::parse(text_of(header, "config"), nullptr, false);
  if (config.is_object()) out["config"] = config;
  uint64_t arrays = 0;
  nlohmann::json programs = nlohmann::json::object();
  if (header.is_object()) {
    for (const auto& [key, value] : header.items()) arrays += key != "__metadata__" ? 1 : 0;
    const nlohmann::json metadata = header.value("__metadata__", nlohmann::json::object());
    for (const auto& [key, value] : metadata.items()) {
      if (!key.starts_with("program.") || !value.is_string()) continue;
      const nlohmann::json program = nlohmann::json::parse(value.get<std::string>(), nullptr, false);
      if (program.is_object() && program.contains("ops")) programs[key.substr(8)] = program["ops"].size();
    }
  }
  out["arrays"] = arrays;
  out["operations"] = programs;
  return out;
}

Weights weights_to_show(const std::string& what) {
  std::error_code none;
  if (fs::is_regular_file(what, none)) {
    FileBytes bytes = read_weights_file(what);
    std::string sha256 = sha256_of(bytes);
    return {std::move(sha256), what, std::move(bytes)};
  }
  const auto digits = hash_of_digits(what);
  const auto found =
      find_weights([&](const h5n_weights& w) { return what == w.name || (digits && *digits == w.hash); });
  if (!found) fail("no weights are called {}; `h5neural weights list` names them", what);
  if (!fs::is_regular_file(found->source, none)) return {found->sha256, found->source, {}};
  return {found->sha256, found->source, read_weights_file(found->source)};
}

void print(const nlohmann::json& d, const std::string& problem) {
  fmt::print("{}\n  sha256      {}\n  source      {}\n  family      {}\n  bytes       {}\n",
             d.value("name", ""), d.value("sha256", ""), d.value("source", ""), d.value("family", ""),
             d.value("bytes", uint64_t{0}));
  if (d.contains("config")) {
    for (const char* key : {"form", "extents", "edge", "block", "normalise"}) {
      if (d["config"].contains(key)) fmt::print("  {:11} {}\n", key, d["config"][key].dump());
    }
  }
  fmt::print("  arrays      {}\n", d.value("arrays", uint64_t{0}));
  if (d.contains("operations")) fmt::print("  operations  {}\n", d["operations"].dump());
  fs::path card = d.value("source", "");
  if (card.replace_extension(".md"); fs::exists(card)) fmt::print("  card        {}\n", card.string());
  fmt::print("  verdict     {}\n",
             problem.empty() ? "proved; used where chunks name it" : "refused: " + problem);
}

int show(const Options& o) {
  start_hdf5();
  std::vector<Weights> all;
  if (is_hdf5(o.what)) {
    all = weights_inside(o.what);
  } else {
    all.push_back(weights_to_show(o.what));
  }
  const Handle open = is_hdf5(o.what) ? open_file(o.what) : Handle();  // the engine sees what is inside of it
  int status = kFine;
  nlohmann::json out = nlohmann::json::array();
  for (const Weights& w : all) {
    nlohmann::json d = described(w);
    std::string problem;
    std::error_code none;
    if (!is_hdf5(o.what) && fs::is_regular_file(w.source, none)) {
      try {
        use_weights_file(w.source);
      } catch (const ToolError& e) {
        problem = e.what();
      }
    } else if (const auto found = find_weights([&](const h5n_weights& e) { return w.sha256 == e.sha256; })) {
      problem = found->problem;
    } else {
      problem = "readers do not find it in this file; `h5neural weights install` judges and installs it";
    }
    if (!problem.empty()) d["problem"] = problem, status = kFailed;
    if (!o.json) print(d, problem);
    out.push_back(std::move(d));
  }
  if (o.json) fmt::print("{}\n", out.dump(2));
  return status;
}

// ---- install and extract

fs::path user_folder() {
  if (const char* data = std::getenv("XDG_DATA_HOME"); data != nullptr && data[0] != '\0')
    return fs::path(data) / "h5neural/weights";
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] != '\0')
    return fs::path(home) / ".local/share/h5neural/weights";
  fail("neither XDG_DATA_HOME nor HOME is set; name a folder with --to");
}

int install(const Options& o) {
  start_hdf5();
  const fs::path folder = o.folder.empty() ? user_folder() : fs::path(o.folder);
  for (const std::string& path : o.files) {
    if (is_hdf5(path)) {
      for (const Weights& w : weights_inside(path)) fmt::print("{}\n", write_judged(w, folder));
      continue;
    }
    FileBytes bytes = read_weights_file(path);
    std::string sha256 = sha256_of(bytes);
    const std::string installed = write_judged({std::move(sha256), path, std::move(bytes)}, folder);
    fmt::print("{}\n", installed);
    // The card says what was learned from what.
    const fs::path card = fs::path(path).replace_extension(".md");
    std::error_code none;
    if (card != fs::path(path) && fs::exists(card, none)) {
      fs::copy_file(card, fs::path(installed).replace_extension(".md"), fs::copy_options::overwrite_existing,
                    none);
    }
  }
  return kFine;
}

int extract(const Options& o) {
  start_hdf5();
  for (const std::string& path : o.files) {
    for (const Weights& w : weights_inside(path))
      fmt::print("{}\n", write_judged(w, o.folder.empty() ? "." : o.folder));
  }
  return kFine;
}

}  // namespace

Command add_weights(CLI::App& app) {
  auto* const sub = app.add_subcommand("weights", "List, show, install and extract weights");
  sub->require_subcommand(1);
  auto o = std::make_shared<Options>();
  auto* const list_weights =
      sub->add_subcommand("list", "All that readers and writers here find, or those inside of files");
  list_weights->add_option("FILE", o->files, "HDF5 files that carry weights");
  auto* const show_weights =
      sub->add_subcommand("show", "What one weights file is, and whether it is proved");
  show_weights
      ->add_option("WEIGHTS", o->what,
                   "Name, 16 or more digits of the SHA-256, a weights file, or an HDF5 file")
      ->required();
  for (auto* s : {list_weights, show_weights}) s->add_flag("--json", o->json, "The same as JSON");
  auto* const install_weights =
      sub->add_subcommand("install", "Put weights where every reader and writer of this user finds them");
  install_weights->add_option("FILE", o->files, "Weights files, or HDF5 files that carry some")->required();
  install_weights->add_option("--to", o->folder, "Another folder (for H5NEURAL_WEIGHTS_PATH)");
  auto* const extract_weights =
      sub->add_subcommand("extract", "Write the weights inside of an HDF5 file as files");
  extract_weights->add_option("FILE", o->files, "HDF5 files that carry weights")->required();
  extract_weights->add_option("-o,--out", o->folder, "Folder to write to (default: this one)");
  return {sub, [=] {
            if (list_weights->parsed()) return list(*o);
            if (show_weights->parsed()) return show(*o);
            return install_weights->parsed() ? install(*o) : extract(*o);
          }};
}

}  // namespace h5neural::tool

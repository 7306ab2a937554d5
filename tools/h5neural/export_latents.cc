// export_latents.cc: `h5neural export-latents`: the latents of a dataset as an array, with the way back to
// values: the training set of an emulator. Decodes nothing.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chunk_output.h"
#include "commands.h"
#include "h5neural/h5neural.h"
#include "output_file.h"
#include "tool_error.h"
#include "weights_files.h"

namespace h5neural::tool {
namespace {

struct Options {
  std::string in, out, model;
};

constexpr const char* kMeaning =
    "latents [chunks..., vectors..., numbers]: one vector of integers for each chunk (or block of a chunk), "
    "as the "
    "model's first program takes them. A value of the base field is offset + scale * (what the model's last "
    "program "
    "gives); scale and offset are [chunks..., vectors...]. has_latents is 0 where a chunk has no latents of "
    "this model: "
    "its numbers are 0 and mean nothing. The first numbers of a vector are its latents (attribute latents: "
    "how many), the "
    "others correct what the model makes of these.";

struct Arrays {
  h5n_latents info{};
  std::vector<int32_t> numbers;
  std::vector<double> scale, offset;
};

// What one chunk's payload holds; nothing where it has no latents. Throws ToolError for a damaged one.
std::optional<Arrays> latents_of(const CompressedInput& in, const Extents& offset, bool values) {
  const auto stored = read_stored_chunk(in.dataset, offset);
  if (!stored || stored->unfiltered) return std::nullopt;
  Arrays a;
  h5n_error error{};
  const auto get = [&](int32_t* numbers, double* scale, double* places) {
    if (!stored->problem.empty()) fail("{}, chunk at {}: {}", in.name, extents_text(offset), stored->problem);
    if (h5n_latents_get(stored->bytes.data(), stored->bytes.size(), &a.info, numbers, scale, places,
                        &error) != H5N_OK) {
      fail("{}, chunk at {}: {}", in.name, extents_text(offset), error.message);
    }
  };
  get(nullptr, nullptr, nullptr);
  if (a.info.model == 0) return std::nullopt;
  if (values && a.info.vectors > 0) {
    a.numbers.resize(a.info.vectors * a.info.numbers);
    a.scale.resize(a.info.vectors);
    a.offset.resize(a.info.vectors);
    get(a.numbers.data(), a.scale.data(), a.offset.data());
  }
  return a;
}

std::string model_text(uint64_t hash) {
  const auto found = find_weights([hash](const h5n_weights& w) { return w.hash == hash; });
  return found ? fmt::format("{} ({:016x})", found->name, hash) : fmt::format("{:016x}", hash);
}

// The model whose latents are taken: the one asked for, or the only one.
h5n_latents choose_model(const CompressedInput& in, const Options& o) {
  std::map<uint64_t, h5n_latents> models;
  std::optional<uint64_t> network;
  for (Extents offset; next_block(in.dataset.extents, in.dataset.chunk, offset);) {
    const auto a = latents_of(in, offset, false);
    if (a && a->info.vectors == 0) network = a->info.model;
    if (a && a->info.vectors > 0) models.emplace(a->info.model, a->info);
  }
  if (models.empty() && network) {
    fail(
        "{}: no chunk has latents, since {} only refines the corrections; `h5neural repack --model NAME` "
        "asks "
        "for a model that has some",
        in.name, model_text(*network));
  }
  if (models.empty()) {
    fail("{}: no chunk has a model, so there are no latents; `h5neural repack --model NAME` asks for one",
         in.name);
  }
  if (!o.model.empty()) {
    const auto found = models.find(weights_called(o.model).hash);
    if (found == models.end()) fail("{}: no chunk has latents of {}", in.name, o.model);
    return found->second;
  }
  if (models.size() > 1) {
    std::string names;
    for (const auto& [hash, info] : models) names += (names.empty() ? "" : ", ") + model_text(hash);
    fail("{}: its chunks have latents of several models ({}); name one with --model", in.name, names);
  }
  return models.begin()->second;
}

Extents joined(Extents a, const Extents& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct Outputs {
  Handle latents, scale, offset, has;
};

Outputs make_outputs(hid_t file, const CompressedInput& in, const h5n_latents& model) {
  const Extents chunks = chunk_grid(in.dataset), vectors(model.grid, model.grid + model.grid_rank);
  const Extents places = joined(chunks, vectors);
  if (places.size() + 1 > H5S_MAX_RANK) fail("{}: its rank leaves no room for the latents' axes", in.name);
  Outputs out;
  out.latents = make_dataset(file, "latents", H5T_STD_I32LE, joined(places, {model.numbers}));
  out.scale = make_dataset(file, "scale", H5T_IEEE_F64LE, places);
  out.offset = make_dataset(file, "offset", H5T_IEEE_F64LE, places);
  out.has = make_dataset(file, "has_latents", H5T_STD_U8LE, chunks);
  const auto found = find_weights([&](const h5n_weights& w) { return w.hash == model.model; });
  write_text(out.latents, "meaning", kMeaning);
  write_text(out.latents, "source", in.name);
  write_text(out.latents, "model", found ? found->name : "");
  write_text(out.latents, "model_family", found ? found->family : "");
  write_text(out.latents, "model_sha256", found ? found->sha256 : fmt::format("{:016x}", model.model));
  write_numbers(out.latents, "extents", in.dataset.extents);
  write_numbers(out.latents, "chunk", in.dataset.chunk);
  write_numbers(out.latents, "latents", {model.latents});
  return out;
}

void write(const Outputs& out, const Extents& place, const Arrays& a) {
  const Extents vectors(a.info.grid, a.info.grid + a.info.grid_rank);
  const Extents one(place.size(), 1), zero(vectors.size(), 0);
  const Extents at = joined(place, zero), size = joined(one, vectors);
  write_block(out.latents, joined(at, {0}), joined(size, {a.info.numbers}), joined(size, {a.info.numbers}),
              H5T_NATIVE_INT32, a.numbers.data());
  write_block(out.scale, at, size, size, H5T_NATIVE_DOUBLE, a.scale.data());
  write_block(out.offset, at, size, size, H5T_NATIVE_DOUBLE, a.offset.data());
  const uint8_t yes = 1;
  write_block(out.has, place, one, one, H5T_NATIVE_UINT8, &yes);
}

int run(const Options& o) {
  start_hdf5();
  const CompressedInput in = open_compressed(o.in);
  const h5n_latents model = choose_model(in, o);
  OutputFile out(o.out, parse_target(o.in).file);
  uint64_t with = 0, without = 0;
  {
    const Handle file(H5Fcreate(out.unfinished().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
    if (!file.valid()) fail("{} cannot be written ({})", o.out, hdf5_error());
    const Outputs outputs = make_outputs(file, in, model);
    for (Extents offset; next_block(in.dataset.extents, in.dataset.chunk, offset);) {
      const auto a = latents_of(in, offset, true);
      const bool ours = a && a->info.model == model.model && a->info.vectors == model.vectors &&
                        a->info.numbers == model.numbers;
      ++(ours ? with : without);
      if (ours) write(outputs, chunk_place(in.dataset, offset), *a);
    }
  }
  out.finish();
  fmt::print("{}: {} vectors of {} numbers of {} from {} chunks", o.out, with * model.vectors, model.numbers,
             model_text(model.model), with);
  fmt::print("{}\n", without > 0 ? fmt::format("; {} chunks have none (has_latents)", without) : "");
  return kFine;
}

}  // namespace

Command add_export_latents(CLI::App& app) {
  auto* const sub = app.add_subcommand(
      "export-latents", "Write the latents of a dataset as an array, to learn from (decodes nothing)");
  auto o = std::make_shared<Options>();
  sub->add_option("IN", o->in, "FILE:/dataset")->required();
  sub->add_option("OUT", o->out, "HDF5 file to write: latents, scale, offset, has_latents")->required();
  sub->add_option("--model", o->model, "Where chunks have several: whose latents");
  return {sub, [o] { return run(*o); }};
}

}  // namespace h5neural::tool

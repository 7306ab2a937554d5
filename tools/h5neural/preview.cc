// preview.cc: `h5neural preview`: a dataset without its corrections, fast, for a look.
#include <fmt/format.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "chunk_output.h"
#include "commands.h"
#include "h5neural/h5neural.h"
#include "output_file.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

struct Options {
  std::string in, out;
};

// What is shown of a chunk: the engine's H5N_SHOWN_*, and two that it knows nothing of.
enum : uint8_t { kUnfiltered = 3, kNotStored = 4 };
constexpr std::array kShown{"values", "base field", "coarse levels", "unfiltered values", "fill value"};
constexpr const char* kCodes =
    "what is shown of each chunk: 0 the values themselves (lossless, constant, repeats, small chunks), 1 the "
    "base field "
    "of its model, 2 no base (no model, or one that refines the corrections): every few points and "
    "interpolation between, 3 values that are "
    "stored "
    "unfiltered, 4 not stored: fill value";

class Previewer {
 public:
  explicit Previewer(const CompressedInput& in) : in_(in) {
    uint64_t bytes = in.dataset.element_bytes;
    for (const hsize_t n : in.dataset.chunk) bytes *= n;
    chunk_.resize(bytes);
  }

  // Fills chunk() and says with what.
  uint8_t show(const Extents& offset) {
    const auto stored = read_stored_chunk(in_.dataset, offset);
    if (!stored) return kNotStored;
    if (!stored->problem.empty())
      fail("{}, chunk at {}: {}", in_.name, extents_text(offset), stored->problem);
    if (stored->unfiltered) {
      if (stored->bytes.size() != chunk_.size())
        fail("{}, chunk at {}: its size is wrong", in_.name, extents_text(offset));
      chunk_ = stored->bytes;
      return kUnfiltered;
    }
    h5n_error error{};
    uint32_t shown = 0;
    if (h5n_preview(stored->bytes.data(), stored->bytes.size(), chunk_.data(), chunk_.size(), &shown,
                    &error) != H5N_OK) {
      fail("{}, chunk at {}: {}", in_.name, extents_text(offset), error.message);
    }
    return static_cast<uint8_t>(shown);
  }
  const void* chunk() const { return chunk_.data(); }

 private:
  const CompressedInput& in_;
  std::vector<uint8_t> chunk_;
};

// A plain dataset like the compressed one, with its fill value.
Handle make_output(hid_t file, const CompressedInput& in, hid_t type) {
  const Handle dcpl(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  if (in.dataset.fill) {
    H5Pset_fill_value(dcpl, in.dataset.element == Element::kFloat32 ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE,
                      in.dataset.fill->data());
  }
  const std::string name = in.dataset.path.substr(in.dataset.path.rfind('/') + 1);
  return make_dataset(file, name, type, in.dataset.extents, dcpl);
}

int run(const Options& o) {
  start_hdf5();
  const CompressedInput in = open_compressed(o.in);
  OutputFile out(o.out, parse_target(o.in).file);
  std::array<uint64_t, kShown.size()> counts{};
  {
    const Handle file(H5Fcreate(out.unfinished().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
    if (!file.valid()) fail("{} cannot be written ({})", o.out, hdf5_error());
    const Handle type(H5Dget_type(in.dataset.id), H5Tclose);
    const Handle plain(H5Tcopy(type), H5Tclose);  // not the input's, where that is a named one
    const Handle values = make_output(file, in, plain);
    const Handle shown = make_dataset(file, "shown", H5T_STD_U8LE, chunk_grid(in.dataset));
    write_text(shown, "meaning", kCodes);
    write_text(values, "preview_of", in.name);
    write_text(values, "preview",
               "without corrections: no bound holds; `shown` says what stands in each chunk");
    Previewer previewer(in);
    for (Extents offset; next_block(in.dataset.extents, in.dataset.chunk, offset);) {
      const uint8_t what = previewer.show(offset);
      ++counts[what];
      const Extents one(offset.size(), 1), size = clip_block(in.dataset.extents, in.dataset.chunk, offset);
      write_block(shown, chunk_place(in.dataset, offset), one, one, H5T_NATIVE_UINT8, &what);
      if (what != kNotStored) write_block(values, offset, size, in.dataset.chunk, plain, previewer.chunk());
    }
  }
  out.finish();
  std::string text;
  for (size_t k = 0; k < counts.size(); ++k) {
    if (counts[k] > 0)
      text += fmt::format("{}{} in {} chunks", text.empty() ? "" : ", ", kShown[k], counts[k]);
  }
  fmt::print("{}: {}\n", o.out, text);
  if (counts[H5N_SHOWN_COARSE] > 0) {
    fmt::print(
        "some chunks have no base field (no model, or one that refines the corrections): every few points "
        "are "
        "decoded, and interpolated between\n");
  }
  return kFine;
}

}  // namespace

Command add_preview(CLI::App& app) {
  auto* const sub = app.add_subcommand(
      "preview",
      "Write a dataset without its corrections, for a look: the models' base fields, else coarse levels");
  auto o = std::make_shared<Options>();
  sub->add_option("IN", o->in, "FILE:/dataset")->required();
  sub->add_option("OUT", o->out, "HDF5 file to write: the dataset, and `shown`, what it is in each chunk")
      ->required();
  return {sub, [o] { return run(*o); }};
}

}  // namespace h5neural::tool

// judge.cc: see judge.h.
#include "judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "cd_values.h"
#include "payload_summary.h"
#include "request.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

constexpr uint64_t kBlockValues = uint64_t{1} << 22;  // of datasets that are not ours
constexpr double kL2Slack = 1e-9;  // relative: the writer adds the squares of a chunk in another order

// What the whole dataset promises.
struct Asked {
  uint32_t mode = H5N_LOSSLESS;
  double bound = 0;
  bool is_l2() const { return mode >= H5N_PSNR; }
  double nrmse() const { return mode == H5N_PSNR ? std::pow(10, -bound / 20) : bound; }
};

template <class T>
std::optional<T> fill_of(const Dataset& d) {
  if (!d.fill || d.fill->size() != sizeof(T)) return std::nullopt;
  T fill;
  std::memcpy(&fill, d.fill->data(), sizeof fill);
  return fill;
}

uint64_t product(const Extents& e) {
  uint64_t n = 1;
  for (const hsize_t v : e) n *= v;
  return n;
}

// The blocks in which two datasets are walked: the chunks of a compressed one, else rows of moderate size.
Extents blocks_of(const Dataset& d) {
  if (d.ours() != nullptr) return d.chunk;
  Extents block = d.extents;
  for (size_t a = 0; a < block.size() && product(block) > kBlockValues; ++a) {
    const uint64_t others = std::max<uint64_t>(product(block) / std::max<hsize_t>(block[a], 1), 1);
    block[a] = std::max<uint64_t>(kBlockValues / others, 1);
  }
  return block;
}

// What one chunk of `copy` promises for the values `original`. `info` is missing for a chunk that is not
// stored.
template <class T>
Promise promise_of(const Asked& asked, const Dataset& copy, const Extents& offset, bool full_chunk,
                   std::span<const T> original) {
  Promise p;
  const auto stored = read_stored_chunk(copy, offset);
  std::string problem;
  const auto info = stored ? inspect(*stored, problem) : std::nullopt;
  const bool kept_exactly = asked.mode == H5N_LOSSLESS || (stored && stored->unfiltered) ||
                            (info && (info->kind == H5N_KIND_RAW || info->kind == H5N_KIND_LOSSLESS));
  if (kept_exactly) {
    p.exact = true;
  } else if (asked.mode == H5N_ABS) {
    p.abs = asked.bound;
  } else if (asked.mode == H5N_RATIO) {
    p.ratio = asked.bound;
  } else if (asked.mode == H5N_REL) {
    // The range is the chunk's, padding included; where there is padding only the payload knows it.
    if (info) p.abs = info->abs_bound;
    if (full_chunk || !info) p.abs = std::min(p.abs, asked.bound * range_of(original, fill_of<T>(copy)));
  }
  return p;
}

// Padding counts as values unless the user defined the fill value that it is made of.
uint64_t counted_padding(const Dataset& copy, const Extents& block, const Extents& size) {
  return copy.fill ? 0 : product(block) - product(size);
}

// The root mean square error of a chunk over its range. In a chunk at the edge the bound holds with the
// padding, zeros.
double nrmse_of(Differences d, uint64_t padding) {
  d.measured += padding;
  return d.nrmse();
}

// The sum of squares in each patch of a chunk, and its points.
class PatchSums {
 public:
  // 8 x 8 points of the last two axes of `block` longer than 1, or 64 in a row; of these the chunk has
  // `size`.
  PatchSums(const Extents& block, const Extents& size) {
    for (size_t a = 0; a < block.size(); ++a) {
      if (block[a] == 1) continue;
      rows_ = std::exchange(columns_, Axis{block[a], size[a], kSide});
      ++axes_;
    }
    if (axes_ < 2) columns_.side = kSide * kSide;
    const uint64_t planes = product(size) / std::max<uint64_t>(1, rows_.size * columns_.size);
    sums_.resize(planes * rows_.patches() * columns_.patches());
  }

  void add(uint64_t at, double error) {
    Sum& sum = sums_[patch_of(at)];
    sum.squares += error * error;
    ++sum.points;
  }

  // The largest root mean square, the points of padding counted where `padded`.
  double worst(bool padded) const {
    double worst = 0;
    for (size_t p = 0; p < sums_.size(); ++p) {
      const uint64_t row = p / columns_.patches() % rows_.patches(), column = p % columns_.patches();
      const uint64_t more =
          padded ? rows_.in_block(row) * columns_.in_block(column) - rows_.here(row) * columns_.here(column)
                 : 0;
      const uint64_t points = sums_[p].points + more;
      if (points > 0) worst = std::max(worst, std::sqrt(sums_[p].squares / static_cast<double>(points)));
    }
    return worst;
  }

 private:
  static constexpr uint64_t kSide = 8;
  struct Axis {
    uint64_t block = 1, size = 1, side = kSide;
    uint64_t patches() const { return (size + side - 1) / side; }
    uint64_t in_block(uint64_t patch) const { return std::min(side, block - patch * side); }
    uint64_t here(uint64_t patch) const { return std::min(side, size - patch * side); }
  };
  struct Sum {
    double squares = 0;
    uint64_t points = 0;
  };
  uint64_t patch_of(uint64_t at) const {
    const uint64_t column = at % columns_.size, row = at / columns_.size % rows_.size;
    const uint64_t plane = at / columns_.size / rows_.size;
    return (plane * rows_.patches() + row / rows_.side) * columns_.patches() + column / columns_.side;
  }

  int axes_ = 0;
  Axis rows_, columns_;
  std::vector<Sum> sums_;
};

// The root mean square error of the worst patch over the range of the chunk.
template <class T>
double patch_nrmse_of(std::span<const T> x, std::span<const T> y, const std::optional<T>& fill,
                      const Extents& block, const Extents& size, const Differences& d, bool padded) {
  if (d.sum_of_squares == 0) return 0;
  PatchSums sums(block, size);
  for (size_t i = 0; i < x.size(); ++i) {
    if (!is_special(x[i], fill)) sums.add(i, static_cast<double>(x[i]) - static_cast<double>(y[i]));
  }
  return sums.worst(padded) / d.range();
}

template <class T>
void compare_floats(const Dataset& original, const Dataset& copy, const std::optional<Asked>& asked,
                    const std::optional<double>& abs, Verdict& v) {
  const hid_t type = sizeof(T) == 4 ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
  const Extents block = blocks_of(copy);
  const std::optional<T> fill = asked ? fill_of<T>(copy) : std::nullopt;
  std::vector<T> x, y;
  for (Extents offset; next_block(copy.extents, block, offset);) {
    const Extents size = clip_block(copy.extents, block, offset);
    x.resize(product(size));
    y.resize(product(size));
    read_block(original, offset, size, type, x.data());
    read_block(copy, offset, size, type, y.data());
    Promise p;
    const bool full = size == block;
    if (asked) {
      p = promise_of<T>(*asked, copy, offset, full, x);
    } else if (abs) {
      p.abs = *abs;
    } else {
      p.exact = true;
    }
    Differences d = compare<T>(x, y, fill, p);
    if (asked && asked->is_l2()) {
      const uint64_t padding = counted_padding(copy, block, size);
      Differences padded = d;
      if (padding > 0) {
        padded.low = std::min(d.low, 0.0);
        padded.high = std::max(d.high, 0.0);
      }
      if (asked->mode == H5N_BLOCK_NRMSE)
        d.patch_nrmse = patch_nrmse_of<T>(x, y, fill, block, size, padded, padding > 0);
      const double reached = asked->mode == H5N_BLOCK_NRMSE ? d.patch_nrmse : nrmse_of(padded, padding);
      d.max_over_bound = reached / asked->nrmse();
    }
    const bool l2_broken = asked && asked->is_l2() && d.max_over_bound > 1 + kL2Slack;
    if (d.beyond > 0 || d.specials_changed > 0 || l2_broken) ++v.broken_chunks;
    v.differences.add(d);
  }
}

// Values of any other type: byte by byte.
void compare_bytes(const Dataset& original, const Dataset& copy, Verdict& v) {
  const Handle type(H5Dget_type(original.id), H5Tclose);
  const Handle native(H5Tget_native_type(type, H5T_DIR_DEFAULT), H5Tclose);
  const size_t bytes = native.valid() ? H5Tget_size(native) : 0;
  if (bytes == 0) fail("{}: its type cannot be read ({})", original.path, hdf5_error());
  const Extents block = blocks_of(copy);
  for (Extents offset; next_block(copy.extents, block, offset);) {
    const Extents size = clip_block(copy.extents, block, offset);
    std::vector<uint8_t> x(product(size) * bytes), y(x.size());
    read_block(original, offset, size, native, x.data());
    read_block(copy, offset, size, native, y.data());
    v.differences.values += product(size);
    for (size_t i = 0; i < x.size(); i += bytes) {
      if (std::memcmp(&x[i], &y[i], bytes) != 0) ++v.differences.changed;
    }
  }
}

void judge(Verdict& v, bool promised) {
  const Differences& d = v.differences;
  if (d.changed == 0) {
    v.outcome = Outcome::kIdentical;
    v.text = "identical";
  } else if (d.specials_changed > 0) {
    v.outcome = Outcome::kBroken;
    v.text =
        fmt::format("BROKEN: {} of {} NaN, Inf, -0 and fill values changed", d.specials_changed, d.specials);
  } else if (v.broken_chunks > 0 && promised) {
    v.outcome = Outcome::kBroken;
    v.text = d.beyond > 0
                 ? fmt::format("BROKEN: {} values beyond the bound, in {} chunks", d.beyond, v.broken_chunks)
                 : fmt::format("BROKEN: {} chunks miss the bound", v.broken_chunks);
  } else if (!promised) {
    v.outcome = Outcome::kBroken;
    v.text = fmt::format("DIFFERS in {} of {} values, and no bound is known", d.changed, d.values);
  } else {
    v.text = "kept";
  }
}

Asked asked_of(const Dataset& d) {
  h5n_params params{};
  Message why;
  const Filter& f = *d.ours();
  if (cdv_read_request(f.words.data(), f.words.size(), &params, &why) != 0) fail("{}: {}", d.path, why.text);
  return {params.mode, params.bound};
}

void compare_datasets(const Dataset& first, const Dataset& second, const std::optional<double>& abs,
                      Verdict& v) {
  if (first.extents != second.extents || first.type_text != second.type_text ||
      first.element_bytes != second.element_bytes || first.element != second.element) {
    v.outcome = Outcome::kBroken;
    v.text = fmt::format("DIFFERS: {} {} became {} {}", first.type_text, extents_text(first.extents),
                         second.type_text, extents_text(second.extents));
    return;
  }
  if (!first.plain) {
    v.outcome = Outcome::kSkipped;
    v.text = "not compared: " + first.type_text;
    return;
  }
  if (first.element == Element::kOther) {
    compare_bytes(first, second, v);
    judge(v, false);
    return;
  }
  // The compressed one is the copy, whichever was named first; of two, the second.
  const bool swapped = second.ours() == nullptr && first.ours() != nullptr;
  const Dataset& original = swapped ? second : first;
  const Dataset& copy = swapped ? first : second;
  std::optional<Asked> asked;
  if (copy.ours() != nullptr) {
    asked = asked_of(copy);
    v.bound = bound_text(asked->mode, asked->bound);
    const auto raw = static_cast<double>(copy.count() * copy.element_bytes);
    v.ratio = copy.stored_bytes > 0 ? raw / static_cast<double>(copy.stored_bytes) : 0;
  } else if (abs) {
    v.bound = bound_text(H5N_ABS, *abs);
  }
  if (original.element == Element::kFloat32) {
    compare_floats<float>(original, copy, asked, abs, v);
  } else {
    compare_floats<double>(original, copy, asked, abs, v);
  }
  judge(v, asked || abs);
}

}  // namespace

Verdict judge_pair(hid_t first, const std::string& first_path, hid_t second, const std::string& second_path,
                   const std::optional<double>& abs) {
  Verdict v;
  v.path = first_path;
  if (H5Lexists(second, second_path.c_str(), H5P_DEFAULT) <= 0) {
    v.outcome = Outcome::kBroken;
    v.text = "MISSING in the second file";
    return v;
  }
  try {
    compare_datasets(open_dataset(first, first_path), open_dataset(second, second_path), abs, v);
  } catch (const ToolError& e) {
    v.outcome = Outcome::kUnreadable;
    v.text = std::string("UNREADABLE: ") + e.what();
  }
  return v;
}

}  // namespace h5neural::tool

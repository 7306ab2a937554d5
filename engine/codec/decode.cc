// decode.cc: the reader's way of a chunk: latents -> base field -> corrections -> lattice -> values ->
// specials. Read this file and encode.cc first. Everything is integer arithmetic up to Lattice::value, one
// IEEE multiplication.
#include "codec/decode.h"

#include <algorithm>
#include <array>

#include "bounds/lattice.h"
#include "codec/exact_bytes.h"
#include "codec/frame_series.h"
#include "codec/frame_transform.h"
#include "corrections/reference.h"
#include "corrections/repeats.h"
#include "corrections/walk.h"
#include "specials/specials.h"
#include "transform/transform.h"
#include "weights/weights.h"

namespace h5neural {
namespace {

// Word: the unsigned integer of the size of a value.
template <class Word>
void apply_specials(const Specials& s, std::span<uint8_t> out) {
  const auto put = [&](size_t k, uint64_t bits) {
    const auto word = static_cast<Word>(bits);
    std::memcpy(out.data() + k * sizeof word, &word, sizeof word);
  };
  std::array<uint64_t, 256> bits{};  // by class
  std::copy(s.patterns.begin(), s.patterns.end(), bits.begin() + 1);
  const size_t literal_class = s.patterns.size() + 1;
  size_t literal = 0;
  for (size_t k = 0; k < s.classes.size(); ++k) {
    const uint8_t c = s.classes[k];
    if (c == 0) continue;
    put(k, c == literal_class ? s.literals[literal++] : bits[c]);
  }
  for (const auto& o : s.outliers) put(o.index, o.bits);
}

void apply_specials(const Payload& p, const Specials& s, std::span<uint8_t> out) {
  p.type == H5N_FLOAT32 ? apply_specials<uint32_t>(s, out) : apply_specials<uint64_t>(s, out);
}

std::vector<int32_t> base_field(const Payload& p, const Model* model) {
  std::vector<int32_t> base;
  if (model == nullptr) return base;
  if (model->network() != nullptr) {
    if (!p.latents.empty()) fail_corrupt("its model has no latents");
    return base;
  }
  const Extents extents = p.extents.folded();
  if (!model->serves(extents)) fail_corrupt("its model does not serve these extents");
  base.resize(p.extents.count());
  model->decode(p.latents, extents, base);
  return base;
}

std::shared_ptr<const Model> model_of(const Payload& p) {
  return p.model == 0 ? nullptr : find_model(p.model);
}

// What a walk needs: after the lattice u8 0, or the axis of a reference plus 1 (plus 8 where places learn),
// its length and its section; then the walk.
struct OpenWalk {
  std::shared_ptr<const Model> model;
  std::vector<int32_t> base;
  WalkInput in;
  ByteSpan section;

  OpenWalk(const Payload& p, const Lattice& lattice, const Specials& specials, ByteReader& r)
      : model(model_of(p)), base(base_field(p, model.get())) {
    if (model) in.network = model->network();
    in.n = fold(p.extents);
    in.step_bits = lattice.step_bits;
    in.skip = specials.classes;
    const auto head = r.get<uint8_t>();
    const int reference = head & ~kPlacesLearn;
    in.learns = (head & kPlacesLearn) != 0;
    if (reference > kAxes || (head != 0 && (reference == 0 || !base.empty()))) {
      fail_corrupt("its reference is unknown");
    }
    if (reference != 0) base = decode_reference(in, reference - 1, r.take(r.varint()));
    in.base = base;
    section = r.take(r.left());
  }
  OpenWalk(const OpenWalk&) = delete;
  OpenWalk& operator=(const OpenWalk&) = delete;
};

std::vector<int32_t> walked_points(const Payload& p, const Lattice& lattice, const Specials& specials,
                                   ByteReader& r) {
  const OpenWalk walk(p, lattice, specials, r);
  std::vector<int32_t> points(p.extents.count());
  decode_walk(walk.in, walk.section, points);
  return points;
}

// What every way to code lattice points is given.
WalkInput plain_input(const Payload& p, const Lattice& lattice, const Specials& specials) {
  WalkInput in;
  in.n = fold(p.extents);
  in.step_bits = lattice.step_bits;
  in.skip = specials.classes;
  return in;
}

std::vector<int32_t> transformed_points(const Payload& p, const Lattice& lattice, const Specials& specials,
                                        ByteReader& r) {
  std::vector<int32_t> points(p.extents.count());
  decode_transform(plain_input(p, lattice, specials), r.take(r.left()), points);
  const std::shared_ptr<const Model> model = model_of(p);
  if (model != nullptr && model->network() != nullptr) fail_corrupt("its model is not for a transform");
  if (model != nullptr && model->frames() != nullptr) {
    add_predicted_frames(p, points);
    return points;
  }
  add_base(base_field(p, model.get()), points);
  return points;
}

std::vector<int32_t> framed_points(const Payload& p, const Lattice& lattice, const Specials& specials,
                                   ByteReader& r) {
  std::vector<int32_t> points(p.extents.count());
  decode_frame_series(p, plain_input(p, lattice, specials), r.take(r.left()), points);
  return points;
}

template <class T>
void decode_lattice(const Payload& p, const Specials& specials, std::span<uint8_t> out) {
  ByteReader r(p.corrections);
  const Lattice lattice = Lattice::read(r);
  std::vector<int32_t> points;
  if (p.kind == H5N_KIND_WALK) {
    points = walked_points(p, lattice, specials, r);
  } else if (p.kind == H5N_KIND_TRANSFORM) {
    points = transformed_points(p, lattice, specials, r);
  } else if (p.kind == H5N_KIND_FRAMES) {
    points = framed_points(p, lattice, specials, r);
  } else {
    points.resize(p.extents.count());
    decode_repeats(r.take(r.left()), p.extents, points);
  }
  for (size_t k = 0; k < points.size(); ++k) {
    const T v = lattice.value<T>(points[k]);
    std::memcpy(out.data() + k * sizeof v, &v, sizeof v);
  }
}

// One value for all regular points.
void decode_constant(const Payload& p, std::span<uint8_t> out) {
  const size_t size = p.element_bytes();
  if (p.corrections.size() != size) fail_corrupt("its constant has a wrong size");
  for (size_t k = 0; k < out.size(); k += size) std::memcpy(out.data() + k, p.corrections.data(), size);
}

}  // namespace

uint64_t count_specials(const Payload& p) {
  if (p.kind == H5N_KIND_RAW || p.kind == H5N_KIND_LOSSLESS) return 0;
  return read_specials(p.specials, p.extents, static_cast<int>(p.element_bytes())).count();
}

void decode_payload(const Payload& p, std::span<uint8_t> out) {
  if (out.size() != p.raw_bytes()) {
    throw Failure(H5N_ERR_ARGUMENT, "h5neural: the chunk decodes to " + std::to_string(p.raw_bytes()) +
                                        " bytes, not " + std::to_string(out.size()) +
                                        "; pass h5n_info.raw_bytes");
  }
  if (p.kind == H5N_KIND_RAW) {
    if (p.corrections.size() != out.size()) fail_corrupt("its raw values have a wrong size");
    std::memcpy(out.data(), p.corrections.data(), out.size());
  } else if (p.kind == H5N_KIND_LOSSLESS) {
    unpack_exact(p.corrections, p.element_bytes(), out);
  } else {
    const Specials specials = read_specials(p.specials, p.extents, static_cast<int>(p.element_bytes()));
    if (p.kind == H5N_KIND_CONSTANT) {
      decode_constant(p, out);
    } else if (p.type == H5N_FLOAT32) {
      decode_lattice<float>(p, specials, out);
    } else {
      decode_lattice<double>(p, specials, out);
    }
    apply_specials(p, specials, out);
  }
  // Kinds that compute values do so in the machine's own order (little endian); the hash is of these.
  if (hash_values(out) != p.values_hash) fail_corrupt("the hash of its decoded values does not match");
  if (p.big_endian) swap_bytes(out, p.element_bytes());
}

// ---- for a look

namespace {

constexpr int64_t kPreviewShare = 16;     // of the points one is decoded, where there is no base
constexpr int64_t kPreviewPoints = 4096;  // smaller chunks are decoded

bool has_base(const Model* model) {
  return model != nullptr && model->network() == nullptr && model->frames() == nullptr;
}

// The base field of a walk or a transform, or the coarse levels of a walk; says which.
uint32_t preview_points(const Payload& p, const Specials& specials, std::span<int32_t> points,
                        Lattice& lattice) {
  ByteReader r(p.corrections);
  lattice = Lattice::read(r);
  const auto model = model_of(p);
  if (has_base(model.get())) {
    const std::vector<int32_t> field = base_field(p, model.get());
    std::copy(field.begin(), field.end(), points.begin());
    return H5N_SHOWN_BASE;
  }
  const OpenWalk walk(p, lattice, specials, r);
  const auto count = static_cast<int64_t>(points.size());
  decode_walk_coarse(walk.in, walk.section, std::max(count / kPreviewShare, kPreviewPoints), points);
  return H5N_SHOWN_COARSE;
}

template <class T>
uint32_t preview_lattice(const Payload& p, const Specials& specials, std::span<uint8_t> out) {
  std::vector<int32_t> points(p.extents.count());
  Lattice lattice;
  const uint32_t shown = preview_points(p, specials, points, lattice);
  for (size_t k = 0; k < points.size(); ++k) {
    const T v = lattice.value<T>(points[k]);
    std::memcpy(out.data() + k * sizeof v, &v, sizeof v);
  }
  return shown;
}

}  // namespace

uint32_t preview_payload(const Payload& p, std::span<uint8_t> out) {
  const bool walk = p.kind == H5N_KIND_WALK,
             small = p.extents.count() <= static_cast<uint64_t>(kPreviewPoints),
             based = (walk || p.kind == H5N_KIND_TRANSFORM) && has_base(model_of(p).get());
  if ((!based && (!walk || small)) || out.size() != p.raw_bytes()) {
    decode_payload(p, out);
    return H5N_SHOWN_ALL;
  }
  const Specials specials = read_specials(p.specials, p.extents, static_cast<int>(p.element_bytes()));
  const uint32_t shown = p.type == H5N_FLOAT32 ? preview_lattice<float>(p, specials, out)
                                               : preview_lattice<double>(p, specials, out);
  apply_specials(p, specials, out);
  if (p.big_endian) swap_bytes(out, p.element_bytes());
  return shown;
}

}  // namespace h5neural

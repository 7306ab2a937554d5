// api.cc: the C API over the engine: the only place where failures become values. Nothing throws past it.
#include <algorithm>
#include <cfenv>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <new>

#include "codec/decode.h"
#include "codec/encode.h"
#include "codec/latents.h"
#include "codec/params.h"
#include "exact/backend.h"
#include "h5neural/h5neural.h"
#include "kernels/kernels.h"
#include "weights/carried.h"
#include "weights/weights.h"

namespace {

using namespace h5neural;

template <size_t N>
void copy_text(char (&to)[N], const std::string& from) {
  const size_t n = std::min(N - 1, from.size());
  std::memcpy(to, from.data(), n);
  to[n] = 0;
}

int32_t report(h5n_error* error, int32_t status, const char* message) {
  if (error != nullptr) {
    error->status = status;
    copy_text(error->message, message);
  }
  return status;
}

// The default floating-point environment while it lives: hosts may run with other rounding modes, or with
// denormals flushed to zero, and a reader's multiplication must give the same bits in all of them.
class DefaultArithmetic {
 public:
  DefaultArithmetic() {
    std::fegetenv(&host_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~DefaultArithmetic() { std::fesetenv(&host_); }
  DefaultArithmetic(const DefaultArithmetic&) = delete;
  DefaultArithmetic& operator=(const DefaultArithmetic&) = delete;

 private:
  std::fenv_t host_{};
};

template <class Work>
int32_t guarded(h5n_error* error, Work&& work) noexcept {
  const DefaultArithmetic arithmetic;
  try {
    work();
    return report(error, H5N_OK, "");
  } catch (const Failure& f) {
    return report(error, f.status(), f.what());
  } catch (const std::bad_alloc&) {
    return report(error, H5N_ERR_MEMORY, "h5neural: out of memory; use smaller chunks");
  } catch (const std::exception& e) {
    return report(error, H5N_ERR_INTERNAL, e.what());
  }
}

struct KernelSet {
  SimdTarget target;
  const char* name;
};
constexpr KernelSet kKernelSets[] = {
#if defined(__x86_64__)
    {SimdTarget::kAvx2, "avx2"}, {SimdTarget::kAvx512, "avx512"}
#else
    {SimdTarget::kNeon, "neon"}
#endif
};

void require(const void* pointer, const char* name) {
  if (pointer == nullptr) {
    throw Failure(H5N_ERR_ARGUMENT,
                  std::string("h5neural: ") + name + " is a null pointer; pass a valid one");
  }
}

}  // namespace

extern "C" {

const char* h5n_version(void) { return H5NEURAL_VERSION; }

uint32_t h5n_api_major(void) { return H5N_API_MAJOR; }

int32_t h5n_check(const h5n_params* params, h5n_error* error) {
  return guarded(error, [&] {
    require(params, "params");
    check_params(*params);
  });
}

int32_t h5n_encode(const h5n_params* params, const void* chunk, size_t nbytes, void** payload,
                   size_t* payload_bytes, h5n_error* error) {
  return guarded(error, [&] {
    require(params, "params");
    require(chunk, "chunk");
    require(payload, "payload");
    require(payload_bytes, "payload_bytes");
    const Bytes out = encode_chunk(*params, {static_cast<const uint8_t*>(chunk), nbytes});
    void* copy = std::malloc(out.size());
    if (copy == nullptr) throw std::bad_alloc();
    std::memcpy(copy, out.data(), out.size());
    *payload = copy;
    *payload_bytes = out.size();
  });
}

void h5n_free(void* payload) { std::free(payload); }

int32_t h5n_inspect(const void* payload, size_t payload_bytes, h5n_info* info, h5n_error* error) {
  return guarded(error, [&] {
    require(payload, "payload");
    require(info, "info");
    const Payload p = parse_payload({static_cast<const uint8_t*>(payload), payload_bytes});
    *info = {};
    info->version = kPayloadVersion;
    info->kind = p.kind;
    info->mode = p.mode;
    info->bound = p.bound;
    info->abs_bound = p.kind == H5N_KIND_RAW || p.kind == H5N_KIND_LOSSLESS ? 0 : p.abs_bound;
    info->type = p.type;
    info->big_endian = p.big_endian;
    info->rank = static_cast<uint32_t>(p.extents.rank);
    std::copy(p.extents.n.begin(), p.extents.n.end(), info->dims);
    info->raw_bytes = p.raw_bytes();
    info->model = p.model;
    if (p.model != 0) {
      try {
        copy_text(info->model_name, find_model(p.model)->name());
      } catch (const Failure&) {
        info->model_name[0] = 0;  // its weights are not at hand; inspecting does not need them
      }
    }
    info->header_bytes = p.header_bytes;
    info->latents_bytes = p.latents.size();
    info->corrections_bytes = p.corrections.size();
    info->specials_bytes = p.specials.size();
    info->specials = count_specials(p);
  });
}

int32_t h5n_decode(const void* payload, size_t payload_bytes, void* chunk, size_t nbytes, h5n_error* error) {
  return guarded(error, [&] {
    require(payload, "payload");
    require(chunk, "chunk");
    decode_payload(parse_payload({static_cast<const uint8_t*>(payload), payload_bytes}),
                   {static_cast<uint8_t*>(chunk), nbytes});
  });
}

int32_t h5n_preview(const void* payload, size_t payload_bytes, void* chunk, size_t nbytes, uint32_t* shown,
                    h5n_error* error) {
  return guarded(error, [&] {
    require(payload, "payload");
    require(chunk, "chunk");
    require(shown, "shown");
    *shown = preview_payload(parse_payload({static_cast<const uint8_t*>(payload), payload_bytes}),
                             {static_cast<uint8_t*>(chunk), nbytes});
  });
}

int32_t h5n_latents_get(const void* payload, size_t payload_bytes, h5n_latents* info, int32_t* numbers,
                        double* scale, double* offset, h5n_error* error) {
  return guarded(error, [&] {
    require(payload, "payload");
    require(info, "info");
    const Payload p = parse_payload({static_cast<const uint8_t*>(payload), payload_bytes});
    const LatentArray a = payload_latents(p);
    *info = {};
    info->model = p.model;
    info->grid_rank = static_cast<uint32_t>(a.grid.size());
    std::copy(a.grid.begin(), a.grid.end(), info->grid);
    info->vectors = a.scale.size();
    info->numbers = a.numbers;
    info->latents = a.latents;
    if (numbers != nullptr) std::copy(a.values.begin(), a.values.end(), numbers);
    if (scale != nullptr) std::copy(a.scale.begin(), a.scale.end(), scale);
    if (offset != nullptr) std::copy(a.offset.begin(), a.offset.end(), offset);
  });
}

int32_t h5n_backend_get(uint32_t index, h5n_backend* backend) {
  int32_t found = 0;
  guarded(nullptr, [&] {
    if (backend == nullptr) return;
    const size_t programs = backends().size();
    if (index < programs) {
      const Backend& b = *backends()[index];
      *backend = {b.name(), b.available(), b.available() && passes_known_answer(b)};
    } else if (index < programs + std::size(kKernelSets)) {
      const auto& [target, name] = kKernelSets[index - programs];
      const Kernels* k = simd_kernels(target);
      *backend = {name, k != nullptr, k != nullptr && passes_known_answer(*k)};
    } else {
      return;
    }
    found = 1;
  });
  return found;
}

int32_t h5n_weights_get(uint32_t index, h5n_weights* weights) {
  int32_t found = 0;
  guarded(nullptr, [&] {
    const std::vector<WeightsEntry> all = list_weights();
    if (weights == nullptr || index >= all.size()) return;
    const WeightsEntry& e = all[index];
    *weights = {};
    weights->hash = e.hash;
    copy_text(weights->sha256, e.sha256);
    copy_text(weights->name, e.name);
    copy_text(weights->family, e.family);
    copy_text(weights->source, e.source);
    copy_text(weights->problem, e.problem);
    found = 1;
  });
  return found;
}

void h5n_sha256(const void* bytes, size_t nbytes, char digits[65]) {
  const std::string text = hex(sha256({static_cast<const uint8_t*>(bytes), nbytes}));
  std::memcpy(digits, text.c_str(), text.size() + 1);
}

int32_t h5n_carried_record(const h5n_carried* weights, uint32_t count, void* record, size_t* record_bytes,
                           h5n_error* error) {
  return guarded(error, [&] {
    require(weights, "weights");
    require(record, "record");
    require(record_bytes, "record_bytes");
    std::vector<Carried> entries;
    for (uint32_t i = 0; i < count && i <= kMostCarried; ++i) {
      entries.push_back({parse_sha256(weights[i].sha256), weights[i].offset, weights[i].length});
    }
    const Bytes bytes = write_carried_record(entries);
    static_assert(H5N_MOST_CARRIED == kMostCarried && H5N_CARRIED_RECORD_BYTES >= 24 + 48 * kMostCarried + 8);
    std::memcpy(record, bytes.data(), bytes.size());
    *record_bytes = bytes.size();
  });
}

}  // extern "C"

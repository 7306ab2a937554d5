// h5zneural.c: the HDF5 plugin. A thin shim: it says who it is, checks and completes a dataset's parameters
// when the dataset is created, and hands each chunk to the engine. Knows the parameters' layout only through
// cd_values.h, the calling libhdf5 only through hdf5_caller.h, and the engine only through its C API. Links
// libc alone.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cd_values.h"
#include "engine_loader.h"
#include "filter_id.h"
#include "hdf5_caller.h"

#define EXPORTED __attribute__((visibility("default")))
// The address in the calling libhdf5. Only right in the callback itself, never in a function that it calls.
#define CALLER __builtin_return_address(0)

enum { kMaxHdf5Rank = 32 };

static const char kTypesServed[] =
    "served are IEEE float32 and float64 in both byte orders; leave this dataset to another filter";

// ---- creation: can_apply and set_local ----

// The element type, into type and byte order.
static int examine_type(const Hdf5* h, hid_t type, h5n_params* params, Message* why) {
  const int kind = h->get_class(type);
  const size_t bytes = h->get_size(type);
  if (kind != kH5tFloat) {
    const char* const name = kind == kH5tInteger    ? "integers"
                             : kind == kH5tCompound ? "compound values"
                             : kind == kH5tArray    ? "array values"
                                                    : "values that are no floating-point numbers";
    return message_set(why, "h5neural: this dataset holds %s; %s", name, kTypesServed);
  }
  if (bytes != 4 && bytes != 8) {
    return message_set(why, "h5neural: this dataset holds floating-point numbers of %zu bits; %s", bytes * 8,
                       kTypesServed);
  }
  const int order = h->get_order(type);
  const int is_double = bytes == 8;
  size_t sign, exponent, exponent_size, mantissa, mantissa_size;
  if (h->get_fields(type, &sign, &exponent, &exponent_size, &mantissa, &mantissa_size) < 0 ||
      (order != kH5tOrderLittle && order != kH5tOrderBig) || h->get_precision(type) != bytes * 8 ||
      h->get_offset(type) != 0 || h->get_norm(type) != kH5tNormImplied ||
      h->get_ebias(type) != (is_double ? 1023 : 127) || sign != bytes * 8 - 1 || mantissa != 0 ||
      mantissa_size != (is_double ? 52 : 23) || exponent != mantissa_size ||
      exponent_size != (is_double ? 11 : 8)) {
    return message_set(why, "h5neural: this dataset holds floating-point numbers that are not IEEE 754; %s",
                       kTypesServed);
  }
  params->type = is_double ? H5N_FLOAT64 : H5N_FLOAT32;
  params->big_endian = order == kH5tOrderBig;
  return 0;
}

// The extents of a chunk.
static int examine_chunk(const Hdf5* h, hid_t dcpl, h5n_params* params, Message* why) {
  hsize_t dims[kMaxHdf5Rank];
  const int rank = h->get_chunk(dcpl, kMaxHdf5Rank, dims);
  if (rank < 1) return message_set(why, "h5neural: this dataset is not chunked; give it chunks");
  if (rank > H5N_MAX_RANK) {
    return message_set(why, "h5neural: this dataset has rank %d; served are ranks 1 to %d", rank,
                       H5N_MAX_RANK);
  }
  params->rank = (uint32_t)rank;
  for (int a = 0; a < rank; ++a) params->dims[a] = dims[a];
  return 0;
}

// The fill value that the user defined, if any, as a number.
static int examine_fill(const Hdf5* h, hid_t dcpl, hid_t type, h5n_params* params, Message* why) {
  int status = 0;
  if (h->fill_value_defined(dcpl, &status) < 0 || status != kH5dFillUserDefined) return 0;
  unsigned char bytes[8];
  if (h->get_fill_value(dcpl, type, bytes) < 0) {
    return message_set(
        why, "h5neural: HDF5 cannot give this dataset's fill value; give one that its type can hold");
  }
  const unsigned size = params->type == H5N_FLOAT64 ? 8 : 4;
  params->has_fill = 1;
  params->fill = 0;
  for (unsigned i = 0; i < size; ++i) {  // most significant byte first
    params->fill = params->fill << 8 | bytes[params->big_endian ? i : size - 1 - i];
  }
  return 0;
}

// Ours must be the first filter of the pipeline, and stand in it once: behind another one its input is no
// floats.
static int examine_pipeline(const Hdf5* h, hid_t dcpl, Message* why) {
  const int n = h->get_nfilters(dcpl);
  for (int i = 0; i < n; ++i) {
    unsigned flags, config;
    size_t no_words = 0;
    char name[64] = "";
    const H5Z_filter_t id =
        h->get_filter(dcpl, (unsigned)i, &flags, &no_words, NULL, sizeof name, name, &config);
    name[sizeof name - 1] = '\0';
    if (id == H5NEURAL_FILTER_ID && i > 0) {
      return message_set(why, "h5neural: the filter stands twice in this dataset's pipeline; give it once");
    }
    if (id != H5NEURAL_FILTER_ID && i == 0) {
      return message_set(
          why,
          "h5neural: another filter (%d, %s) comes before h5neural and changes the bytes that it must "
          "read as floating-point numbers; leave it out (shuffle, scaleoffset, other compressors), or "
          "put it behind h5neural (fletcher32)",
          id, name);
    }
  }
  return 0;
}

// What is asked of the dataset's creation list. When an existing dataset is first written to, HDF5 asks
// can_apply again, with the list as it was read from the file: its fill value has no type there, and
// H5Pget_fill_value ends the process (seen in 2.0.0). So only set_local, which is called at creation, reads
// it.
typedef enum FillQuestion { kLeaveFill, kReadFill } FillQuestion;

// All that can be known of a dataset before it exists. Fills `words` with what is to be stored.
static int examine(const Hdf5* h, hid_t dcpl, hid_t type, FillQuestion fill, unsigned* flags,
                   unsigned words[CDV_MAX_WORDS], size_t* n, Message* why) {
  unsigned given[CDV_MAX_WORDS] = {0}, config;
  size_t given_n = CDV_MAX_WORDS;
  char name[1];
  h5n_params params = {0};
  if (type <= 0) return message_set(why, "h5neural: the filter serves datasets only; take it off this group");
  if (examine_type(h, type, &params, why) != 0 || examine_chunk(h, dcpl, &params, why) != 0 ||
      examine_pipeline(h, dcpl, why) != 0) {
    return -1;
  }
  if (h->get_filter_by_id(dcpl, H5NEURAL_FILTER_ID, flags, &given_n, given, 0, name, &config) < 0) {
    return message_set(why,
                       "h5neural: HDF5 cannot give the filter's values; report this with the HDF5 version");
  }
  if (given_n > CDV_MAX_WORDS) given_n = CDV_MAX_WORDS;
  if (cdv_read_request(given, given_n, &params, why) != 0 ||
      (fill == kReadFill && examine_fill(h, dcpl, type, &params, why) != 0) ||
      cdv_write_stored(given, given_n, &params, words, n, why) != 0) {
    return -1;
  }
  // The engine has the last word. A missing engine is told now: later the chunks would be lost.
  const Engine* const engine = engine_get(why);
  h5n_error error = {0};
  if (engine == NULL) return -1;
  if (engine->check(&params, &error) != H5N_OK) return message_set(why, "%s", error.message);
  return 0;
}

// Answers -1 for what is not served, not 0: h5py and others mark every filter optional, and HDF5 then ignores
// a 0 and runs the filter all the same (hdf5#6161).
static htri_t can_apply(hid_t dcpl, hid_t type, hid_t space) {
  (void)space;
  Hdf5 h;
  Message why;
  unsigned words[CDV_MAX_WORDS] = {0}, flags = 0;
  size_t n = 0;
  htri_t answer = -1;
  if (hdf5_open(CALLER, &h, &why) == 0) {
    if (examine(&h, dcpl, type, kLeaveFill, &flags, words, &n, &why) == 0) answer = 1;
    hdf5_close(&h);
  }
  if (answer < 0) hdf5_report(CALLER, HDF5_MINOR_CAN_APPLY, "can_apply", &why);
  return answer;
}

static herr_t set_local(hid_t dcpl, hid_t type, hid_t space) {
  (void)space;
  Hdf5 h;
  Message why;
  unsigned words[CDV_MAX_WORDS] = {0}, flags = 0;
  size_t n = 0;
  herr_t answer = -1;
  if (hdf5_open(CALLER, &h, &why) == 0) {
    if (examine(&h, dcpl, type, kReadFill, &flags, words, &n, &why) == 0) {
      answer =
          h.modify_filter(dcpl, H5NEURAL_FILTER_ID, flags, n, words) < 0
              ? message_set(&why, "h5neural: HDF5 refused the filter's values; report this with its version")
              : 0;
    }
    hdf5_close(&h);
  }
  if (answer < 0) hdf5_report(CALLER, HDF5_MINOR_SET_LOCAL, "set_local", &why);
  return answer;
}

// ---- chunks: filter ----

// One direction of the filter. On success the new contents stand in *buf, which holds *buf_size bytes; on
// failure both are as they were, and `why` has the reason. Returns the number of bytes of the new contents,
// or 0.
typedef size_t (*Direction)(const Engine* engine, const unsigned* words, size_t n, size_t nbytes,
                            size_t* buf_size, void** buf, const Allocator* memory, Message* why);

// Puts `size` bytes into *buf, in place when they fit.
static size_t replace(const void* contents, size_t size, size_t nbytes, size_t* buf_size, void** buf,
                      const Allocator* memory, Message* why) {
  // nbytes bytes are there for certain; older releases of HDF5 pass a stale *buf_size.
  if (size <= nbytes) {
    memcpy(*buf, contents, size);
    if (*buf_size < nbytes) *buf_size = nbytes;
    return size;
  }
  void* const larger = memory->allocate(size, 0);
  if (larger == NULL) {
    (void)message_set(why, "h5neural: out of memory (%zu bytes for a payload)", size);
    return 0;
  }
  memcpy(larger, contents, size);
  (void)memory->release(*buf);
  *buf = larger;
  *buf_size = size;
  return size;
}

static size_t encode(const Engine* engine, const unsigned* words, size_t n, size_t nbytes, size_t* buf_size,
                     void** buf, const Allocator* memory, Message* why) {
  h5n_params params;
  if (cdv_read_stored(words, n, &params, why) != 0) return 0;
  if (cdv_chunk_bytes(&params) != nbytes) {
    (void)message_set(why,
                      "h5neural: a chunk of %zu bytes came for a dataset whose chunks have %" PRIu64
                      "; the filter values belong to another dataset: create the dataset through H5Dcreate",
                      nbytes, cdv_chunk_bytes(&params));
    return 0;
  }
  void* payload = NULL;
  size_t payload_bytes = 0;
  h5n_error error = {0};
  if (engine->encode(&params, *buf, nbytes, &payload, &payload_bytes, &error) != H5N_OK) {
    (void)message_set(why, "%s", error.message);
    return 0;
  }
  const size_t size = replace(payload, payload_bytes, nbytes, buf_size, buf, memory, why);
  engine->free(payload);
  return size;
}

// The number of bytes that a payload decodes to. The payload says so itself; a damaged file must not make us
// allocate more than the dataset's chunk. 0 with the reason.
static uint64_t decoded_bytes(const Engine* engine, const unsigned* words, size_t n, const void* payload,
                              size_t payload_bytes, Message* why) {
  h5n_info info;
  h5n_error error = {0};
  if (engine->inspect(payload, payload_bytes, &info, &error) != H5N_OK) {
    (void)message_set(why, "%s", error.message);
    return 0;
  }
  uint64_t expected = info.raw_bytes;
  if (cdv_has_layout(n)) {
    h5n_params params;
    if (cdv_read_stored(words, n, &params, why) != 0) return 0;
    expected = cdv_chunk_bytes(&params);
  }
  // Without a layout (a file put together by hand) HDF5's own limit on chunks holds.
  if (info.raw_bytes == expected && (cdv_has_layout(n) || expected <= UINT32_MAX)) return expected;
  (void)message_set(why,
                    "h5neural: a payload of %" PRIu64
                    " bytes decoded stands in a dataset whose chunks have %" PRIu64
                    "; the chunk belongs to another dataset, or the file is damaged: restore it from a copy",
                    info.raw_bytes, expected);
  return 0;
}

static size_t decode(const Engine* engine, const unsigned* words, size_t n, size_t nbytes, size_t* buf_size,
                     void** buf, const Allocator* memory, Message* why) {
  const uint64_t size = decoded_bytes(engine, words, n, *buf, nbytes, why);
  if (size == 0) return 0;
  void* const chunk = size <= SIZE_MAX ? memory->allocate((size_t)size, 0) : NULL;
  if (chunk == NULL) {
    (void)message_set(why, "h5neural: out of memory (%" PRIu64 " bytes for a chunk)", size);
    return 0;
  }
  h5n_error error = {0};
  if (engine->decode(*buf, nbytes, chunk, (size_t)size, &error) != H5N_OK) {
    (void)message_set(why, "%s", error.message);
    (void)memory->release(chunk);
    return 0;
  }
  (void)memory->release(*buf);
  *buf = chunk;
  *buf_size = (size_t)size;
  return (size_t)size;
}

// Re-entrant. `nbytes` is the length of the input, whatever *buf_size says.
static size_t filter(unsigned flags, size_t cd_nelmts, const unsigned cd_values[], size_t nbytes,
                     size_t* buf_size, void** buf) {
  Message why;
  const Direction direction = (flags & H5Z_FLAG_REVERSE) != 0 ? decode : encode;
  const Engine* const engine = engine_get(&why);
  size_t size = 0;
  if (engine != NULL) {
    const Allocator memory = hdf5_allocator(CALLER);
    size = direction(engine, cd_values, cd_nelmts, nbytes, buf_size, buf, &memory, &why);
  }
  if (size == 0) hdf5_report(CALLER, HDF5_MINOR_FILTER, "filter", &why);
  return size;
}

// ---- what HDF5's plugin loader asks for ----

static const H5Z_class2_t kFilter = {
    .version = kH5zClassVersion,
    .id = H5NEURAL_FILTER_ID,
    .encoder_present = 1,
    .decoder_present = 1,
    .name = "h5neural: floating-point data under an error bound",
    .can_apply = can_apply,
    .set_local = set_local,
    .filter = filter,
};

EXPORTED int H5PLget_plugin_type(void);
EXPORTED const void* H5PLget_plugin_info(void);

int H5PLget_plugin_type(void) { return kH5plTypeFilter; }
const void* H5PLget_plugin_info(void) { return &kFilter; }

/* h5neural.h: the public C API of the engine: encode and decode one chunk, without HDF5.
 *
 * Thread safe: every function may be called from several threads at once. No function keeps a pointer that it
 * was given. All functions report failure by a status and a message that names the problem and the remedy.
 */
#ifndef H5NEURAL_H5NEURAL_H_
#define H5NEURAL_H5NEURAL_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define H5N_API __attribute__((visibility("default")))
#else
#define H5N_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this API. The shim refuses an engine whose major number differs from its own. */
#define H5N_API_MAJOR 1
#define H5N_API_MINOR 2

#define H5N_MAX_RANK 8

/* Statuses. 0 is success. */
enum {
  H5N_OK = 0,
  H5N_ERR_ARGUMENT = 1,    /* a parameter is out of its range */
  H5N_ERR_UNSUPPORTED = 2, /* asked for something that this version does not serve */
  H5N_ERR_CORRUPT = 3,     /* the payload is damaged, or is no payload */
  H5N_ERR_VERSION = 4,     /* the payload comes from a newer h5neural */
  H5N_ERR_NO_MODEL = 5,    /* the payload names weights that were not found */
  H5N_ERR_MEMORY = 6,
  H5N_ERR_INTERNAL = 7 /* a defect of ours */
};

/* Bound modes: what `bound` means. They are the numbers of cd_values[0]. */
enum {
  H5N_LOSSLESS = 0, /* every bit comes back; `bound` is not read */
  H5N_ABS = 1,      /* |x - x'| <= bound */
  H5N_REL = 2,      /* |x - x'| <= bound * (range of the chunk without specials) */
  H5N_RATIO = 3,    /* |x - x'| <= bound * |x|; zeros, signs and infinities are exact; 0 < bound < 1 */
  H5N_PSNR = 4,     /* 20 log10(range / RMSE) >= bound, in dB */
  H5N_NRMSE = 5,    /* RMSE / range <= bound */
  /* RMSE / (range of the chunk) <= bound for each patch: 8 x 8 points of the last two axes, counted from the
   * chunk's first point, smaller at the ends; axes of one point left out, 64 points in a row where one axis
   * is left. Specials belong to no patch. Since API 1.2. */
  H5N_BLOCK_NRMSE = 6
};

/* Element types. */
enum { H5N_FLOAT32 = 1, H5N_FLOAT64 = 2 };

/* Value of h5n_params.model that asks for no model at all; 0 leaves the choice to the engine. */
#define H5N_MODEL_AUTO UINT64_C(0)
#define H5N_MODEL_NONE UINT64_MAX

/* What the writer of a chunk is told. Zero-initialise, then set what is known. */
typedef struct h5n_params {
  uint32_t mode;       /* H5N_LOSSLESS ... H5N_BLOCK_NRMSE */
  double bound;        /* see the modes; finite and > 0 unless lossless */
  uint64_t model;      /* first 64 bits (big endian) of a weights file's SHA-256, or H5N_MODEL_AUTO / _NONE */
  uint32_t effort;     /* 0 (fast) to 9 (small) */
  uint32_t type;       /* H5N_FLOAT32 or H5N_FLOAT64 */
  uint32_t big_endian; /* 1: the chunk's bytes are big endian */
  uint32_t rank;       /* 1 to H5N_MAX_RANK */
  uint64_t dims[H5N_MAX_RANK]; /* extents, slowest axis first */
  uint32_t has_fill;           /* 1: `fill` is the dataset's fill value and comes back bit for bit */
  uint64_t fill;               /* its IEEE bits as a number (a float32's in the low half) */
} h5n_params;

typedef struct h5n_error {
  int32_t status;
  char message[508]; /* UTF-8, zero terminated: the problem, then the remedy */
} h5n_error;

/* How the corrections of a payload were made. */
enum {
  H5N_KIND_RAW = 0,       /* the chunk's bytes */
  H5N_KIND_LOSSLESS = 1,  /* the chunk's bytes, by zstd */
  H5N_KIND_WALK = 2,      /* lattice points, predicted coarse to fine, by rANS */
  H5N_KIND_CONSTANT = 3,  /* one value */
  H5N_KIND_REPEATS = 4,   /* lattice points, differenced, by zstd */
  H5N_KIND_TRANSFORM = 5, /* wavelet coefficients, by rANS, and corrections of what they leave */
  H5N_KIND_FRAMES = 6 /* lattice points frame by frame, predicted by a model from decoded frames, by rANS */
};

/* What a payload says of itself, without decoding it. */
typedef struct h5n_info {
  uint32_t version; /* payload version */
  uint32_t kind;    /* H5N_KIND_* */
  uint32_t mode;    /* as asked for by the writer */
  double bound;     /* as asked for by the writer */
  double abs_bound; /* the absolute bound this chunk keeps (0 where the kind is exact, NaN for H5N_RATIO) */
  uint32_t type, big_endian, rank;
  uint64_t dims[H5N_MAX_RANK];
  uint64_t raw_bytes;  /* decoded size */
  uint64_t model;      /* 0: no model, else the first 64 bits of its SHA-256 */
  char model_name[64]; /* empty where no model, or where its weights are not at hand */
  uint64_t header_bytes, latents_bytes, corrections_bytes, specials_bytes; /* they add up to the payload */
  uint64_t specials; /* number of values stored literally (NaN, Inf, fill, outliers of the bound) */
} h5n_info;

/* "0.1.0" */
H5N_API const char* h5n_version(void);
/* H5N_API_MAJOR of the engine that answers. */
H5N_API uint32_t h5n_api_major(void);

/* Checks parameters as h5n_encode would, without a chunk. */
H5N_API int32_t h5n_check(const h5n_params* params, h5n_error* error);

/* Encodes `nbytes` bytes at `chunk` (the product of the extents times the size of the type).
 * On success *payload points to *payload_bytes bytes, to be released with h5n_free.
 * Never fails for the data's sake; the payload never exceeds nbytes + 64. */
H5N_API int32_t h5n_encode(const h5n_params* params, const void* chunk, size_t nbytes, void** payload,
                           size_t* payload_bytes, h5n_error* error);
H5N_API void h5n_free(void* payload);

/* Reads the header and checks the checksum over every byte of the payload. */
H5N_API int32_t h5n_inspect(const void* payload, size_t payload_bytes, h5n_info* info, h5n_error* error);

/* Decodes into exactly `nbytes` bytes (h5n_info.raw_bytes), in the byte order that was given to the writer.
 */
H5N_API int32_t h5n_decode(const void* payload, size_t payload_bytes, void* chunk, size_t nbytes,
                           h5n_error* error);

/* For a look, fast: fills the chunk with what is at hand without the corrections. *shown says what that is:
 * H5N_SHOWN_BASE, the base field of the payload's model; H5N_SHOWN_COARSE, for chunks without such a field,
 * the coarse levels of the corrections, a sixteenth of the points or fewer, and interpolation between;
 * H5N_SHOWN_ALL, the values as h5n_decode gives them (other kinds of payload). No bound holds but for the
 * last; NaN, Inf and fill values stand where they belong in all. Since API 1.1. */
enum { H5N_SHOWN_ALL = 0, H5N_SHOWN_BASE = 1, H5N_SHOWN_COARSE = 2 };
H5N_API int32_t h5n_preview(const void* payload, size_t payload_bytes, void* chunk, size_t nbytes,
                            uint32_t* shown, h5n_error* error);

/* A payload's latents as arrays, nothing decoded. With null arrays only `info` is filled; its sizes say what
 * to allocate: numbers [vectors, numbers] (as the model's first program takes them), scale and offset
 * [vectors]: base = offset + scale * (what the model's last program gives), in the unit of the data. A
 * payload without a model, or with one that refines the corrections, has no vectors. Since API 1.1. */
typedef struct h5n_latents {
  uint64_t model;              /* 0: no model, else the first 64 bits of its SHA-256 */
  uint32_t grid_rank;          /* 0: one vector for the chunk */
  uint64_t grid[H5N_MAX_RANK]; /* how the vectors lie in the chunk (without its axes of one point) */
  uint64_t vectors, numbers;
  uint64_t latents; /* the first of the numbers; the others correct what the model makes of these */
} h5n_latents;
H5N_API int32_t h5n_latents_get(const void* payload, size_t payload_bytes, h5n_latents* info,
                                int32_t* numbers, double* scale, double* offset, h5n_error* error);

/* What the integer arithmetic of a reader can run on: "scalar" serves everything, "simd-..." the programs of
 * models, "neon", "avx2" and "avx512" the inner loops of the corrections, all with the same bits. The fastest
 * that passes its known answer is used; the environment variable H5NEURAL_BACKEND (scalar, neon, avx2,
 * avx512, avx512vnni) allows none beyond the one it names. Index from 0; returns 0 past the last. */
typedef struct h5n_backend {
  const char* name;
  int32_t available;    /* 1: this machine can run it */
  int32_t known_answer; /* 1: it passed its known answer */
} h5n_backend;
H5N_API int32_t h5n_backend_get(uint32_t index, h5n_backend* backend);

/* Weights that the search order finds now, those inside of this process's open files last. Index from 0;
 * returns 0 past the last. */
typedef struct h5n_weights {
  uint64_t hash;   /* first 64 bits of the SHA-256 */
  char sha256[65]; /* all of it, in hexadecimal */
  char name[64], family[32];
  char source[512];  /* "compiled in", the path of the file, or "FILE (inside)" */
  char problem[256]; /* empty, or why it is refused */
} h5n_weights;
H5N_API int32_t h5n_weights_get(uint32_t index, h5n_weights* weights);

/* SHA-256 of `nbytes` bytes, in hexadecimal: the name of a weights file. Since API 1.1. */
H5N_API void h5n_sha256(const void* bytes, size_t nbytes, char digits[65]);

/* Weights that travel inside an HDF5 file (its `/.h5neural` group, in contiguous datasets): makes the record
 * of where they are, to be written at half of the file's user block, whose size is a power of two, 1024 or
 * more. Readers then find them through the process's open files (Linux). `sha256`: 64 hexadecimal digits.
 * `record` takes H5N_CARRIED_RECORD_BYTES or less; *record_bytes is what was used. Since API 1.1. */
#define H5N_MOST_CARRIED 64
#define H5N_CARRIED_RECORD_BYTES 4096
typedef struct h5n_carried {
  char sha256[65];
  uint64_t offset, length; /* in bytes from the start of the file */
} h5n_carried;
H5N_API int32_t h5n_carried_record(const h5n_carried* weights, uint32_t count, void* record,
                                   size_t* record_bytes, h5n_error* error);

#ifdef __cplusplus
}
#endif
#endif /* H5NEURAL_H5NEURAL_H_ */

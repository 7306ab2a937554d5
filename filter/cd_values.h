// cd_values.h: the filter's parameters as HDF5 carries them, at most 16 words of 32 bits, to and from
// h5n_params. Pure functions: no HDF5, no engine, no state.
//
//   word    given by the user (all optional, from the left)
//   [0]     bound mode (H5N_LOSSLESS ... H5N_BLOCK_NRMSE), plus CDV_IEEE_BOUND when [1],[2] are a double
//   [1],[2] the bound, in one of two spellings:
//             decimal   mantissa and decimal places: 25, 5 is 25e-5. For tools that take integers only.
//             IEEE      the two words of a double, low word first, as `nccopy -F var,41017,1,1e-3d` writes
//             them.
//                       CDV_IEEE_BOUND says so; without it, [2] > CDV_MAX_PLACES does (every double from
//                       1e-308 up has a larger high word, and no decimal bound has so many places)
//   [3],[4] first 64 bits of the SHA-256 of the weights, high word first, so that the two words in
//   hexadecimal read
//           as the hash does; 0,0 leaves the choice to the engine, all ones asks for no model
//   [5]     effort, 0 (fast) to 9 (small); CDV_DEFAULT_EFFORT when missing
//   word    written by set_local for each dataset; whatever stood there is overwritten
//   [6]     layout: bits 0-7 schema version, 8-11 element type (H5N_FLOAT32, H5N_FLOAT64), 12-15 rank,
//           16 big endian, 17-18 how the fill value is kept (CdvFill); the others are zero
//   [7...]  extents of the chunk, slowest axis first, `rank` words
//   then    the fill value of the dataset, when the user defined one: one word (IEEE bits of a float32) or
//   two (of a
//           float64, low word first)
#ifndef H5NEURAL_FILTER_CD_VALUES_H_
#define H5NEURAL_FILTER_CD_VALUES_H_

#include <stddef.h>
#include <stdint.h>

#include "h5neural/h5neural.h"
#include "message.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  CDV_MAX_WORDS = 16,     // older h5py overflows beyond
  CDV_REQUEST_WORDS = 6,  // [0] to [5]
  CDV_SCHEMA_VERSION = 1,
  CDV_IEEE_BOUND = 0x100,
  CDV_MAX_PLACES = 400,
  CDV_DEFAULT_EFFORT = 5
};

// How the fill value stands after the extents.
typedef enum CdvFill {
  CDV_FILL_NONE = 0,
  CDV_FILL_FLOAT32 = 1,  // one word: a float32, to be widened exactly when the element type is float64
  CDV_FILL_FLOAT64 = 2   // two words
} CdvFill;

// Reads what the user gave (words [0] to [5]) into mode, bound, model and effort; leaves the rest of *params
// alone. Returns 0, or -1 with the reason.
int cdv_read_request(const unsigned* words, size_t n, h5n_params* params, Message* why);

// Reads all words of a stored dataset into *params. Returns 0, or -1 with the reason.
int cdv_read_stored(const unsigned* words, size_t n, h5n_params* params, Message* why);

// 1 when the words go on past the user's, so that cdv_read_stored has something to read.
int cdv_has_layout(size_t n);

// Makes the words to store, out[0] to out[*out_n - 1]: the user's words [0] to [5] as given, missing ones
// filled in, then type, big_endian, rank, dims and fill of `layout`. Depends on nothing else, so it is
// idempotent. Returns 0, or -1 with the reason (an extent of 0 or above 2^32 - 1, a fill value for which no
// word is left).
int cdv_write_stored(const unsigned* words, size_t n, const h5n_params* layout, unsigned out[CDV_MAX_WORDS],
                     size_t* out_n, Message* why);

// Bytes of a chunk: the product of the extents times the size of the type; 0 when that exceeds 64 bits.
uint64_t cdv_chunk_bytes(const h5n_params* params);

#ifdef __cplusplus
}
#endif
#endif  // H5NEURAL_FILTER_CD_VALUES_H_

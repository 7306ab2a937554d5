// cd_values.c: see cd_values.h for the schema.
#include "cd_values.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
  kModeMask = 0xFF,
  kLayoutWord = 6,
  kExtentsWord = 7,
  kLayoutBits = 19,  // bits of word [6] that mean something
};

static const char kServed[] =
    "0 lossless, 1 abs, 2 rel, 3 ratio, 4 psnr, 5 nrmse, 6 block nrmse (plus 256 when words 1 and 2 are an "
    "IEEE double)";

static uint64_t join(unsigned low, unsigned high) { return (uint64_t)high << 32 | low; }

static double double_of(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// The bound of words [1],[2] in either spelling, nearest double. NaN when the spelling makes no sense.
static double read_bound(unsigned flags, unsigned first, unsigned second) {
  if ((flags & CDV_IEEE_BOUND) != 0 || second > CDV_MAX_PLACES) return double_of(join(first, second));
  if (first > INT32_MAX) return NAN;  // a negative number that a tool passed on as an unsigned word
  // strtod rounds correctly; without a decimal point in the text the locale has no say.
  char text[32];
  (void)snprintf(text, sizeof text, "%ue-%u", first, second);
  return strtod(text, NULL);
}

int cdv_read_request(const unsigned* words, size_t n, h5n_params* params, Message* why) {
  const unsigned head = n > 0 ? words[0] : H5N_LOSSLESS;
  params->mode = head & kModeMask;
  params->bound = 0;
  params->model = n > 4 ? join(words[4], words[3]) : H5N_MODEL_AUTO;
  params->effort = n > 5 ? words[5] : CDV_DEFAULT_EFFORT;

  if ((head & ~(unsigned)(kModeMask | CDV_IEEE_BOUND)) != 0 || params->mode > H5N_BLOCK_NRMSE) {
    return message_set(why, "h5neural: unknown bound mode %u in the first filter value; served are %s", head,
                       kServed);
  }
  if (n == 4) {
    return message_set(
        why,
        "h5neural: the model takes two filter values, 3 and 4 (the first 64 bits of its SHA-256), and "
        "value 4 is missing; give both, or neither");
  }
  if (params->effort > 9) {
    return message_set(why, "h5neural: effort (filter value 5) is %u; give 0 (fast) to 9 (small)",
                       params->effort);
  }
  if (params->mode == H5N_LOSSLESS) return 0;
  if (n < 3) {
    return message_set(
        why,
        "h5neural: bound mode %u needs a bound and none is given; give a mantissa and decimal places "
        "as filter values 1 and 2 (1,3 is 1e-3), or an IEEE double, or mode 0 for lossless",
        params->mode);
  }
  params->bound = read_bound(head, words[1], words[2]);
  if (!(params->bound > 0) || !isfinite(params->bound)) {
    return message_set(
        why,
        "h5neural: the bound of filter values 1 and 2 (%u, %u) is zero, negative or no finite number; "
        "give a mantissa above 0 and decimal places (1,3 is 1e-3), or the two words of an IEEE double, "
        "low word first. Tools that take integers only (h5repack) turn 0.001 into 0",
        words[1], words[2]);
  }
  return 0;
}

int cdv_has_layout(size_t n) { return n > kLayoutWord; }

static int read_fill(CdvFill form, const unsigned* words, h5n_params* params) {
  params->has_fill = form != CDV_FILL_NONE;
  params->fill = 0;
  if (form == CDV_FILL_FLOAT64) {
    if (params->type != H5N_FLOAT64) return -1;
    params->fill = join(words[0], words[1]);
  } else if (form == CDV_FILL_FLOAT32 && params->type == H5N_FLOAT32) {
    params->fill = words[0];
  } else if (form == CDV_FILL_FLOAT32) {
    float narrow;
    memcpy(&narrow, &words[0], sizeof narrow);
    const double wide = narrow;
    memcpy(&params->fill, &wide, sizeof wide);
  }
  return 0;
}

int cdv_read_stored(const unsigned* words, size_t n, h5n_params* params, Message* why) {
  memset(params, 0, sizeof *params);
  if (cdv_read_request(words, n, params, why) != 0) return -1;
  if (!cdv_has_layout(n)) {
    return message_set(
        why,
        "h5neural: the filter values of this dataset lack the shape of its chunks; create the dataset "
        "through H5Dcreate, which lets the filter add them");
  }
  const unsigned layout = words[kLayoutWord];
  if ((layout & 0xFF) != CDV_SCHEMA_VERSION || layout >> kLayoutBits != 0) {
    return message_set(
        why,
        "h5neural: the filter values of this dataset follow schema %u and this version knows schema "
        "%d; update h5neural",
        layout & 0xFF, CDV_SCHEMA_VERSION);
  }
  params->type = layout >> 8 & 15;
  params->rank = layout >> 12 & 15;
  params->big_endian = layout >> 16 & 1;
  const unsigned fill = layout >> 17 & 3;
  int bad = (params->type != H5N_FLOAT32 && params->type != H5N_FLOAT64) || params->rank < 1 ||
            params->rank > H5N_MAX_RANK || fill > CDV_FILL_FLOAT64 || n < kExtentsWord + params->rank + fill;
  for (unsigned a = 0; !bad && a < params->rank; ++a) {
    params->dims[a] = words[kExtentsWord + a];
    bad = params->dims[a] == 0;
  }
  bad = bad || read_fill((CdvFill)fill, words + kExtentsWord + params->rank, params) != 0 ||
        cdv_chunk_bytes(params) == 0;
  if (bad) {
    return message_set(
        why, "h5neural: the filter values of this dataset are damaged; restore the file from a copy");
  }
  return 0;
}

// Puts the fill value at `out`, in the fewest words that keep every bit.
static CdvFill write_fill(const h5n_params* layout, unsigned* out) {
  if (!layout->has_fill) return CDV_FILL_NONE;
  out[0] = (unsigned)layout->fill;
  if (layout->type == H5N_FLOAT32) return CDV_FILL_FLOAT32;
  const float narrow = (float)double_of(layout->fill);
  const double wide = narrow;
  uint64_t back;
  memcpy(&back, &wide, sizeof back);
  if (back == layout->fill) {
    memcpy(&out[0], &narrow, sizeof narrow);
    return CDV_FILL_FLOAT32;
  }
  out[1] = (unsigned)(layout->fill >> 32);
  return CDV_FILL_FLOAT64;
}

int cdv_write_stored(const unsigned* words, size_t n, const h5n_params* layout, unsigned out[CDV_MAX_WORDS],
                     size_t* out_n, Message* why) {
  unsigned all[CDV_MAX_WORDS + 2] = {0};  // two more than may be stored: room for any fill value at any rank
  for (size_t i = 0; i < CDV_REQUEST_WORDS; ++i) all[i] = i < n ? words[i] : 0;
  if (n < CDV_REQUEST_WORDS) all[5] = CDV_DEFAULT_EFFORT;
  for (unsigned a = 0; a < layout->rank; ++a) {
    if (layout->dims[a] == 0 || layout->dims[a] > UINT32_MAX) {
      return message_set(
          why, "h5neural: the chunk's extent %" PRIu64 " on axis %u is not served; give 1 to 2^32 - 1",
          layout->dims[a], a);
    }
    all[kExtentsWord + a] = (unsigned)layout->dims[a];
  }
  const CdvFill fill = write_fill(layout, all + kExtentsWord + layout->rank);
  all[kLayoutWord] = CDV_SCHEMA_VERSION | layout->type << 8 | layout->rank << 12 |
                     (unsigned)(layout->big_endian != 0) << 16 | (unsigned)fill << 17;
  *out_n = kExtentsWord + layout->rank + (unsigned)fill;
  if (*out_n > CDV_MAX_WORDS) {
    return message_set(
        why,
        "h5neural: chunks of rank %u leave no room for the fill value %.17g of this float64 dataset; "
        "give a fill value that float32 holds exactly (NaN, 0, -9999), or chunks of rank 7 or less",
        layout->rank, double_of(layout->fill));
  }
  memcpy(out, all, *out_n * sizeof out[0]);
  return 0;
}

uint64_t cdv_chunk_bytes(const h5n_params* params) {
  uint64_t bytes = params->type == H5N_FLOAT64 ? 8 : 4;
  for (unsigned a = 0; a < params->rank; ++a) {
    if (params->dims[a] != 0 && bytes > UINT64_MAX / params->dims[a]) return 0;
    bytes *= params->dims[a];
  }
  return bytes;
}

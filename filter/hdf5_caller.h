// hdf5_caller.h: the functions of the very libhdf5 that called the filter, and our own copies of the few HDF5
// declarations they need. One process may hold several libhdf5 (h5py, netCDF4 and PyTables bring one each),
// and a property list means something to its own only; so none is linked, and the caller is found from the
// return address of the callback. Knows nothing of the codec.
#ifndef H5NEURAL_FILTER_HDF5_CALLER_H_
#define H5NEURAL_FILTER_HDF5_CALLER_H_

#include <stddef.h>
#include <stdint.h>

#include "message.h"

// HDF5's own types, as every release since 1.10 lays them out (H5Ipublic.h, H5Zpublic.h, H5Tpublic.h,
// H5Dpublic.h).
typedef int64_t hid_t;
typedef int herr_t;
typedef int htri_t;
typedef int H5Z_filter_t;
typedef uint64_t hsize_t;

enum { kH5eDefault = 0, kH5zClassVersion = 1, kH5plTypeFilter = 0 };
enum { kH5tInteger = 0, kH5tFloat = 1, kH5tCompound = 6, kH5tArray = 10 };
enum { kH5tOrderLittle = 0, kH5tOrderBig = 1 };
enum { kH5tNormImplied = 0 };
enum { kH5dFillUserDefined = 2 };
#define H5Z_FLAG_REVERSE 0x0100u

typedef struct H5Z_class2_t {
  int version;
  H5Z_filter_t id;
  unsigned encoder_present;
  unsigned decoder_present;
  const char* name;
  htri_t (*can_apply)(hid_t dcpl, hid_t type, hid_t space);
  herr_t (*set_local)(hid_t dcpl, hid_t type, hid_t space);
  size_t (*filter)(unsigned flags, size_t cd_nelmts, const unsigned cd_values[], size_t nbytes,
                   size_t* buf_size, void** buf);
} H5Z_class2_t;

// The calling library. Every pointer is set when hdf5_open succeeds, except those marked optional.
typedef struct Hdf5 {
  void* handle;  // dlopen's

  int (*get_nfilters)(hid_t dcpl);
  H5Z_filter_t (*get_filter)(hid_t dcpl, unsigned index, unsigned* flags, size_t* cd_nelmts,
                             unsigned cd_values[], size_t name_size, char name[], unsigned* config);
  herr_t (*get_filter_by_id)(hid_t dcpl, H5Z_filter_t id, unsigned* flags, size_t* cd_nelmts,
                             unsigned cd_values[], size_t name_size, char name[], unsigned* config);
  herr_t (*modify_filter)(hid_t dcpl, H5Z_filter_t id, unsigned flags, size_t cd_nelmts,
                          const unsigned cd_values[]);
  int (*get_chunk)(hid_t dcpl, int max_rank, hsize_t dims[]);
  herr_t (*fill_value_defined)(hid_t dcpl, int* status);
  herr_t (*get_fill_value)(hid_t dcpl, hid_t type, void* value);

  int (*get_class)(hid_t type);
  size_t (*get_size)(hid_t type);
  int (*get_order)(hid_t type);
  size_t (*get_precision)(hid_t type);
  int (*get_offset)(hid_t type);
  herr_t (*get_fields)(hid_t type, size_t* sign, size_t* exponent, size_t* exponent_size, size_t* mantissa,
                       size_t* mantissa_size);
  size_t (*get_ebias)(hid_t type);
  int (*get_norm)(hid_t type);
} Hdf5;

// Finds the library that contains `return_address` (__builtin_return_address(0), taken in the callback
// itself). Returns 0, or -1 with the reason. Release with hdf5_close. About 10 microseconds.
int hdf5_open(const void* return_address, Hdf5* hdf5, Message* why);
void hdf5_close(Hdf5* hdf5);

// Names of HDF5's minor error codes for hdf5_report.
#define HDF5_MINOR_CAN_APPLY "H5E_CANAPPLY_g"
#define HDF5_MINOR_SET_LOCAL "H5E_SETLOCAL_g"
#define HDF5_MINOR_FILTER "H5E_CANTFILTER_g"

// Hands a sentence to the user: pushes it on the calling library's error stack, so that the caller's program
// shows it (in Python it is the text of the exception). Where that is impossible, or H5NEURAL_VERBOSE is set
// and not empty, it is printed to stderr.
void hdf5_report(const void* return_address, const char* minor, const char* function, const Message* message);

// The pair of functions that owns the chunk buffers of the calling library; the C library's where it has
// none.
typedef struct Allocator {
  void* (*allocate)(size_t size, unsigned clear);
  herr_t (*release)(void* memory);
} Allocator;
Allocator hdf5_allocator(const void* return_address);

#endif  // H5NEURAL_FILTER_HDF5_CALLER_H_

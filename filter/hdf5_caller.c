// hdf5_caller.c: see hdf5_caller.h.
#include "hdf5_caller.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

// The library that holds `address`, without loading anything; NULL when the loader cannot name it.
static void* open_caller(const void* address) {
  Dl_info info;
  if (dladdr(address, &info) == 0) return NULL;
  void* handle = info.dli_fname != NULL ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
  if (handle != NULL) return handle;
  // libhdf5 linked into the program itself: its symbols are global, when the program exports them. Another
  // libhdf5 may answer in its place, and would take property lists for rubbish: only accept the one that
  // called.
  handle = dlopen(NULL, RTLD_LAZY);
  void* probe = handle != NULL ? dlsym(handle, "H5Pget_chunk") : NULL;
  Dl_info found;
  if (probe != NULL && dladdr(probe, &found) != 0 && found.dli_fbase == info.dli_fbase) return handle;
  if (handle != NULL) dlclose(handle);
  return NULL;
}

// Stores the address of a symbol into a function pointer. C has no conversion between the two; POSIX says
// that the bytes are the same.
static int find(void* handle, const char* name, void* function_pointer) {
  void* const symbol = dlsym(handle, name);
  _Static_assert(sizeof symbol == sizeof(void (*)(void)), "POSIX: data and function pointers have one size");
  memcpy(function_pointer, &symbol, sizeof symbol);
  return symbol != NULL;
}

int hdf5_open(const void* return_address, Hdf5* hdf5, Message* why) {
  const struct {
    const char* name;
    void* pointer;
  } wanted[] = {
      {"H5Pget_nfilters", &hdf5->get_nfilters},
      {"H5Pget_filter2", &hdf5->get_filter},
      {"H5Pget_filter_by_id2", &hdf5->get_filter_by_id},
      {"H5Pmodify_filter", &hdf5->modify_filter},
      {"H5Pget_chunk", &hdf5->get_chunk},
      {"H5Pfill_value_defined", &hdf5->fill_value_defined},
      {"H5Pget_fill_value", &hdf5->get_fill_value},
      {"H5Tget_class", &hdf5->get_class},
      {"H5Tget_size", &hdf5->get_size},
      {"H5Tget_order", &hdf5->get_order},
      {"H5Tget_precision", &hdf5->get_precision},
      {"H5Tget_offset", &hdf5->get_offset},
      {"H5Tget_fields", &hdf5->get_fields},
      {"H5Tget_ebias", &hdf5->get_ebias},
      {"H5Tget_norm", &hdf5->get_norm},
  };
  memset(hdf5, 0, sizeof *hdf5);
  hdf5->handle = open_caller(return_address);
  if (hdf5->handle == NULL) {
    return message_set(
        why,
        "h5neural: the HDF5 library that calls the filter cannot be found among the process's shared "
        "libraries; to write, use a program that loads libhdf5 as a shared library");
  }
  for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; ++i) {
    if (find(hdf5->handle, wanted[i].name, wanted[i].pointer)) continue;
    hdf5_close(hdf5);
    return message_set(why,
                       "h5neural: the HDF5 library that calls the filter lacks %s; use HDF5 1.10 or later",
                       wanted[i].name);
  }
  return 0;
}

void hdf5_close(Hdf5* hdf5) {
  if (hdf5->handle != NULL) dlclose(hdf5->handle);
  hdf5->handle = NULL;
}

// A library built with internal concurrency (2.3 and later, hdf5#6645) runs filters on threads of a pool,
// beside the thread that holds its lock: any call back into it could wait forever.
static int may_call_from_filter(void* handle) { return dlsym(handle, "H5TSglobal_pool_create") == NULL; }

typedef herr_t (*PushFunction)(hid_t stack, const char* file, const char* function, unsigned line,
                               hid_t error_class, hid_t major, hid_t minor, const char* format, ...);

// Since 1.14.6 the library pauses its error stack during a filter's callback and drops what is pushed on it,
// and resuming it ourselves would not help: pausing it again, as every call but a few, clears it. A stack of
// our own is not paused, and can take the place of the library's.
static int push(void* handle, const char* minor_name, const char* function, const Message* message) {
  PushFunction push2;
  hid_t (*create_stack)(void);
  herr_t (*set_current_stack)(hid_t stack);  // closes `stack`
  const hid_t* const error_class = dlsym(handle, "H5E_ERR_CLS_g");
  const hid_t* const major = dlsym(handle, "H5E_PLINE_g");
  const hid_t* const minor = dlsym(handle, minor_name);
  if (!find(handle, "H5Epush2", &push2) || !find(handle, "H5Ecreate_stack", &create_stack) ||
      !find(handle, "H5Eset_current_stack", &set_current_stack) || error_class == NULL || major == NULL ||
      minor == NULL) {
    return -1;
  }
  const hid_t stack = create_stack();
  (void)push2(stack, "h5neural", function, 0, *error_class, *major, *minor, "%s", message->text);
  return set_current_stack(stack);
}

void hdf5_report(const void* return_address, const char* minor, const char* function,
                 const Message* message) {
  void* const handle = open_caller(return_address);
  const int in_filter = strcmp(minor, HDF5_MINOR_FILTER) == 0;
  const int pushed = handle != NULL && (!in_filter || may_call_from_filter(handle)) &&
                     push(handle, minor, function, message) >= 0;
  if (handle != NULL) dlclose(handle);
  const char* const verbose = getenv("H5NEURAL_VERBOSE");
  if (!pushed || (verbose != NULL && verbose[0] != '\0')) (void)fprintf(stderr, "%s\n", message->text);
}

static void* libc_allocate(size_t size, unsigned clear) { return clear ? calloc(1, size) : malloc(size); }

static herr_t libc_release(void* memory) {
  free(memory);
  return 0;
}

Allocator hdf5_allocator(const void* return_address) {
  Allocator own;
  void* const handle = open_caller(return_address);
  // The library stays loaded without our handle: it is the one that is waiting for our return.
  if (handle == NULL || !may_call_from_filter(handle) || !find(handle, "H5allocate_memory", &own.allocate) ||
      !find(handle, "H5free_memory", &own.release)) {
    own.allocate = libc_allocate;
    own.release = libc_release;
  }
  if (handle != NULL) dlclose(handle);
  return own;
}

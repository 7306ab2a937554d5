// engine_loader.h: opens the engine, libh5neural.so, when it is first needed. HDF5 opens and closes every
// file of the plugin folder on each look-up, so the engine stands one folder above the plugin, and costs
// nothing until a chunk comes. Knows no HDF5.
#ifndef H5NEURAL_FILTER_ENGINE_LOADER_H_
#define H5NEURAL_FILTER_ENGINE_LOADER_H_

#include "h5neural/h5neural.h"
#include "message.h"

// The part of the engine's C API that the filter uses.
typedef struct Engine {
  int32_t (*check)(const h5n_params* params, h5n_error* error);
  int32_t (*encode)(const h5n_params* params, const void* chunk, size_t nbytes, void** payload,
                    size_t* payload_bytes, h5n_error* error);
  int32_t (*inspect)(const void* payload, size_t payload_bytes, h5n_info* info, h5n_error* error);
  int32_t (*decode)(const void* payload, size_t payload_bytes, void* chunk, size_t nbytes, h5n_error* error);
  void (*free)(void* payload);
} Engine;

// The engine: the file named by H5NEURAL_ENGINE, else ../libh5neural.so seen from the plugin's own folder.
// Opened once; a failure is not remembered, so that a process in which it was repaired goes on. Thread safe.
// Returns NULL with the reason.
const Engine* engine_get(Message* why);

#endif  // H5NEURAL_FILTER_ENGINE_LOADER_H_

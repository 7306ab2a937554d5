// engine_loader.c: see engine_loader.h.
#include "engine_loader.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static Engine engine;                 // written once, before `ready`
static _Atomic(const Engine*) ready;  // &engine when open

// The engine's path, to be freed. NULL when the plugin's own place is unknown.
static char* engine_path(void) {
  const char* const given = secure_getenv("H5NEURAL_ENGINE");
  if (given != NULL && given[0] != '\0') return strdup(given);
  Dl_info self;
  // Any address inside this library will do.
  if (dladdr(&opening, &self) == 0 || self.dli_fname == NULL) return NULL;
  char* const plugin = realpath(self.dli_fname, NULL);  // through links, to where the install really is
  if (plugin == NULL) return NULL;
  static const char kName[] = "/libh5neural.so";
  char* path = NULL;
  for (int up = 0; up < 2; ++up) {  // .../h5neural/plugin/libh5zneural.so -> .../h5neural
    char* const slash = strrchr(plugin, '/');
    if (slash != NULL) *slash = '\0';
  }
  const size_t folder = strlen(plugin);
  path = malloc(folder + sizeof kName);
  if (path != NULL) {
    memcpy(path, plugin, folder);
    memcpy(path + folder, kName, sizeof kName);
  }
  free(plugin);
  return path;
}

// Fills `engine` from an open library. Returns 0, or -1 with the reason.
static int bind_engine(void* handle, const char* path, Message* why) {
  uint32_t (*api_major)(void) = NULL;
  const struct {
    const char* name;
    void* pointer;
  } wanted[] = {
      {"h5n_api_major", &api_major},    {"h5n_check", &engine.check},   {"h5n_encode", &engine.encode},
      {"h5n_inspect", &engine.inspect}, {"h5n_decode", &engine.decode}, {"h5n_free", &engine.free},
  };
  for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; ++i) {
    void* const symbol = dlsym(handle, wanted[i].name);
    memcpy(wanted[i].pointer, &symbol, sizeof symbol);
    if (symbol == NULL) {
      return message_set(why, "h5neural: %s is no engine of h5neural (it lacks %s); reinstall h5neural", path,
                         wanted[i].name);
    }
  }
  const uint32_t major = api_major();
  if (major == H5N_API_MAJOR) return 0;
  return message_set(
      why,
      "h5neural: the engine %s has API version %u and the plugin needs %d; install plugin and engine "
      "of one release",
      path, major, H5N_API_MAJOR);
}

static int open_engine(Message* why) {
  char* const path = engine_path();
  if (path == NULL) {
    return message_set(
        why,
        "h5neural: the plugin cannot find its own folder, and so not its engine; set H5NEURAL_ENGINE "
        "to the path of libh5neural.so");
  }
  void* const handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  int failed = -1;
  if (handle == NULL) {
    const char* const reason = dlerror();
    (void)message_set(
        why,
        "h5neural: the engine cannot be opened (%s); reinstall h5neural, or set H5NEURAL_ENGINE to the "
        "path of libh5neural.so",
        reason != NULL ? reason : path);
  } else {
    failed = bind_engine(handle, path, why);
    if (failed) dlclose(handle);
  }
  free(path);
  return failed;
}

const Engine* engine_get(Message* why) {
  const Engine* now = atomic_load_explicit(&ready, memory_order_acquire);
  if (now != NULL) return now;
  pthread_mutex_lock(&opening);
  now = atomic_load_explicit(&ready, memory_order_relaxed);
  if (now == NULL && open_engine(why) == 0) {
    now = &engine;
    atomic_store_explicit(&ready, now, memory_order_release);
  }
  pthread_mutex_unlock(&opening);
  return now;
}

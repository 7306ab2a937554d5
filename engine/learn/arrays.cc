// arrays.cc: see arrays.h.
#include "learn/arrays.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <stdexcept>

namespace h5neural::learn {

ArrayFile::ArrayFile(const std::string& path) : path_(path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat s {};
  if (fd < 0 || fstat(fd, &s) != 0 || s.st_size <= 0) {
    if (fd >= 0) close(fd);
    throw std::runtime_error(path + " cannot be read");
  }
  const auto size = static_cast<size_t>(s.st_size);
  void* at = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (at == MAP_FAILED) throw std::runtime_error(path + " cannot be mapped");
  bytes_ = {static_cast<const uint8_t*>(at), size};
  contents_ = parse_safetensors(bytes_, path);
}

ArrayFile::~ArrayFile() { munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size()); }

ArrayFile::Array ArrayFile::get(const std::string& name) const {
  const auto it = contents_.tensors.find(name);
  if (it == contents_.tensors.end()) {
    std::string names;
    for (const auto& [key, value] : contents_.tensors) names += " " + key;
    throw std::runtime_error(path_ + " has no array '" + name + "'; it has:" + names);
  }
  const SafetensorsEntry& e = it->second;
  if (e.type != "F32")
    throw std::runtime_error("array '" + name + "' is " + e.type + ", and float32 (F32) is needed");
  if (reinterpret_cast<uintptr_t>(e.bytes.data()) % alignof(float) != 0) {
    throw std::runtime_error("array '" + name + "' is not aligned to 4 bytes in " + path_);
  }
  Array a;
  a.shape.assign(e.shape.begin(), e.shape.end());
  a.values = {reinterpret_cast<const float*>(e.bytes.data()), e.bytes.size() / sizeof(float)};
  for (const float v : a.values) {
    if (!std::isfinite(v))
      throw std::runtime_error("array '" + name + "' has NaN or infinity; fill them in first");
  }
  return a;
}

}  // namespace h5neural::learn

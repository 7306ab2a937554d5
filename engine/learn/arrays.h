// arrays.h: training arrays from a safetensors file, mapped and not copied. No HDF5, no LibTorch.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "weights/safetensors.h"

namespace h5neural::learn {

class ArrayFile {
 public:
  explicit ArrayFile(const std::string& path);  // throws std::runtime_error
  ~ArrayFile();
  ArrayFile(const ArrayFile&) = delete;
  ArrayFile& operator=(const ArrayFile&) = delete;

  struct Array {
    std::vector<int64_t> shape;
    std::span<const float> values;
  };
  // A float32 array without NaN or infinity. Throws std::runtime_error naming what the file holds.
  Array get(const std::string& name) const;

 private:
  std::string path_;
  ByteSpan bytes_;
  Safetensors contents_;
};

}  // namespace h5neural::learn

// tensor.h: a named array of integers in a weights file: type, shape and raw little-endian bytes. A view; the
// file's bytes outlive it. Knows nothing of files or programs.
#pragma once
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace h5neural {

enum class TensorType : uint8_t { kInt8 = 1, kInt16 = 2, kInt32 = 4 };  // the value is the size in bytes

struct Tensor {
  TensorType type = TensorType::kInt8;
  std::vector<uint32_t> shape;  // outermost first; no extent is 0
  std::span<const uint8_t> bytes;

  size_t count() const { return bytes.size() / static_cast<size_t>(type); }
  int32_t at(size_t i) const {
    switch (type) {
      case TensorType::kInt8:
        return static_cast<int8_t>(bytes[i]);
      case TensorType::kInt16:
        return load<int16_t>(i);
      case TensorType::kInt32:
        break;
    }
    return load<int32_t>(i);
  }

 private:
  template <class T>
  T load(size_t i) const {
    T v;
    std::memcpy(&v, bytes.data() + i * sizeof v, sizeof v);
    return v;
  }
};

}  // namespace h5neural

// program_store.h: tensors by name, made from plain numbers, for tests of integer programs.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "exact/program.h"

namespace h5neural {

class ProgramStore {
 public:
  template <class T>
  void add(const std::string& name, std::vector<uint32_t> shape, const std::vector<T>& values) {
    auto& b = bytes_[name];
    b.resize(values.size() * sizeof(T));
    std::memcpy(b.data(), values.data(), b.size());
    tensors_[name] = {static_cast<TensorType>(sizeof(T)), std::move(shape), b};
  }
  Program parse(const std::string& json) const {
    return parse_program("test", json, [this](const std::string& name) -> const Tensor* {
      const auto it = tensors_.find(name);
      return it == tensors_.end() ? nullptr : &it->second;
    });
  }

 private:
  std::map<std::string, std::vector<uint8_t>> bytes_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace h5neural

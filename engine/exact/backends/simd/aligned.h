// aligned.h: an array that begins at a multiple of 64 bytes and is not filled with zeros when it is made.
#pragma once
#include <cstddef>
#include <memory>
#include <new>

namespace h5neural {

template <class T>
class Aligned {
 public:
  explicit Aligned(size_t count = 0) { grow(count); }
  // At least `count` elements; what was there is lost when the array grows.
  void grow(size_t count) {
    if (count <= count_) return;
    data_.reset();
    data_.reset(static_cast<T*>(::operator new(count * sizeof(T), kAlignment)));
    count_ = count;
  }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(T* p) const { ::operator delete(p, kAlignment); }
  };
  std::unique_ptr<T, Free> data_;
  size_t count_ = 0;
};

}  // namespace h5neural

// array.h: a vector that leaves new elements as they are.
#pragma once
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace h5neural {

// For arrays whose elements are all written before they are read, or read by kernels beyond the end of a row
// for results that nobody uses.
template <class T>
struct Uninitialised : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = Uninitialised<U>;
  };
  template <class U>
  void construct(U*) noexcept {}
  template <class U, class... Args>
  void construct(U* p, Args&&... args) {
    ::new (static_cast<void*>(p)) U(std::forward<Args>(args)...);
  }
};
template <class T>
using Array = std::vector<T, Uninitialised<T>>;

}  // namespace h5neural

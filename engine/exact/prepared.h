// prepared.h: what a backend derives from a program once (weights packed for its instructions) and keeps with
// it. No locks, so that a process may fork at any time: two threads that meet may both do the work, and one
// result is used.
#pragma once
#include <atomic>

namespace h5neural {

class Prepared {
 public:
  Prepared() = default;
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;
  virtual ~Prepared() = default;

 private:
  friend class PreparedList;
  const void* owner_ = nullptr;
  const Prepared* next_ = nullptr;
};

class PreparedList {
 public:
  PreparedList() = default;
  PreparedList(const PreparedList&) = delete;
  PreparedList& operator=(const PreparedList&) = delete;
  ~PreparedList() {
    for (const Prepared* p = first_.load(); p != nullptr;) {
      const Prepared* next = p->next_;
      delete p;
      p = next;
    }
  }

  // What `owner` has prepared; `make` (which returns a unique_ptr) is called the first time. It lives as long
  // as the list.
  template <class T, class Make>
  const T& get(const void* owner, Make&& make) {
    const Prepared* seen = first_.load(std::memory_order_acquire);
    for (const Prepared* p = seen; p != nullptr; p = p->next_) {
      if (p->owner_ == owner) return static_cast<const T&>(*p);
    }
    T* made = make().release();
    made->owner_ = owner;
    made->next_ = seen;
    while (!first_.compare_exchange_weak(seen, made, std::memory_order_acq_rel)) made->next_ = seen;
    return *made;
  }

 private:
  std::atomic<const Prepared*> first_{nullptr};
};

}  // namespace h5neural

// segment.h: shared memory between two processes, a memfd that the one makes and the other maps. Its size is
// sealed, so that neither can end the other by cutting it off. Linux.
#pragma once
#include <cstdint>

#include "worker/socket.h"

namespace h5neural {

class Segment {
 public:
  Segment() = default;
  // A new one, its memory reserved. Children of a fork do not have it. Throws Failure where there is no
  // memory.
  explicit Segment(uint64_t bytes);
  // One that another process made: refused (Failure) unless it is plain memory of that very size, sealed.
  Segment(Fd fd, uint64_t bytes);
  Segment(Segment&& other) noexcept;
  Segment& operator=(Segment&& other) noexcept;
  ~Segment();

  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }
  int fd() const { return fd_.get(); }  // of one that this process made
  // Forgets the mapping without undoing it: for the child of a fork, where something else may stand in its
  // place.
  void forget();

 private:
  void map();
  void unmap();

  Fd fd_;
  uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace h5neural

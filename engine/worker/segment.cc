// segment.cc: see segment.h.
#include "worker/segment.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <utility>

namespace h5neural {

Segment::Segment(uint64_t bytes)
    : fd_(memfd_create("h5neural", MFD_CLOEXEC | MFD_ALLOW_SEALING)), size_(bytes) {
  // Reserved now: memory that runs out later would be a SIGBUS.
  if (!fd_.valid() || posix_fallocate(fd_.get(), 0, static_cast<off_t>(bytes)) != 0 ||
      fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    fail_worker("no shared memory is to be had");
  }
  map();
  // Without this a child would keep the memory; with it failing, nothing else goes wrong.
  (void)madvise(data_, size_, MADV_DONTFORK);
}

Segment::Segment(Fd fd, uint64_t bytes) : fd_(std::move(fd)), size_(bytes) {
  struct stat file {};
  struct statfs system {};
  if (!fd_.valid() || bytes == 0 || fstat(fd_.get(), &file) != 0 || !S_ISREG(file.st_mode) ||
      static_cast<uint64_t>(file.st_size) != bytes || fstatfs(fd_.get(), &system) != 0 ||
      system.f_type != TMPFS_MAGIC) {
    fail_worker("a segment is no shared memory of the size that was said");
  }
  const int seals = fcntl(fd_.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) fail_worker("a segment is not sealed");
  map();
  fd_ = Fd();  // the mapping is enough
}

Segment::Segment(Segment&& other) noexcept
    : fd_(std::move(other.fd_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Segment& Segment::operator=(Segment&& other) noexcept {
  if (this != &other) {
    unmap();
    fd_ = std::move(other.fd_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

Segment::~Segment() { unmap(); }

void Segment::forget() { data_ = nullptr; }

void Segment::map() {
  void* const at = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (at == MAP_FAILED) fail_worker("a segment cannot be mapped");
  data_ = static_cast<uint8_t*>(at);
}

void Segment::unmap() {
  if (data_ != nullptr) munmap(data_, size_);
  data_ = nullptr;
}

}  // namespace h5neural

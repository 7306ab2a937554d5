// carried.h: weights that travel inside an HDF5 file. A filter is never told which file it serves, and the
// engine knows no HDF5: so a record in the file's user block says where in the file the weights are, and the
// engine finds it through the process's own open files. Everything in the file is a stranger's: lengths are
// checked against the file, bytes against their SHA-256. Linux only (/proc/self/fd); elsewhere nothing is
// found.
//
// The record stands at half of a user block of S = 1024, 2048, ... bytes, so that what stood in a smaller one
// before stays at its front. Little endian:
//
//   0   magic: 89 "h5neural-w1" 0d 0a 1a 0a
//   16  u32 version, 1 | u32 count, 1 to kMostCarried
//   24  for each: the SHA-256 (32 bytes) | u64 offset from the start of the file | u64 length
//   then u64: XXH3-64 of all bytes before
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "weights/sha256.h"

namespace h5neural {

constexpr size_t kMostCarried = 64;

struct Carried {
  Sha256 sha256{};
  uint64_t offset = 0, length = 0;  // in the file
};

Bytes write_carried_record(std::span<const Carried> entries);
// Nothing when the bytes are no record, or a damaged one. Bytes behind it are not looked at.
std::optional<std::vector<Carried>> read_carried_record(ByteSpan bytes);

// An open file that carries weights.
struct CarryingFile {
  int descriptor = -1;  // not ours: the host may close it at any time
  std::string path;     // for messages
  uint64_t device = 0, inode = 0, size = 0;
  int64_t seconds = 0, nanoseconds = 0;  // of its last change
  std::vector<Carried> weights;          // as the record says
};
// Those among this process's open files, each once. Reads at most some KiB of each; moves no file position
// and opens no file, so that no lock of the host's is lost.
std::vector<CarryingFile> carrying_files();

// The bytes of weights in a file; false when they do not lie inside it, cannot be read, or have not the
// SHA-256 that the record says.
bool read_carried(const CarryingFile& file, const Carried& weights, Bytes& bytes);

}  // namespace h5neural

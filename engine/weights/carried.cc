// carried.cc: see carried.h.
#include "weights/carried.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <memory>

namespace h5neural {
namespace {

constexpr std::array<uint8_t, 16> kMagic{0x89, 'h', '5', 'n', 'e',  'u',  'r',  'a',
                                         'l',  '-', 'w', '1', 0x0d, 0x0a, 0x1a, 0x0a};
constexpr std::array<uint8_t, 8> kHdf5{0x89, 'H', 'D', 'F', 0x0d, 0x0a, 0x1a, 0x0a};
constexpr uint32_t kVersion = 1;
constexpr size_t kHead = 24, kEntry = 48, kTail = 8;
constexpr size_t kMostRecord = kHead + kMostCarried * kEntry + kTail;
constexpr uint64_t kSmallestBlock = 512,
                   kLargestBlock = uint64_t{1} << 26;  // HDF5 looks at 0, 512, 1024, ...
constexpr uint64_t kMaxLength = uint64_t{512} << 20;   // of one weights file

// Reads exactly bytes.size() bytes, or fails.
bool read_at(int descriptor, uint64_t offset, std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = pread(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return true;
}

template <size_t N>
bool stands_at(int descriptor, uint64_t offset, const std::array<uint8_t, N>& wanted) {
  std::array<uint8_t, N> bytes{};
  return read_at(descriptor, offset, bytes) && bytes == wanted;
}

// The weights that a file of `size` bytes says it carries.
std::vector<Carried> weights_in(int descriptor, uint64_t size) {
  if (stands_at(descriptor, 0, kHdf5)) return {};  // the usual file: no user block
  for (uint64_t half = kSmallestBlock; half <= kLargestBlock && 2 * half + kHdf5.size() <= size; half *= 2) {
    if (stands_at(descriptor, half, kHdf5)) return {};  // the user block ends here, and had no record
    if (!stands_at(descriptor, half, kMagic) || !stands_at(descriptor, 2 * half, kHdf5)) continue;
    Bytes record(std::min<uint64_t>(kMostRecord, half));
    if (!read_at(descriptor, half, record)) return {};
    return read_carried_record(record).value_or(std::vector<Carried>());
  }
  return {};
}

std::string path_of(int descriptor) {
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  std::array<char, PATH_MAX> text{};
  const ssize_t n = readlink(link.c_str(), text.data(), text.size());
  return n > 0 ? std::string(text.data(), static_cast<size_t>(n)) : link;
}

}  // namespace

Bytes write_carried_record(std::span<const Carried> entries) {
  if (entries.empty() || entries.size() > kMostCarried) {
    throw Failure(H5N_ERR_ARGUMENT, "h5neural: a file carries 1 to " + std::to_string(kMostCarried) +
                                        " weights; leave some out, or install them");
  }
  ByteWriter w;
  w.bytes(kMagic);
  w.put(kVersion);
  w.put(static_cast<uint32_t>(entries.size()));
  for (const Carried& c : entries) {
    w.bytes(c.sha256);
    w.put(c.offset);
    w.put(c.length);
  }
  Bytes record = w.take();
  const uint64_t checksum = XXH3_64bits(record.data(), record.size());
  const auto* const bytes = reinterpret_cast<const uint8_t*>(&checksum);
  record.insert(record.end(), bytes, bytes + sizeof checksum);
  return record;
}

std::optional<std::vector<Carried>> read_carried_record(ByteSpan bytes) {
  if (bytes.size() < kHead + kEntry + kTail || !std::equal(kMagic.begin(), kMagic.end(), bytes.begin())) {
    return std::nullopt;
  }
  ByteReader r(bytes.subspan(kMagic.size()));
  const auto version = r.get<uint32_t>(), count = r.get<uint32_t>();
  if (version != kVersion || count == 0 || count > kMostCarried) return std::nullopt;
  const size_t length = kHead + count * kEntry;
  if (bytes.size() < length + kTail) return std::nullopt;
  std::vector<Carried> entries(count);
  for (Carried& c : entries) {
    const ByteSpan digest = r.take(c.sha256.size());
    std::copy(digest.begin(), digest.end(), c.sha256.begin());
    c.offset = r.get<uint64_t>();
    c.length = r.get<uint64_t>();
  }
  if (r.get<uint64_t>() != XXH3_64bits(bytes.data(), length)) return std::nullopt;
  return entries;
}

std::vector<CarryingFile> carrying_files() {
  std::vector<CarryingFile> files;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir("/proc/self/fd"), closedir);
  if (folder == nullptr) return files;
  while (const dirent* entry = readdir(folder.get())) {
    char* end = nullptr;
    const long number = std::strtol(entry->d_name, &end, 10);
    if (end == entry->d_name || *end != '\0' || number < 0 || number > INT_MAX) continue;
    CarryingFile f;
    f.descriptor = static_cast<int>(number);
    struct stat s {};
    if (fstat(f.descriptor, &s) != 0 || !S_ISREG(s.st_mode) || s.st_size <= 0) continue;
    f.device = s.st_dev;
    f.inode = s.st_ino;
    f.size = static_cast<uint64_t>(s.st_size);
    f.seconds = s.st_mtim.tv_sec;
    f.nanoseconds = s.st_mtim.tv_nsec;
    const auto same = [&f](const CarryingFile& g) { return g.device == f.device && g.inode == f.inode; };
    if (std::any_of(files.begin(), files.end(), same)) continue;
    f.weights = weights_in(f.descriptor, f.size);
    if (f.weights.empty()) continue;
    f.path = path_of(f.descriptor);
    files.push_back(std::move(f));
  }
  return files;
}

bool read_carried(const CarryingFile& file, const Carried& weights, Bytes& bytes) {
  if (weights.length > kMaxLength || weights.offset > file.size ||
      weights.length > file.size - weights.offset) {
    return false;
  }
  bytes.resize(weights.length);
  return read_at(file.descriptor, weights.offset, bytes) && sha256(bytes) == weights.sha256;
}

}  // namespace h5neural

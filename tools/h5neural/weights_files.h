// weights_files.h: weights as the subcommands handle them: those that the engine finds, files that a user
// names, and those that travel inside HDF5 files. Knows HDF5 and the engine's C API.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "h5neural/h5neural.h"
#include "hdf5_file.h"

namespace h5neural::tool {

using FileBytes = std::vector<uint8_t>;

// All that the engine's search order finds, in order.
std::vector<h5n_weights> all_weights();
std::optional<h5n_weights> find_weights(const std::function<bool(const h5n_weights&)>& wanted);
// What the engine makes of a weights file. One that lies outside of the search order is put at its front, for
// this process. Throws ToolError when it cannot be read or is refused.
h5n_weights use_weights_file(const std::string& path);
// The weights called `name`, of these digits of the SHA-256, or of this file. Throws ToolError.
h5n_weights weights_called(const std::string& name);
// The first 64 bits of a SHA-256 given in hexadecimal, at least 16 digits of it; nothing for other text.
std::optional<uint64_t> hash_of_digits(const std::string& text);

// The whole of a weights file, 512 MiB at most. Throws ToolError.
FileBytes read_weights_file(const std::string& path);
std::string sha256_of(const FileBytes& bytes);

// ---- inside of an HDF5 file: contiguous datasets of bytes, /.h5neural/SHA256
constexpr const char* kCarriedGroup = ".h5neural";

struct CarriedWeights {
  std::string sha256;
  uint64_t offset = 0, length = 0;  // in the file
  uint64_t hash() const;
};
std::vector<CarriedWeights> list_carried(hid_t file);
// Their bytes, checked against their SHA-256. Throws ToolError.
FileBytes read_carried(hid_t file, const CarriedWeights& weights);
void add_carried(hid_t file, const std::string& sha256, const std::string& name, const FileBytes& bytes);

// The user block of a file that is to carry up to `count` weights, when `kept` bytes of its own come first.
uint64_t user_block_for(uint64_t kept, size_t count);
// The bytes of a file's user block that are not ours.
FileBytes foreign_user_block(const std::string& path, uint64_t user_block);
// Writes the user block of a closed file: what is kept, and the record of where its weights are.
void write_user_block(const std::string& path, uint64_t user_block, const FileBytes& kept,
                      const std::vector<CarriedWeights>& weights);

}  // namespace h5neural::tool

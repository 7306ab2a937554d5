// weights_file.h: one weights file in memory: its name, its hash, its integers and the text that describes
// its programs. What models/ are built from. Knows nothing of folders or of any family. Format:
// docs/weights-format.md.
#pragma once
#include <map>
#include <string>

#include "exact/program.h"
#include "weights/sha256.h"

namespace h5neural {

class WeightsFile {
 public:
  // `bytes` outlive the object. `source`: how messages call the file. Throws Failure(H5N_ERR_CORRUPT).
  WeightsFile(ByteSpan bytes, const Sha256& digest, const std::string& source);

  const std::string& name() const { return name_; }
  const std::string& family() const { return family_; }
  const std::string& config() const { return config_; }  // JSON; what it means is the family's business
  uint64_t hash() const { return hash_; }

  const Tensor* find(const std::string& tensor) const;  // or nullptr
  bool has_program(const std::string& program) const { return programs_.contains(program); }
  // Parses and proves one of the file's programs.
  Program program(const std::string& program) const;

 private:
  std::string name_, family_, config_;
  uint64_t hash_;
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, std::string> programs_;  // JSON
};

}  // namespace h5neural

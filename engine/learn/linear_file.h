// linear_file.h: basis fields as a weights file of family `linear`: each coded by the walk within an error
// that its use allows. No LibTorch. Format: docs/weights-format.md.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "support/bytes.h"
#include "support/extents.h"

namespace h5neural::learn {

// One basis field as a weights file holds it.
struct CodedMode {
  Bytes section;
  int step_bits = 0, exponent = 0;
  double deviation = 0;  // root mean square of what it adds to a typical sample, in the unit of the data
};

// `field`: the basis field times its usual latent, in the unit of the data; `error`: the largest error of it.
// A field that comes to nothing under that error has an empty section.
CodedMode code_mode(const std::vector<float>& field, const Extents& extents, double error);

// The basis fields of such a file, their sizes beside one another as their usual latents have them (to a
// factor of two), in a unit that the file does not tell. Throws Failure where it is of another family or
// form, of other extents, or damaged.
std::vector<std::vector<float>> basis_of(const std::string& path, const Extents& extents,
                                         const std::string& form);

// The file of the first `count` of these. `form`: chunk or block.
Bytes linear_file(const std::vector<CodedMode>& modes, size_t count, const Extents& extents,
                  const std::string& form, const std::string& name);

}  // namespace h5neural::learn

// judge.h: a dataset beside its original, value by value in float64, each chunk judged by the bound that it
// promised. Prints nothing.
#pragma once
#include <optional>
#include <string>

#include "compare.h"
#include "hdf5_file.h"

namespace h5neural::tool {

enum class Outcome { kKept, kIdentical, kSkipped, kBroken, kUnreadable };

struct Verdict {
  std::string path, bound, text;
  Outcome outcome = Outcome::kKept;
  Differences differences;
  uint64_t broken_chunks = 0;
  double ratio = 0;  // of the compressed one; 0 when neither is
};

// Judges `second_path` of the file `second` against `first_path` of the file `first`. `abs`: a bound for
// datasets that no filter of ours wrote. Never throws for a dataset's sake: what cannot be read is a verdict.
Verdict judge_pair(hid_t first, const std::string& first_path, hid_t second, const std::string& second_path,
                   const std::optional<double>& abs);

}  // namespace h5neural::tool

// card.h: the card of a weights file, a Markdown text beside it: data, command, result, curve, SHA-256. No
// LibTorch.
#pragma once
#include <string>

#include "learn/options.h"

namespace h5neural::learn {

struct CardFacts {
  std::string sha256;
  std::string data;     // what was read
  std::string results;  // Markdown
  std::string curve;    // rows of a table: seconds, step, stage, training loss, validation loss
  double seconds = 0;
  int64_t steps = 0;
  uint64_t bytes = 0, parameters = 0, macs = 0, largest_sum = 0;
};

// Writes `options.out` with the suffix .md.
void write_card(const Options& options, const CardFacts& facts);

}  // namespace h5neural::learn

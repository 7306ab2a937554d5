// embedded.h: weights compiled into the engine (weights/embed.cmake writes the definitions).
#pragma once
#include <span>

#include "support/bytes.h"

namespace h5neural {

struct EmbeddedWeights {
  const char* name;  // of the file it came from
  const uint8_t *begin, *end;
};

std::span<const EmbeddedWeights> embedded_weights();

}  // namespace h5neural

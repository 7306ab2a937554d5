// known_answer.h: a small program that uses every operation, and what it must answer. Knows nothing of
// backends but their interface.
#pragma once
#include "exact/backend.h"

namespace h5neural {

Program known_program();
bool reproduces_known_answer(const Backend& backend);

}  // namespace h5neural

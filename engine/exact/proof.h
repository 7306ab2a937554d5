// proof.h: shows that no sum of a program can leave int32, whatever its inputs, before the program is ever
// run. Every element carries the range that it can take; each operation's output range follows from its
// inputs' (interval arithmetic in 64 bits). A program that cannot be proved is refused.
#pragma once
#include <cstdint>
#include <string>

#include "exact/program.h"

namespace h5neural {

// Appends the value of `op` to program.values, and adds to its sums. The structure of `op` (which tensors it
// has, what type they are) has been checked by the parser; shapes, ranges, memory and work are checked here.
// Throws Failure(H5N_ERR_CORRUPT).
void prove(Program& program, const Op& op);

// Accounts for an array of `count` elements; throws when the program grows over its limits.
void account_activations(Program& program, const std::string& where, uint64_t count);

[[noreturn]] void refuse_program(const std::string& program, const std::string& where,
                                 const std::string& what);

}  // namespace h5neural

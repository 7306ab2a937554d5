// program_bytes.h: an integer program as bytes, for the way to the worker, and back. Knows nothing of how
// they travel.
#pragma once
#include "exact/program.h"
#include "support/bytes.h"

namespace h5neural {

// A weights file (docs/weights-format.md) that holds nothing but this program, all weights in 16 bits. Equal
// programs give equal bytes.
Bytes program_bytes(const Program& program);

// Parsed and proved as a weights file's are; what its bytes are stays with the caller. Throws
// Failure(H5N_ERR_CORRUPT).
Program program_of(ByteSpan bytes);

}  // namespace h5neural

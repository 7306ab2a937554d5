// encode.h: from a chunk to the smallest payload that keeps the bound.
#pragma once
#include "codec/parts.h"
#include "support/bytes.h"

namespace h5neural {

// `chunk`: the product of the extents times the element size. Never fails for the data's sake. Throws Failure
// on parameters that are not served.
Bytes encode_chunk(const h5n_params& params, ByteSpan chunk, const EncoderParts& parts = {});

}  // namespace h5neural

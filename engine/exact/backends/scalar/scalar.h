// scalar.h: the backend in plain C++. It is the truth that the others are held against.
#pragma once
#include "exact/backend.h"

namespace h5neural {

const Backend& scalar_backend();

// Operation `index` of the program, a linear or a convolution, by plain loops. x and y: its input and its
// result, `items` of each. For backends that have nothing better for some size.
void scalar_sums(const Program& program, size_t index, size_t items, const int32_t* x, int32_t* y);

}  // namespace h5neural

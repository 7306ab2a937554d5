// scalar.h: the backend in plain C++. It is the truth that the others are held against.
#pragma once
#include "exact/backend.h"

namespace h5neural {

const Backend& scalar_backend();

}  // namespace h5neural

#include <stdexcept>

#include "learn/train.h"
namespace h5neural::learn {
void train_block(const Options&) { throw std::runtime_error("later"); }
}  // namespace h5neural::learn

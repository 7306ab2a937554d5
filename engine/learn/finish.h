// finish.h: how every training ends: weights saved, their card written, both said on stderr. LibTorch by way
// of Progress only.
#pragma once
#include <initializer_list>
#include <string>

#include "learn/checkpoint.h"
#include "learn/export.h"
#include "learn/options.h"

namespace h5neural::learn {

// `programs`: what the reader runs, whose size the card gives. `results`: Markdown.
void finish_training(const Options& options, const WeightsWriter& weights,
                     std::initializer_list<const char*> programs, const Progress& progress,
                     const std::string& results);

}  // namespace h5neural::learn

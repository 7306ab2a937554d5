// finish.cc: see finish.h.
#include "learn/finish.h"

#include <algorithm>
#include <cstdio>

#include "learn/card.h"
#include "weights/weights_file.h"

namespace h5neural::learn {

void finish_training(const Options& o, const WeightsWriter& weights,
                     std::initializer_list<const char*> programs, const Progress& progress,
                     const std::string& results) {
  const Bytes bytes = weights.bytes();
  CardFacts f;
  f.sha256 = save_weights(o.out, weights);
  f.data = o.about.empty() ? o.data + ", " + o.variable : o.about;
  f.results = results;
  f.curve = progress.curve;
  f.seconds = progress.seconds;
  f.steps = progress.step;
  f.bytes = bytes.size();
  const WeightsFile file(bytes, sha256(bytes), o.out);
  for (const char* name : programs) {
    const Program p = file.program(name);
    f.parameters += p.parameters;
    f.macs += p.macs;
    f.largest_sum = std::max(f.largest_sum, p.largest_sum);
  }
  write_card(o, f);
  std::fprintf(stderr, "%s\n%s: %zu bytes, SHA-256 %s\n", results.c_str(), o.out.c_str(), bytes.size(),
               f.sha256.c_str());
}

}  // namespace h5neural::learn

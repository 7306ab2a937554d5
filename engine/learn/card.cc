// card.cc: see card.h.
#include "learn/card.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace h5neural::learn {
namespace {

// Every tenth row or so: a card is read by people.
std::string thin(const std::string& rows) {
  size_t count = 0;
  for (const char c : rows) count += c == '\n';
  const size_t step = std::max<size_t>(1, count / 12);
  std::string out;
  size_t row = 0;
  for (size_t at = 0; at < rows.size(); ++row) {
    const size_t end = rows.find('\n', at) + 1;
    if (row % step == step - 1 || row + 1 == count) out += rows.substr(at, end - at);
    at = end;
  }
  return out;
}

std::string family(const Options& o) {
  if (o.model == "three-branch") return "three-branch, a grid of latents";
  if (o.model == "frames")
    return std::string("frames, each frame predicted from those before it") +
           (o.order == "both" ? ", or from one on each side" : "");
  if (o.model == "corrections") return "corrections, a network inside of the walk";
  if (o.model == "swae")
    return o.form == "chunk" ? "swae, one latent vector for a whole chunk"
                             : "swae, one latent vector for each block of " + o.block;
  return o.model + ", a grid of latents for each group of frames of a series";
}

}  // namespace

void write_card(const Options& o, const CardFacts& f) {
  if (!o.curve.empty() && !(std::ofstream(o.curve) << f.curve))
    throw std::runtime_error(o.curve + " cannot be written");
  const std::string path = std::filesystem::path(o.out).replace_extension(".md");
  std::ofstream out(path);
  out << "# " << o.name << "\n\n"
      << "Family " << family(o) << ". Written by h5neural-worker; format: docs/weights-format.md.\n\n"
      << "| | |\n|---|---|\n"
      << "| file | " << std::filesystem::path(o.out).filename().string() << ", " << f.bytes << " bytes |\n"
      << "| SHA-256 | " << f.sha256 << " |\n"
      << "| data | " << f.data << " |\n"
      << "| trained | " << f.steps << " steps, " << std::lround(f.seconds) << " s, seed " << o.seed << " |\n"
      << "| program | " << f.parameters << " parameters, " << f.macs << " multiply-accumulates to decode"
      << ", largest proved sum 2^" << std::log2(static_cast<double>(f.largest_sum)) << " |\n"
      << "| licence | Apache-2.0, as the project |\n\n"
      << "## Command\n\n    " << o.command << "\n\n"
      << "## Result on validation samples (never trained on)\n\n"
      << f.results
      << "\n## Curve\n\n| seconds | step | stage | training loss | validation loss |\n|---|---|---|---|---|\n"
      << thin(f.curve);
  if (!out) throw std::runtime_error(path + " cannot be written");
}

}  // namespace h5neural::learn

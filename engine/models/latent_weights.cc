// latent_weights.cc: the weights of the families in latent_frames.h: read, and everything that a reader will
// rely on checked.
#include <algorithm>

#include "exact/json.h"
#include "models/latent_frames.h"

namespace h5neural {
namespace {

constexpr size_t kMostChannels = 64, kMostGains = 64, kMostSamples = 64;
constexpr int32_t kMostSpread = 127, kMostFactor = 32767;

}  // namespace

LatentWeights::LatentWeights(const WeightsFile& file) : what_("weights '" + file.name() + "'") {
  read_config(file.config());
  read_decoder(file);
  read_prior(file);
  if (every > 1) read_generator(file);
  read_encoder(file);
}

void LatentWeights::demand(bool fits, const std::string& problem) const {
  if (!fits) {
    throw Failure(H5N_ERR_CORRUPT, "h5neural: " + what_ + " are refused: " + problem +
                                       "; get the weights file again from where it came");
  }
}

void LatentWeights::read_config(const std::string& text) {
  const Json config = parse_json_object(text, what_);
  window = json_int(config, "window", 1, 16, what_);
  step = json_int(config, "step", 2, 32, what_);
  tile = json_int(config, "tile", 1, 256, what_);
  hyper = json_int(config, "hyper", 0, 16, what_);
  hyper_step = static_cast<int32_t>(json_int(config, "hyper_step", 1, 4096, what_));
  memory = json_int(config, "memory", 0, 2, what_);
  motion = json_int(config, "motion", 0, 64, what_);
  every = json_int(config, "every", 1, 8, what_);
  start = static_cast<int32_t>(json_int(config, "start", 0, kMostFactor, what_));
  bins = json_ints(config, "bins", kMostGains, 1, INT32_MAX, what_);
  demand(!bins.empty() && std::is_sorted(bins.begin(), bins.end()), "its bins do not grow");
  demand(hyper == 0 || tile % hyper == 0, "its tiles do not hold whole cells of hyper-latents");
  demand(every == 1 || (memory == 0 && motion == 0),
         "it generates groups, and its latents follow from groups before");
  demand(hyper > 0 || memory > 0 || motion > 0, "its prior knows nothing");
}

TileProgram LatentWeights::tiled(const WeightsFile& file, const char* name, const std::vector<Side>& sides,
                                 int64_t n, size_t outputs) const {
  TileProgram p{file.program(name), {}};
  const std::string of = std::string("program '") + name + "'";
  demand(p.program.inputs == sides.size() && p.program.outputs.size() == 1,
         of + " has another number of inputs or outputs");
  for (size_t v = 0; v < sides.size(); ++v) {
    const Value& in = p.program.values[v];
    demand(in.shape.size() == 3 && in.shape[0] == in.shape[1], of + " has an input that is no square tile");
    const int64_t extent = in.shape[0], rest = extent - sides[v].tile * sides[v].cell;
    demand(rest >= 0 && rest % (2 * sides[v].cell) == 0, of + " has an input that does not fit its tiles");
    const size_t given = in.shape[2];
    demand(sides[v].channels == 0 ? given <= kMostChannels : given == sides[v].channels,
           of + " has an input with another number of channels");
    const int32_t most = in.hi[0];
    demand(most > 0 && std::ranges::all_of(in.lo, [&](int32_t x) { return x <= -most; }) &&
               std::ranges::all_of(in.hi, [&](int32_t x) { return x >= most; }),
           of + " has an input without a common range");
    p.inputs.push_back({rest / (2 * sides[v].cell), given, most});
  }
  const auto side = static_cast<uint32_t>(n);
  demand(p.program.values[p.program.outputs[0]].shape ==
             std::vector<uint32_t>{side, side, static_cast<uint32_t>(outputs)},
         of + " has an output that does not fit its tiles");
  return p;
}

std::vector<int32_t> LatentWeights::numbers(const WeightsFile& file, const char* name, size_t count,
                                            int32_t lo, int32_t hi) const {
  const Tensor* t = file.find(name);
  demand(t != nullptr && t->count() == count,
         "array '" + std::string(name) + "' is missing or of a wrong size");
  std::vector<int32_t> v(count);
  for (size_t i = 0; i < count; ++i) {
    v[i] = t->at(i);
    demand(v[i] >= lo && v[i] <= hi, "array '" + std::string(name) + "' leaves its range");
  }
  return v;
}

void LatentWeights::read_decoder(const WeightsFile& file) {
  std::vector<Side> in{{tile, 1, 0}};
  if (motion > 0) in.push_back({tile, step, 1});
  decode = tiled(file, "decode", in, tile * step, static_cast<size_t>(window));
  channels = decode.inputs[0].channels;
  limit = decode.inputs[0].limit;
  const Value& out = decode.program.values[decode.program.outputs[0]];
  demand(std::ranges::all_of(out.lo, [](int32_t v) { return v >= -kMostLatentFramesOutput; }) &&
             std::ranges::all_of(out.hi, [](int32_t v) { return v <= kMostLatentFramesOutput; }),
         "its decoder's output is not limited");
  steps = numbers(file, "steps", gains() * channels, 1, limit);
}

void LatentWeights::read_prior(const WeightsFile& file) {
  std::vector<Side> in;
  if (hyper > 0) in.push_back({tile / hyper, 1, 0});
  if (memory > 0) in.push_back({tile, 1, static_cast<size_t>(memory) * channels});
  if (motion > 0) in.push_back({tile, step, 1});
  prior = tiled(file, "prior", in, tile, 2 * channels);
  if (hyper > 0) {
    hyper_channels = prior.inputs[0].channels;
    hyper_spread = numbers(file, "hyper_spread", hyper_channels, 0, kMostSpread);
  }
  demand(memory == 0 || prior.inputs[hyper > 0 ? 1 : 0].limit >= limit,
         "its prior does not take all latents");
}

void LatentWeights::read_generator(const WeightsFile& file) {
  const size_t between = static_cast<size_t>(every - 1) * channels;
  generate =
      tiled(file, "generate", {{tile, 1, between}, {tile, 1, 2 * channels}, {tile, 1, 0}}, tile, between);
  demand(generate.inputs[0].limit >= limit && generate.inputs[1].limit >= limit,
         "its generator does not take all latents");
  level_channels = generate.inputs[2].channels;
  const Tensor* t = file.find("sampler");
  demand(t != nullptr && t->count() % 3 == 0 && t->count() > 0 && t->count() / 3 <= kMostSamples,
         "array 'sampler' is missing or of a wrong size");
  sampler = numbers(file, "sampler", t->count(), -kMostFactor, kMostFactor);
  const int32_t most = std::min(kMostFactor, generate.inputs[2].limit);
  levels = numbers(file, "levels", samples() * level_channels, -most, most);
}

void LatentWeights::read_encoder(const WeightsFile& file) {
  std::vector<Side> in{{tile, step, static_cast<size_t>(window)}};
  if (motion > 0) in.push_back({tile, step, 1});
  encode = tiled(file, "encode", in, tile, channels);
  if (hyper > 0)
    hyper_encode = tiled(file, "hyper-encode", {{tile, 1, channels}}, tile / hyper, hyper_channels);
}

}  // namespace h5neural

// options.h: the command line of h5neural-worker train, `--key value` pairs. By hand: the machines that train
// may have no argument parser installed.
#pragma once
#include <cstdint>
#include <string>

namespace h5neural::learn {

struct Options {
  std::string data;            // safetensors file of float32 arrays [count, Z, Y, X]
  std::string variable;        // the array in it; corrections, frames: several, "a,b,c"
  std::string out;             // weights file to write; its card goes beside it with the suffix .md
  std::string name;            // of the weights, for people
  std::string checkpoint;      // empty: `out` + ".checkpoint"
  std::string about;           // a sentence on the data, for the card
  std::string from;            // swae, corrections: weights file of the same form to go on from; empty: none
  std::string model = "swae";  // three-branch, frames, corrections, vae, contextual, dcae, diffusion
  std::string form = "chunk";  // chunk: one latent vector for a chunk; block: one for each block of it
  std::string device = "cpu";  // or cuda
  uint64_t seed = 0;
  int64_t latents = 16;          // numbers of the latent vector
  int64_t modes = 128;           // chunk: POD modes that the decoder's last layer holds
  int64_t fine_modes = 32;       // chunk: how many of them in 16 bits; the others are held in 8
  int64_t hidden = 256;          // chunk: width of the hidden layers
  int64_t channels = 0;          // latents of a cell of the grid; 0: three-branch 16, others 32
  int64_t stages = 0;            // a cell has 2^stages points along each axis; 0: three-branch 2, others 3
  int64_t window = 0;            // vae ...: frames of a group of latents; 0: vae 8, others 1
  int64_t hyper = -1;            // vae ...: cells that share hyper-latents; below 0: the family's own
  int64_t memory = -1;           // dcae: groups before whose latents are seen
  int64_t motion = -1;           // contextual: points of a block that is displaced
  int64_t every = 3;             // diffusion: of so many groups one has latents in the payload
  int64_t steps = 1;             // diffusion: of a generation; 1: plain regression
  double adversarial = 0;        // vae, contextual, dcae: weight of the adversarial loss; 0: none
  std::string noise = "none";    // diffusion: in the steps of a generation: none, ancestral
  std::string branches = "all";  // three-branch: all, or spatial: without those of the spectrum
  int64_t history = 2;           // frames: how many are seen
  int64_t levels = 3;            // frames: of the pyramid
  std::string order =
      "causal";      // frames: or both: a second network, for frames between two, in half the time
  double bound = 0;  // frames, vae ...: relative to a chunk's range, to learn for; 0: a wide range
  std::string quantiser = "adaptive";  // three-branch: a step for each channel, or uniform: one for all
  int64_t batch = 256;
  double rate = 1e-3;           // Adam's, falling to a hundredth along a cosine
  double seconds = 300;         // time budget of the training loop, over all resumed runs
  double range = 0;             // value range of a typical chunk, which bounds of the loss are relative to;
                                // 0: block: as it is in the data, chunk: 1
  int64_t validation = 0;       // the last so many samples are never trained on; 0: a tenth of them
  std::string snapshot;         // file for the weights as they are, some ten times in a run; empty: none
  std::string curve;            // file for the rows of the training curve, for a report; empty: none
  int64_t patience = 20;        // stop after so many evaluations without a better one
  std::string block = "5,5,5";  // block: extents of a block, 1 to 3 axes
  std::string net = "mlp";      // block: mlp, conv, conv-bn
  double width = 1;             // block, frames, vae ...: times the usual numbers of channels or hidden units
  std::string loss = "bytes";   // block: bytes, mse, log, relative, robust
  double wasserstein = -1;      // block: weight of the latents' distance to N(0, I); below 0: the loss's own
  std::string normalise = "none";  // block: minmax, zscore, pos_log, none
  std::string precision = "int8";  // block: of the weights: int8, int16, fp8
  std::string search;              // block: numbers of latents to try, "4,8,16"; the best is kept
  int64_t pairs = 16;              // corrections: pairs of neighbours that are shown
  std::string widths = "24,16";    // corrections: hidden units of each layer
  std::string bounds = "0.1,0.03,0.01,0.003,0.001,0.0003,0.0001";  // corrections: relative to a chunk's range
  int64_t points = 1500000;                                        // corrections: to learn from
  std::string command;                                             // as typed, for the card
};

// Throws std::runtime_error with a sentence.
Options parse_options(int argc, char** argv);
bool learns_latents(const std::string& model);  // vae, contextual, dcae, diffusion
std::string usage();

}  // namespace h5neural::learn

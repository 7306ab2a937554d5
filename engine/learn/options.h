// options.h: the command line of h5neural-worker train, `--key value` pairs. By hand: the machines that train
// may have no argument parser installed.
#pragma once
#include <cstdint>
#include <string>

namespace h5neural::learn {

struct Options {
  std::string data;            // safetensors file of float32 arrays [count, Z, Y, X]
  std::string variable;        // the array in it
  std::string out;             // weights file to write; its card goes beside it with the suffix .md
  std::string name;            // of the weights, for people
  std::string checkpoint;      // empty: `out` + ".checkpoint"
  std::string about;           // a sentence on the data, for the card
  std::string model = "swae";  // or three-branch
  std::string form = "chunk";  // chunk: one latent vector for a chunk; block: blocks of 5^3, as published
  uint64_t seed = 0;
  int64_t latents = 16;                // numbers of the latent vector
  int64_t modes = 128;                 // chunk: POD modes that the decoder's last layer holds
  int64_t fine_modes = 32;             // chunk: how many of them in 16 bits; the others are held in 8
  int64_t hidden = 256;                // chunk: width of the hidden layers
  int64_t channels = 16;               // three-branch: latents of a cell of the grid
  int64_t stages = 2;                  // three-branch: a cell has 2^stages points along each axis
  std::string branches = "all";        // three-branch: all, or spatial: without those of the spectrum
  std::string quantiser = "adaptive";  // three-branch: a step for each channel, or uniform: one for all
  int64_t batch = 256;
  double rate = 1e-3;     // Adam's, falling to a hundredth along a cosine
  double seconds = 300;   // time budget of the training loop, over all resumed runs
  double range = 1.0;     // value range of a typical chunk: bounds of the loss are relative to it
  int64_t patience = 20;  // stop after so many evaluations without a better one
  std::string command;    // as typed, for the card
};

// Throws std::runtime_error with a sentence.
Options parse_options(int argc, char** argv);
std::string usage();

}  // namespace h5neural::learn

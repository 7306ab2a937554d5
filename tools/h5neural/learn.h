// learn.h: learns weights for chunks of HDF5 datasets, family by family, and judges each by what the writer
// makes of chunks that it did not learn from. What `h5neural train` and `repack --learn` share.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "families.h"
#include "training_data.h"
#include "writer_bytes.h"

namespace h5neural::tool {

struct LearnRequest {
  WriterSetting setting;       // the bound to learn for
  std::string model = "auto";  // or a family
  std::string form = "chunk", block;
  std::vector<std::string> network;  // options of the worker, as it takes them
  uint64_t latents = 16, modes = 0, seed = 0;
  uint64_t spread = 0;  // over how many chunks the weights are to pay back; 0: all that the sources have
  double seconds = 1200;
  uint64_t without = H5N_MODEL_NONE;  // what the weights are to beat: no model, or the automatic choice
  std::string from;                   // weights to start from, and to beat; empty: none
  std::string device = "cpu";         // or cuda: where networks learn
  std::string name;                   // of the weights
  std::string command;                // for the card, and to know an interrupted run again
};

// Weights that were learned, or those that were started from.
struct Candidate {
  std::string family, file;  // family: "from" for those that were there before
  uint64_t hash = 0, bytes = 0;
  std::string sha256;
  double payload = 0;  // mean bytes of a validation chunk, the smaller of with and without
  double total = 0;    // with the weights' share
  double seconds = 0;  // it took
};

struct Learned {
  std::vector<Candidate> candidates;
  std::vector<std::string> not_tried;  // sentences
  size_t best = 0;                     // of the candidates, by total
  double without = 0;                  // mean bytes of a validation chunk without a model
  uint64_t measured = 0;               // validation chunks
  uint64_t spread = 0;
  double seconds = 0;  // over all runs
  std::string data_sha256;
  // Whether anything is smaller than none, weights counted.
  bool pays() const { return !candidates.empty() && candidates[best].total < without; }
};

// Learns within the time, in the folder `folder`, which it makes; one that stands there already is gone on
// from. Says on stderr how it goes. Throws ToolError; the folder then stays where there is something in it to
// go on from.
Learned learn(const TrainingData& data, const LearnRequest& request, const std::string& folder);

// All that may be left in the folder when a run is ended from outside, the folder last.
std::vector<std::string> files_of_learning(const std::string& folder);

// How many chunks may be looked at in so much time.
uint64_t most_chunks(double seconds, uint64_t chunk_values);

}  // namespace h5neural::tool

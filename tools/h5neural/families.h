// families.h: the families of models that can be learned, in the order in which the automatic choice tries
// them, and how each is told what to learn. Learning itself is in programs of its own (engine/learn). A new
// family is a row of the table.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "training_data.h"

namespace h5neural::tool {

// What a family is to learn, and where its files are.
struct FamilyTask {
  const TrainingData* data = nullptr;
  uint32_t mode = 0;  // any but H5N_LOSSLESS and H5N_RATIO
  double bound = 0;   // in the data's unit
  std::string form = "chunk", block;
  std::vector<std::string> network;  // options of the worker, as it takes them
  uint64_t latents = 16, modes = 0, seed = 0;
  uint64_t spread = 0;  // over how many chunks the weights are to pay back
  double seconds = 0;
  std::string from;                                       // weights to start from; empty: none
  std::string device = "cpu";                             // or cuda: where networks learn
  std::string name;                                       // of the weights
  std::string samples, out, checkpoint, curve, snapshot;  // files
};

struct Family {
  const char* name;
  const char* program;                         // that learns it
  const char* remedy;                          // where that program is not installed
  double share;                                // of the time of all, beside the others' shares
  bool by_name_only;                           // the automatic choice leaves it out
  bool snapshots;                              // writes its weights as they are from time to time
  std::string (*why_not)(const FamilyTask&);   // why it cannot learn this; empty when it can
  uint64_t (*least_bytes)(const FamilyTask&);  // that its weights will have
  std::vector<std::string> (*arguments)(const FamilyTask&);
};

// The array of samples in the file FamilyTask::samples.
constexpr const char* kSamplesVariable = "x";

std::span<const Family> families();
const Family* family_called(const std::string& name);

// "a.h5:/u, b.h5:/u: 1000 chunks of [32, 32, 32], ..."
std::string about(const TrainingData& data);

}  // namespace h5neural::tool

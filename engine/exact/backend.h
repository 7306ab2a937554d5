// backend.h: what runs integer programs. Every backend gives the same bits; one that fails its known answer
// is not used. A backend is a folder under backends/; adding one touches no other folder but the list in
// backend.cc.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "exact/program.h"

namespace h5neural {

// The arrays of a program for a batch: element e of item i stands at i * (elements of the value) + e.
using Batch = std::vector<int32_t>;

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const char* name() const = 0;
  virtual bool available() const = 0;  // whether this machine has what it needs
  // Whether the environment variable H5NEURAL_BACKEND lets run() use it.
  virtual bool allowed() const { return true; }
  // Runs a proved program on `items` items. The inputs have been checked against their ranges (see run).
  virtual std::vector<Batch> execute(const Program& program, std::span<const Batch> inputs,
                                     size_t items) const = 0;
};

// Whether the elements of `x`, any number of items of `value`, are in the range that the proof gave each.
bool in_range(const Value& value, std::span<const int32_t> x);

// Checks every input against the range that the proof assumed, then runs the program on the fastest usable
// backend, or where a writer allows and the user wants it, in the worker (worker/client.h). Returns one batch
// for each output. Throws Failure(H5N_ERR_CORRUPT) for an input out of its range.
std::vector<Batch> run(const Program& program, std::span<const Batch> inputs, size_t items);

// All backends compiled in, slowest (the truth) first.
const std::vector<const Backend*>& backends();
// Whether `backend` reproduces the known answer; computed once for each backend.
bool passes_known_answer(const Backend& backend);
// The fastest usable one of this process. Throws Failure(H5N_ERR_INTERNAL) when none passes.
const Backend& best_backend();

}  // namespace h5neural

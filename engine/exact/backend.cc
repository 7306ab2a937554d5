// backend.cc: the list of backends, their known answers, and the choice among them. See backend.h.
#include "exact/backend.h"

#include "exact/backends/scalar/scalar.h"
#include "exact/backends/simd/simd.h"
#include "exact/known_answer.h"
#include "support/failure.h"
#include "worker/client.h"

namespace h5neural {
namespace {

void check_input(const Program& program, size_t index, const Batch& x, size_t items) {
  const Value& v = program.values[index];
  if (x.size() != items * v.count()) {
    throw Failure(H5N_ERR_INTERNAL,
                  "h5neural: program '" + program.name + "' was given an input of another size");
  }
  if (!in_range(v, x)) fail_corrupt("a latent is out of its range");
}

}  // namespace

bool in_range(const Value& v, std::span<const int32_t> x) {
  for (size_t from = 0; from < x.size(); from += v.count()) {
    const int32_t* n = x.data() + from;
    int outside = 0;  // looked at after the loop, which then is one of vectors
    for (size_t e = 0; e < v.count(); ++e) outside |= int{n[e] < v.lo[e]} | int{n[e] > v.hi[e]};
    if (outside != 0) return false;
  }
  return true;
}

std::vector<Batch> run(const Program& program, std::span<const Batch> inputs, size_t items) {
  if (inputs.size() != program.inputs) {
    throw Failure(H5N_ERR_INTERNAL,
                  "h5neural: program '" + program.name + "' was given another number of inputs");
  }
  for (size_t v = 0; v < inputs.size(); ++v) check_input(program, v, inputs[v], items);
  const Backend& backend = worker_wanted(program, items) ? worker_backend() : best_backend();
  return backend.execute(program, inputs, items);
}

const std::vector<const Backend*>& backends() {
  // Never destroyed, as all statics of the engine: readers may still run while the process exits.
  static const auto& all = *[] {
    auto* const v = new std::vector<const Backend*>{&scalar_backend()};
    v->insert(v->end(), simd_backends().begin(), simd_backends().end());
    return v;
  }();
  return all;
}

bool passes_known_answer(const Backend& backend) {
  static const std::vector<bool>& passed = *[] {
    auto* const v = new std::vector<bool>;
    for (const Backend* b : backends()) v->push_back(b->available() && reproduces_known_answer(*b));
    return v;
  }();
  for (size_t i = 0; i < backends().size(); ++i) {
    if (backends()[i] == &backend) return passed[i];
  }
  return backend.available() && reproduces_known_answer(backend);
}

const Backend& best_backend() {
  static const Backend* const best = [] {
    const Backend* b = nullptr;
    for (const Backend* candidate : backends()) {
      if (candidate->allowed() && passes_known_answer(*candidate)) b = candidate;
    }
    return b;
  }();
  if (best == nullptr) {
    throw Failure(
        H5N_ERR_INTERNAL,
        "h5neural: no backend reproduces its known answer on this machine; report the processor to the "
        "project, and rebuild the engine without -march flags");
  }
  return *best;
}

}  // namespace h5neural

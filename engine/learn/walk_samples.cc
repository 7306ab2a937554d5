// walk_samples.cc: see walk_samples.h.
#include "learn/walk_samples.h"

#include <algorithm>
#include <chrono>
#include <random>

#include "codec/encode.h"

namespace h5neural::learn {
namespace {

constexpr uint32_t kEffort = 5;  // of the writer that is learned from: the usual one

struct Task {
  const ChunkRange* from = nullptr;
  int64_t chunk = 0;
  double bound = 0;
};

// All pairs of a chunk and a bound in an order of chance, so that a walk through a part of them sees all
// kinds.
std::vector<Task> tasks_of(const std::vector<ChunkRange>& chunks, const WalkSampling& how) {
  std::vector<Task> tasks;
  for (const ChunkRange& c : chunks) {
    for (int64_t k = c.first; k < c.end; ++k) {
      for (const double bound : how.bounds) tasks.push_back({&c, k, bound});
    }
  }
  std::shuffle(tasks.begin(), tasks.end(), std::mt19937_64(how.seed));
  return tasks;
}

NetworkSamples sample_walk(const Task& task, const WalkSampling& how, double points, uint64_t seed) {
  const std::vector<int64_t>& shape = task.from->array.shape;
  h5n_params p{};
  p.mode = H5N_REL;
  p.bound = task.bound;
  p.model = H5N_MODEL_NONE;
  p.effort = kEffort;
  p.type = H5N_FLOAT32;
  p.rank = static_cast<uint32_t>(shape.size()) - 1;
  size_t count = 1;
  for (size_t a = 1; a < shape.size(); ++a) {
    p.dims[a - 1] = static_cast<uint64_t>(shape[a]);
    count *= static_cast<size_t>(shape[a]);
  }
  NetworkSamples samples;
  samples.seed = seed;
  samples.share = std::min(1.0, points / static_cast<double>(count));
  WalkNetwork shown;
  shown.shape = how.shape;
  EncoderParts parts;
  parts.repeats = parts.transform = parts.masks = false;  // it is the walk that is learned from
  parts.network = &shown;
  parts.samples = &samples;
  const auto values = task.from->array.values.subspan(static_cast<size_t>(task.chunk) * count, count);
  encode_chunk(p, {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()}, parts);
  return samples;
}

}  // namespace

WalkSamples sample_walks(const std::vector<ChunkRange>& chunks, const WalkSampling& how) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  WalkSamples all;
  const std::vector<Task> tasks = tasks_of(chunks, how);
  // As many of each as there would be if all of them were coded, at least enough to say something.
  const double each = std::max(2000.0, double(how.points) / double(std::max<size_t>(1, tasks.size())));
  for (const Task& task : tasks) {
    const std::chrono::duration<double> spent = Clock::now() - start;
    if (spent.count() > how.seconds && all.coded > 0) break;
    if (std::ssize(all.group) >= how.points) break;
    const NetworkSamples s =
        sample_walk(task, how, each, how.seed * 1000003 + static_cast<uint64_t>(all.coded));
    all.of.inputs.insert(all.of.inputs.end(), s.inputs.begin(), s.inputs.end());
    all.of.residual.insert(all.of.residual.end(), s.residual.begin(), s.residual.end());
    all.of.context.insert(all.of.context.end(), s.context.begin(), s.context.end());
    all.group.insert(all.group.end(), s.context.size(), static_cast<int32_t>(all.coded));
    ++all.coded;
  }
  return all;
}

}  // namespace h5neural::learn

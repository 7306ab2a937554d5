// writer_bytes.cc: see writer_bytes.h.
#include "writer_bytes.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "tool_error.h"

namespace h5neural::tool {

h5n_params params_for(const TrainingSource& source, const WriterSetting& setting, uint64_t model) {
  const Dataset& d = source.dataset;
  h5n_params p{};
  p.mode = setting.mode;
  p.bound = setting.bound;
  p.effort = setting.effort;
  p.model = model;
  p.type = d.element == Element::kFloat32 ? H5N_FLOAT32 : H5N_FLOAT64;
  p.rank = static_cast<uint32_t>(source.block.size());
  std::copy(source.block.begin(), source.block.end(), p.dims);
  if (d.fill) {
    p.has_fill = 1;
    std::memcpy(&p.fill, d.fill->data(), std::min(d.fill->size(), sizeof p.fill));
  }
  return p;
}

std::vector<uint64_t> payload_bytes(const TrainingData& data, Part part, uint64_t most,
                                    const WriterSetting& setting, uint64_t model) {
  std::vector<uint64_t> bytes;
  const uint64_t count = std::min(most, data.count(part));
  for (uint64_t k = 0; k < count; ++k) {
    const TrainingData::Chunk chunk = data.chunk(part, k * data.count(part) / count);
    const h5n_params params = params_for(*chunk.source, setting, model);
    void* payload = nullptr;
    size_t size = 0;
    h5n_error error{};
    if (h5n_encode(&params, chunk.values.data(), chunk.values.size(), &payload, &size, &error) != H5N_OK)
      fail("{}:{}: {}", chunk.source->file, chunk.source->dataset.path, error.message);
    h5n_free(payload);
    bytes.push_back(size);
  }
  return bytes;
}

double mean_of(const std::vector<uint64_t>& bytes) {
  const uint64_t sum = std::accumulate(bytes.begin(), bytes.end(), uint64_t{0});
  return bytes.empty() ? 0 : static_cast<double>(sum) / static_cast<double>(bytes.size());
}

double mean_of_smaller(const std::vector<uint64_t>& with, const std::vector<uint64_t>& without) {
  std::vector<uint64_t> smaller(with.size());
  std::transform(with.begin(), with.end(), without.begin(), smaller.begin(),
                 [](uint64_t a, uint64_t b) { return std::min(a, b); });
  return mean_of(smaller);
}

}  // namespace h5neural::tool

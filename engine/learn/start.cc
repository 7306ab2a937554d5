// start.cc: see start.h.
#include "learn/start.h"

#include <cmath>
#include <fstream>
#include <stdexcept>

#include "models/factory.h"

namespace h5neural::learn {

StartingWeights::StartingWeights(const std::string& path, const std::string& form) : path_(path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) refuse("it cannot be read");
  bytes_.assign(std::istreambuf_iterator<char>(in), {});
  file_ = std::make_unique<WeightsFile>(bytes_, sha256(bytes_), path);
  (void)make_model(*file_);  // refuses what does not fit together
  config_ = parse_json_object(file_->config(), path);
  if (file_->family() != "swae" || config_.value("form", "") != form)
    refuse("it is not of family swae, form " + form + "; leave --from out");
}

void StartingWeights::refuse(const std::string& problem) const {
  throw std::runtime_error("--from " + path_ + ": " + problem);
}

std::vector<StoredLayer> StartingWeights::layers(const std::string& name) const {
  const Program p = file_->program(name);
  std::vector<StoredLayer> found;
  for (size_t i = 0; i < p.ops.size(); ++i) {
    const Op& op = p.ops[i];
    if (op.kind != OpKind::kLinear && op.kind != OpKind::kConv && op.kind != OpKind::kConvTransposed)
      continue;
    StoredLayer l;
    l.kind = op.kind;
    l.shape.push_back(op.rows);
    int64_t channels = op.columns;
    for (const uint32_t k : op.kernel) {
      l.shape.push_back(k);
      channels /= k;
    }
    l.shape.push_back(channels);
    l.weight.assign(op.weights.begin(), op.weights.end());
    l.bias.assign(op.bias.begin(), op.bias.end());
    for (const Op& next : p.ops) {
      if (next.kind != OpKind::kRequantise || next.in[0] != p.inputs + i) continue;
      for (const int32_t m : next.multiplier)
        l.factor.push_back(std::ldexp(m, -static_cast<int>(next.shift)));
      break;
    }
    found.push_back(std::move(l));
  }
  return found;
}

std::vector<double> StartingWeights::tensor(const std::string& name, std::vector<int64_t>& shape) const {
  const Tensor* t = file_->find(name);
  if (t == nullptr) return {};
  shape.assign(t->shape.begin(), t->shape.end());
  std::vector<double> values(t->count());
  for (size_t i = 0; i < values.size(); ++i) values[i] = t->at(i);
  return values;
}

}  // namespace h5neural::learn

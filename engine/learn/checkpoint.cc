// checkpoint.cc: see checkpoint.h.
#include "learn/checkpoint.h"

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "exact/json.h"
#include "weights/safetensors.h"

namespace h5neural::learn {
namespace {

using Tensors = std::map<std::string, torch::Tensor>;

// Parameters, buffers (statistics of batch norm), the best of both, and of each parameter that Adam has moved
// its two moments and how often: parts of a net may begin late. Under one name each.
Tensors collect(const torch::nn::Module& net, const Tensors& best, torch::optim::Adam& adam) {
  Tensors all;
  for (const auto& p : net.named_parameters()) {
    all["net." + p.key()] = p.value();
    const auto it = adam.state().find(p.value().unsafeGetTensorImpl());
    if (it == adam.state().end()) continue;
    const auto& s = static_cast<const torch::optim::AdamParamState&>(*it->second);
    all["adam.first." + p.key()] = s.exp_avg();
    all["adam.second." + p.key()] = s.exp_avg_sq();
    all["adam.steps." + p.key()] = torch::tensor({static_cast<float>(s.step())});
  }
  for (const auto& b : net.named_buffers()) all["net." + b.key()] = b.value();
  for (const auto& [name, t] : best) all["best." + name] = t;
  return all;
}

torch::Tensor tensor_of(const SafetensorsEntry& e, const torch::Tensor& like) {
  if (e.type != "F32" || e.bytes.size() != static_cast<size_t>(like.numel()) * sizeof(float)) {
    throw std::runtime_error("the checkpoint does not fit these options; remove it to start anew");
  }
  auto t = torch::empty(like.sizes(), torch::kFloat32);
  std::memcpy(t.data_ptr<float>(), e.bytes.data(), e.bytes.size());
  return t.to(like.device());
}

}  // namespace

void save_checkpoint(const std::string& path, const torch::nn::Module& net, const Tensors& best,
                     torch::optim::Adam& adam, const Progress& p, const std::string& run) {
  Safetensors out;
  std::map<std::string, torch::Tensor> kept;  // contiguous copies that outlive the views
  for (const auto& [name, t] : collect(net, best, adam)) {
    const auto& c = kept[name] = t.detach().to(torch::kCPU, torch::kFloat32).contiguous();
    const auto* bytes = reinterpret_cast<const uint8_t*>(c.data_ptr<float>());
    out.tensors[name] = {"F32",
                         {c.sizes().begin(), c.sizes().end()},
                         ByteSpan(bytes, static_cast<size_t>(c.numel()) * sizeof(float))};
  }
  out.metadata["run"] = run;
  out.metadata["progress"] = Json{{"step", p.step},   {"seconds", p.seconds}, {"best", p.best},
                                  {"stale", p.stale}, {"stage", p.stage},     {"curve", p.curve}}
                                 .dump();
  const Bytes bytes = write_safetensors(out);
  std::ofstream file(path + ".partial", std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) throw std::runtime_error(path + " cannot be written; is the disk full?");
  std::filesystem::rename(path + ".partial", path);
}

bool load_checkpoint(const std::string& path, torch::nn::Module& net, Tensors& best, torch::optim::Adam& adam,
                     Progress& p, const std::string& run) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return false;
  const Bytes bytes{std::istreambuf_iterator<char>(file), {}};
  const Safetensors in = parse_safetensors(bytes, path);
  const auto meta = [&](const char* key) {
    return in.metadata.contains(key) ? in.metadata.at(key) : std::string();
  };
  if (meta("run") != run) {
    throw std::runtime_error(path + " belongs to a run with other options; remove it to start anew");
  }
  const auto read = [&](const std::string& key, const torch::Tensor& like) {
    const auto it = in.tensors.find(key);
    if (it == in.tensors.end())
      throw std::runtime_error(path + " lacks " + key +
                               ", as those of earlier versions do; remove it to start anew");
    return tensor_of(it->second, like);
  };
  const Json j = Json::parse(meta("progress"));
  p = {j.at("step"), j.at("seconds"), j.at("best"), j.at("stale"), j.at("stage"), j.at("curve")};
  const torch::NoGradGuard no_grad;
  for (auto& param : net.named_parameters()) {
    const auto& name = param.key();
    torch::Tensor& value = param.value();
    value.copy_(read("net." + name, value));
    if (in.tensors.contains("best." + name)) best[name] = read("best." + name, value);
    if (!in.tensors.contains("adam.first." + name)) continue;
    auto state = std::make_unique<torch::optim::AdamParamState>();
    const auto steps = read("adam.steps." + name, torch::zeros({1}));
    state->step(static_cast<int64_t>(steps.item<float>()));
    state->exp_avg(read("adam.first." + name, value));
    state->exp_avg_sq(read("adam.second." + name, value));
    adam.state()[value.unsafeGetTensorImpl()] = std::move(state);
  }
  for (auto& buffer : net.named_buffers()) {
    const auto& name = buffer.key();
    torch::Tensor& value = buffer.value();
    value.copy_(read("net." + name, value));
    if (in.tensors.contains("best." + name)) best[name] = read("best." + name, value);
  }
  return true;
}

}  // namespace h5neural::learn

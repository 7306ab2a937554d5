// linear_file.cc: see linear_file.h.
#include "learn/linear_file.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "corrections/choose_schedule.h"
#include "corrections/walk.h"
#include "exact/json.h"
#include "models/linear.h"
#include "support/failure.h"
#include "weights/safetensors.h"
#include "weights/sha256.h"
#include "weights/weights_file.h"

namespace h5neural::learn {
namespace {

constexpr int kMostBits = 4;  // a lattice finer than the bin by more brings nothing
constexpr double kLargest = (1 << kLinearBits) - 256;

Bytes code_by_walk(const WalkInput& in, const std::vector<double>& target, std::vector<int32_t>& decoded) {
  constexpr unsigned kEffort = 7;
  constexpr double kShare = 0.25, kLeastPoints = 6000;
  std::vector<Schedule> all = propose_schedules(in.n, target, {}, usual_error(in));
  for (size_t k = 0, n = all.size(); k < n; ++k) {
    Schedule straight = straightened(all[k]);
    if (straight != all[k]) all.push_back(std::move(straight));
  }
  Box box(in.n, std::max(kLeastPoints, kShare * static_cast<double>(target.size())), all.front().wraps);
  box.seek(in, target);
  const Audition chosen = choose_schedules(in, all, target, box, walk_effort(1), -1);
  return encode_walk(in, chosen.best.front(), target, walk_effort(kEffort), decoded);
}

double root_mean_square(const auto& values) {
  double squares = 0;
  for (const auto v : values) squares += static_cast<double>(v) * v;
  return std::sqrt(squares / static_cast<double>(values.size()));
}

}  // namespace

CodedMode code_mode(const std::vector<float>& field, const Extents& extents, double error) {
  double largest = 0;
  for (const float v : field) largest = std::max(largest, std::fabs(static_cast<double>(v)));
  CodedMode m;
  if (largest <= error) return m;
  m.deviation = root_mean_square(field);
  const double bin = std::max(2 * error, largest / kLargest);
  m.step_bits = std::clamp(std::ilogb(kLargest * bin / largest), 0, kMostBits);
  const double unit = std::ldexp(bin, -m.step_bits);
  std::vector<double> target(field.begin(), field.end());
  for (double& t : target) t /= unit;
  WalkInput in;
  in.n = fold(extents);
  in.step_bits = m.step_bits;
  std::vector<int32_t> decoded;
  m.section = code_by_walk(in, target, decoded);
  const double rms = root_mean_square(decoded);
  if (rms == 0) return {};
  m.exponent = std::clamp(static_cast<int>(std::lround(std::log2(rms))), 0, kMostLinearExponent);
  return m;
}

std::vector<std::vector<float>> basis_of(const std::string& path, const Extents& extents,
                                         const std::string& form) {
  std::ifstream in(path, std::ios::binary);
  const Bytes bytes{std::istreambuf_iterator<char>(in), {}};
  const WeightsFile file(bytes, sha256(bytes), path);
  const Json config = parse_json_object(file.config(), path);
  Extents own;
  if (file.family() == "linear") {
    (void)make_linear(file);  // refuses what does not fit together
    const auto shape = json_ints(config, "extents", H5N_MAX_RANK, 1, 1 << 22, path);
    own.rank = static_cast<int>(shape.size());
    std::copy(shape.begin(), shape.end(), own.n.begin());
  }
  if (!(own == extents) || json_string(config, "form", path) != form)
    throw Failure(H5N_ERR_ARGUMENT, path + " is not of family linear, form " + form +
                                        ", for chunks of this size; leave --from out");
  const auto sizes = config.at("bytes"), bits = config.at("bits"), scales = config.at("scales");
  ByteSpan left = file.find("basis")->bytes;
  std::vector<std::vector<float>> basis;
  for (size_t k = 0; k < sizes.size(); ++k) {
    WalkInput walk;
    walk.n = fold(extents);
    walk.step_bits = bits[k];
    std::vector<int32_t> field(extents.count());
    const size_t size = sizes[k];
    decode_walk(walk, left.first(size), field);
    left = left.subspan(size);
    const double factor = std::ldexp(1.0, -scales[k].get<int>()) / std::max(1e-30, root_mean_square(field));
    basis.emplace_back(field.size());
    for (size_t p = 0; p < field.size(); ++p) basis.back()[p] = static_cast<float>(field[p] * factor);
  }
  return basis;
}

Bytes linear_file(const std::vector<CodedMode>& modes, size_t count, const Extents& extents,
                  const std::string& form, const std::string& name) {
  Bytes basis;
  std::vector<int> bytes, bits, exponents, scales;
  double largest = 0;
  for (size_t k = 0; k < count; ++k) largest = std::max(largest, modes[k].deviation);
  for (size_t k = 0; k < count; ++k) {
    const CodedMode& m = modes[k];
    basis.insert(basis.end(), m.section.begin(), m.section.end());
    bytes.push_back(static_cast<int>(m.section.size()));
    bits.push_back(m.step_bits);
    exponents.push_back(m.exponent);
    scales.push_back(std::clamp(static_cast<int>(std::lround(std::log2(largest / m.deviation))), 0, 31));
  }
  Safetensors s;
  s.metadata = {{"format", "h5neural-weights-1"}, {"name", name}, {"family", "linear"}};
  const std::vector<uint64_t> shape(extents.n.begin(), extents.n.begin() + extents.rank);
  s.metadata["config"] = nlohmann::json{{"form", form}, {"extents", shape},       {"bytes", bytes},
                                        {"bits", bits}, {"exponents", exponents}, {"scales", scales}}
                             .dump();
  s.tensors["basis"] = {"I8", {basis.size()}, basis};
  return write_safetensors(s);
}

}  // namespace h5neural::learn

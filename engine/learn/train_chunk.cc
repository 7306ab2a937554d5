// train_chunk.cc: trains and exports the whole-chunk form: one latent vector for a chunk of one size.
//
// The decoder ends in the mean field and the leading POD modes (Sirovich, 1987) of the training data; before
// them stands a network from K latents to the H mode coefficients, which starts as the identity on the first
// K: it starts from POD and learns what POD cannot say, that the coefficients of a travelling feature lie on
// a curved surface (Lee and Carlberg, 2020). First it is trained on coefficients alone (fast), then on
// fields, for the corrections' cost. The Wasserstein term keeps the latents near N(0, 1).
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <sstream>

#include "exact/backend.h"
#include "learn/arrays.h"
#include "learn/finish.h"
#include "learn/loop.h"
#include "learn/nets.h"
#include "learn/start.h"
#include "learn/train.h"
#include "models/factory.h"

namespace h5neural::learn {
namespace {

constexpr double kLatentUnit = 1.0 / 1024;  // of latents and fine coefficients, relative to a field of norm 1
constexpr double kWassersteinWeight = 1e-4;
constexpr int64_t kProjections = 50;
constexpr double kSnapshots = 12;  // in a run

// Mean and leading POD modes of the first fields of [N, P], and every field's coefficients.
struct Pod {
  torch::Tensor mean, modes, coefficients, sigma;  // [P], [H, P], [N, H], [H]
};

Pod make_pod(const torch::Tensor& fields, int64_t first, int64_t modes) {
  Pod pod;
  pod.mean = fields.slice(0, 0, first).mean(0);
  // Snapshots: the eigenvectors of the Gram matrix [N, N] of at most 3000 fields give the modes.
  const int64_t used = std::min<int64_t>(first, 3000);
  const auto x = fields.slice(0, 0, used) - pod.mean;
  const auto [values, vectors] = torch::linalg_eigh(torch::matmul(x, x.t()).to(torch::kFloat64));
  const auto top = vectors.slice(1, used - modes, used).flip(1);
  const auto scale = values.slice(0, used - modes, used).flip(0).clamp_min(1e-20).rsqrt();
  pod.modes = torch::matmul((top * scale).t().to(torch::kFloat32), x).contiguous();
  pod.coefficients = torch::matmul(fields, pod.modes.t()) - torch::mv(pod.modes, pod.mean);
  pod.sigma = pod.coefficients.std(0).clamp_min(1e-6);
  return pod;
}

torch::Tensor real(const std::vector<double>& values, const std::vector<int64_t>& shape) {
  return torch::tensor(values, torch::kFloat64).reshape(shape);
}

// Mean, modes and deviations of a weights file, in the unit that it was learned in.
Pod stored_pod(const StartingWeights& start) {
  std::vector<int64_t> shape;
  Pod pod;
  const auto column = [&](const char* name) { return real(start.tensor(name, shape), shape); };
  pod.mean = (column("mean") * (kLatentUnit / (1 << 14))).to(torch::kFloat32);
  auto modes = column("fine") / (1 << 14);
  pod.sigma = column("sigma") * (kLatentUnit / (1 << 8));
  const auto units = start.config().at("units").get<std::vector<int64_t>>();
  const int64_t coarse = pod.sigma.size(0) - modes.size(1);
  if (coarse > 0) {
    const torch::Tensor finer =
        torch::exp2(torch::tensor(std::vector<double>(units.end() - coarse, units.end()), torch::kFloat64));
    modes = torch::cat({modes, column("coarse") * (finer / (1 << 14))}, 1);
    pod.sigma.slice(0, pod.sigma.size(0) - coarse) /= finer;
  }
  pod.modes = modes.t().to(torch::kFloat32).contiguous();
  pod.sigma = pod.sigma.to(torch::kFloat32).clamp_min(1e-6);
  return pod;
}

struct ChunkNet : torch::nn::Module {
  ChunkNet(int64_t latents, int64_t modes, int64_t hidden, torch::Tensor s)
      : k(latents),
        sigma(std::move(s)),
        e0(register_module("e0", torch::nn::Linear(modes, hidden))),
        e1(register_module("e1", torch::nn::Linear(hidden, latents))),
        d0(register_module("d0", torch::nn::Linear(latents, hidden))),
        d1(register_module("d1", torch::nn::Linear(hidden, hidden))),
        d2(register_module("d2", torch::nn::Linear(hidden, modes))) {
    const torch::NoGradGuard no_grad;
    for (auto* l : {&e1, &d2}) {  // start from POD: the network adds nothing
      (*l)->weight.zero_();
      (*l)->bias.zero_();
    }
  }

  torch::Tensor encode(const torch::Tensor& c) {
    const auto h = quantised_silu(quantised_linear(e0, c / sigma, 16, quantise), quantise);
    return c.slice(1, 0, k) + sigma.slice(0, 0, k) * quantised_linear(e1, h, 16, quantise);
  }

  torch::Tensor decode(const torch::Tensor& z) {
    auto u = z / sigma.slice(0, 0, k);
    if (quantise) u = round_to(u.clamp(-kLimit * kUnit, kLimit * kUnit), kUnit);
    auto h = quantised_silu(quantised_linear(d0, u, 16, quantise), quantise);
    h = quantised_silu(quantised_linear(d1, h, 16, quantise), quantise);
    const auto c = sigma * quantised_linear(d2, h, 16, quantise);
    return torch::cat({c.slice(1, 0, k) + z, c.slice(1, k)}, 1);
  }

  // The networks of a weights file. An output's rescaling there is a power of two, the weights' own unit over
  // that of the numbers it makes; for coefficients also their deviation.
  void start_from(const StartingWeights& start) {
    std::vector<int64_t> shape;
    const std::vector<double> deviations =
        start.tensor("sigma", shape);  // in 2^-8 of the coefficients' units
    const auto set = [](torch::nn::Linear& to, int64_t first, const StoredLayer& s, double in_unit,
                        auto unit_of) {
      const torch::NoGradGuard no_grad;
      for (int64_t row = 0; row < s.shape[0]; ++row) {
        const double out = std::exp2(std::round(std::log2(unit_of(static_cast<size_t>(row)))));
        const auto* w = s.weight.data() + row * s.shape[1];
        const auto values =
            torch::tensor(std::vector<double>(w, w + s.shape[1]), torch::kFloat64) * (out / in_unit);
        to->weight[first + row].copy_(values);
        to->bias[first + row].fill_(s.bias[static_cast<size_t>(row)] * out);
      }
    };
    const auto hidden_layer = [&](torch::nn::Linear& to, const StoredLayer& s, double in_unit) {
      set(to, 0, s, in_unit, [&](size_t) { return s.factor_of(0) * kUnit; });
    };
    const auto last = [&](torch::nn::Linear& to, int64_t first, const StoredLayer& s) {
      set(to, first, s, kActivationUnit, [&](size_t row) {
        return s.factor_of(row) * (1 << 8) / std::max(1.0, deviations[static_cast<size_t>(first) + row]);
      });
    };
    const auto e = start.layers("encode"), d = start.layers("coefficients");
    hidden_layer(e0, e.at(0), kUnit);
    last(e1, 0, e.at(1));
    hidden_layer(d0, d.at(0), kUnit);
    hidden_layer(d1, d.at(1), kActivationUnit);
    last(d2, 0, d.at(2));
    if (d.size() > 4) last(d2, d[2].shape[0], d[4]);  // d[3] is the way past the network
  }

  int64_t k;
  torch::Tensor sigma;
  torch::nn::Linear e0, e1, d0, d1, d2;
  bool quantise = false;
};

class ChunkTraining {
 public:
  // `start`: weights to go on from, or nullptr.
  ChunkTraining(const Options& o, const StartingWeights* start)
      : o_(o),
        device_(device_of(o)),
        file_(o.data),
        fields_(read(file_, o).to(device_)),
        shape_(file_.get(o.variable).shape),
        range_(o.range),
        pod_(start == nullptr ? prepare(fields_, o) : prepare(*start)),
        net_(o.latents, o.modes, o.hidden, pod_.sigma) {
    net_.to(device_);
    train_ = trained_on(fields_, o);
    if (start == nullptr) return;
    net_.start_from(*start);
    const torch::NoGradGuard no_grad;
    torch::manual_seed(kValidationSeed + o.seed);
    std::fprintf(stderr, "starting from %s: validation %.6g\n", start->path().c_str(), validate_fields());
    net_.quantise = false;
  }

  void run() {
    Loop loop(net_, o_,
              {{"coefficients", 0.6, 1.0, [&] { return coefficient_loss(); },
                [&] { return validate_coefficients(); }, false},
               {"fields", 1.0, 0.3, [&] { return field_loss(); }, [&] { return validate_fields(); }, true}});
    const Progress& p = loop.run();
    net_.quantise = true;
    finish(p);
  }

 private:
  static torch::Tensor read(const ArrayFile& file, const Options& o) {
    const auto a = file.get(o.variable);
    if (a.shape.size() != 4 || a.shape[0] < 10 * o.modes / 8) {
      throw std::runtime_error("array '" + o.variable +
                               "' is not [count, Z, Y, X] with count well above --modes");
    }
    auto* values = const_cast<float*>(a.values.data());
    return torch::from_blob(values, {a.shape[0], a.shape[1] * a.shape[2] * a.shape[3]}, torch::kFloat32);
  }
  static Pod prepare(const torch::Tensor& fields, const Options& o) {
    std::fprintf(stderr, "POD of %ld fields of %ld values\n", static_cast<long>(fields.size(0)),
                 static_cast<long>(fields.size(1)));
    return make_pod(fields, trained_on(fields, o), o.modes);
  }
  // The basis of other weights. The samples are brought to their unit: the same mean, and the same deviation.
  Pod prepare(const StartingWeights& start) {
    Pod pod = stored_pod(start);
    for (auto* t : {&pod.mean, &pod.modes, &pod.sigma}) *t = t->to(device_);
    if (pod.modes.size(1) != fields_.size(1)) start.refuse("its chunks have another size");
    const auto offset = fields_.slice(0, 0, trained_on(fields_, o_)).mean();
    const double spread = fields_.var(0).sum().sqrt().item<double>();
    const double factor = pod.sigma.square().sum().sqrt().item<double>() / std::max(spread, 1e-12);
    fields_ = (fields_ - offset) * factor + pod.mean.mean();
    range_ *= factor;
    pod.coefficients = torch::matmul(fields_ - pod.mean, pod.modes.t());
    return pod;
  }
  static int64_t trained_on(const torch::Tensor& fields, const Options& o) {
    const int64_t n = o.validation > 0 ? fields.size(0) - o.validation : fields.size(0) * 9 / 10;
    if (n < o.modes) throw std::runtime_error("fewer samples to train on than --modes; give more");
    return n;
  }

  // Uniform noise of one step; steps from 1 to 64 units, so that one decoder serves many precisions.
  static torch::Tensor with_noise(const torch::Tensor& z) {
    const auto step = kLatentUnit * torch::exp2(6 * torch::rand({z.size(0), 1}, z.options()));
    return z + step * (torch::rand_like(z) - 0.5);
  }

  torch::TensorOptions places() const { return torch::TensorOptions().dtype(torch::kLong).device(device_); }

  torch::Tensor coefficient_loss() {
    const auto c = pod_.coefficients.index_select(0, torch::randint(train_, {o_.batch}, places()));
    const auto z = net_.encode(c);
    const auto wasserstein = sliced_wasserstein(z / net_.sigma.slice(0, 0, net_.k), kProjections);
    // Relative to the energy of what POD with as many latents leaves.
    const auto left = pod_.sigma.slice(0, net_.k).square().sum();
    return (net_.decode(with_noise(z)) - c).square().sum(1).mean() / left + kWassersteinWeight * wasserstein;
  }

  double validate_coefficients() {
    snapshot_if_due();
    const auto c = pod_.coefficients.slice(0, train_);
    const auto left = pod_.sigma.slice(0, net_.k).square().sum();
    return ((net_.decode(net_.encode(c)) - c).square().sum(1).mean() / left).item<double>();
  }

  // The bounds that the second stage is trained for, as bins (two bounds) in units of the field.
  std::vector<double> bins() const {
    std::vector<double> b;
    for (const double bound : {3e-2, 1e-2, 3e-3, 1e-3}) b.push_back(2 * bound * range_);
    return b;
  }

  torch::Tensor residual(const torch::Tensor& index, bool noise) {
    net_.quantise = true;
    const auto c = pod_.coefficients.index_select(0, index);
    const auto z = net_.encode(c);
    const auto field = fields_.index_select(0, index) - pod_.mean;
    return field - torch::matmul(net_.decode(noise ? with_noise(z) : z), pod_.modes);
  }

  torch::Tensor field_loss() {
    return walk_cost(residual(torch::randint(train_, {std::min<int64_t>(o_.batch, 32)}, places()), true),
                     bins());
  }
  double validate_fields() {
    snapshot_if_due();
    const int64_t count = std::min<int64_t>(fields_.size(0) - train_, 96);
    return walk_cost(residual(torch::arange(train_, train_ + count, places()), false), bins()).item<double>();
  }

  // ---- export

  std::vector<int> coarse_shifts() const {
    // Mode k in 8 bits: modes[k] * 2^(p) <= 127; the coefficient's unit is 2^-(14-p) finer, so that products
    // agree.
    std::vector<int> s;
    const auto largest = to_doubles(std::get<0>(pod_.modes.slice(0, o_.fine_modes).abs().max(1)));
    for (const double m : largest) s.push_back(14 - static_cast<int>(std::floor(std::log2(127 / m))));
    return s;
  }

  void store_basis(WeightsWriter& w, const std::vector<int>& shifts) const {
    const auto points = static_cast<uint64_t>(fields_.size(1)), fine = static_cast<uint64_t>(o_.fine_modes),
               coarse = static_cast<uint64_t>(o_.modes - o_.fine_modes);
    w.tensor("fine", {points, fine}, to_doubles(pod_.modes.slice(0, 0, o_.fine_modes).t()), 1 << 14, 16);
    w.tensor("mean", {points}, to_doubles(pod_.mean), (1 << 14) / kLatentUnit, 32);
    std::vector<double> scale;
    for (const int s : shifts) scale.push_back(std::ldexp(1.0, 14 - s));
    const auto scaled = pod_.modes.slice(0, o_.fine_modes).to(torch::kCPU, torch::kFloat64) *
                        torch::tensor(scale, torch::kFloat64).unsqueeze(1);
    if (coarse > 0) {
      w.tensor("coarse", {points, coarse}, to_doubles(scaled.t()), 1, 8);
      w.tensor("zero", {points}, std::vector<double>(points, 0.0), 1, 32);
    }
  }

  static void store_silu(WeightsWriter& w) {
    std::vector<double> table;
    for (int64_t i = -kLimit; i <= kLimit; ++i) {
      const double v = static_cast<double>(i) * kUnit;
      table.push_back(v / (1 + std::exp(-v)) / kActivationUnit);
    }
    w.tensor("silu", {table.size()}, table, 1, 16);
  }

  // x: units of kUnit or kActivationUnit. Linear, silu.
  static int hidden(ProgramWriter& p, int x, torch::nn::Linear& l, double unit, double max_x) {
    double out_unit = 0;
    const int y = p.linear(x, to_layer(l), unit, max_x, 16, out_unit);
    return p.table(p.requantise(y, out_unit / kUnit, -kLimit, kLimit), "silu", -kLimit);
  }

  static std::vector<double> ratio(const torch::Tensor& a, double factor, bool invert,
                                   const std::vector<int>& shifts) {
    std::vector<double> v = to_doubles(a);
    for (size_t i = 0; i < v.size(); ++i) {
      const double unit = shifts.empty() ? 1.0 : std::ldexp(1.0, shifts[i]);  // finer by this much
      v[i] = invert ? factor / (v[i] * unit) : factor * v[i] * unit;
    }
    return v;
  }

  int64_t limit(const torch::Tensor& c, double unit) const {
    const double largest = c.abs().max().item<double>() / unit;
    return std::min<int64_t>(32767, static_cast<int64_t>(std::exp2(std::ceil(std::log2(1.3 * largest)))));
  }

  struct Limits {
    int64_t latent, fine, coarse;
  };

  // (latents, fine residuals, coarse residuals) -> (fine, coarse coefficients)
  void write_coefficients(WeightsWriter& w, const std::vector<int>& shifts, const Limits& l) {
    ProgramWriter p(w, "decoder.");
    const auto& sigma = net_.sigma;
    const int z = p.input(o_.latents, -l.latent, l.latent), rf = p.input(o_.fine_modes, -l.fine, l.fine);
    const int rc = shifts.empty() ? -1 : p.input(o_.modes - o_.fine_modes, -l.coarse, l.coarse);
    const int u =
        p.requantise(z, ratio(sigma.slice(0, 0, o_.latents), kLatentUnit / kUnit, true, {}), -kLimit, kLimit);
    const int h = hidden(p, hidden(p, u, net_.d0, kUnit, kLimit), net_.d1, kActivationUnit, 16384);
    double unit = 0;
    const int f = p.linear(h, to_layer(net_.d2, 0, o_.fine_modes), kActivationUnit, 16384, 16, unit);
    const int fine = p.requantise(f, ratio(sigma.slice(0, 0, o_.fine_modes), unit / kLatentUnit, false, {}),
                                  -l.fine, l.fine);
    std::vector<double> identity(static_cast<size_t>(o_.fine_modes * o_.latents), 0.0);
    for (int64_t k = 0; k < o_.latents; ++k) identity[static_cast<size_t>(k * o_.latents + k)] = 1;
    w.tensor("skip", {static_cast<uint64_t>(o_.fine_modes), static_cast<uint64_t>(o_.latents)}, identity, 1,
             8);
    w.tensor("skip0", {static_cast<uint64_t>(o_.fine_modes)},
             std::vector<double>(static_cast<size_t>(o_.fine_modes), 0.0), 1, 32);
    const int skip = p.linear_stored(z, "skip", "skip0");
    p.output(p.clamp(p.add(p.add(fine, skip), rf), -l.fine, l.fine));
    if (!shifts.empty()) {
      const int c = p.linear(h, to_layer(net_.d2, o_.fine_modes, o_.modes), kActivationUnit, 16384, 16, unit);
      const int coarse = p.requantise(
          c, ratio(sigma.slice(0, o_.fine_modes), unit / kLatentUnit, false, shifts), -l.coarse, l.coarse);
      p.output(p.clamp(p.add(coarse, rc), -l.coarse, l.coarse));
    }
    w.metadata["program.coefficients"] = p.json();
  }

  // (fine, coarse coefficients) -> field
  void write_field(WeightsWriter& w, bool coarse, const Limits& l) const {
    ProgramWriter p(w, "field.");
    const int f = p.input(o_.fine_modes, -l.fine, l.fine);
    const int c = coarse ? p.input(o_.modes - o_.fine_modes, -l.coarse, l.coarse) : -1;
    int y = p.linear_stored(f, "fine", "mean");
    if (coarse) y = p.add(y, p.linear_stored(c, "coarse", "zero"));
    p.output(y);
    w.metadata["program.field"] = p.json();
  }

  // coefficients, each divided by its standard deviation, in units of kUnit -> correction of the leading K
  void write_encoder(WeightsWriter& w) {
    ProgramWriter p(w, "encoder.");
    const int h = hidden(p, p.input(o_.modes, -kLimit, kLimit), net_.e0, kUnit, kLimit);
    double unit = 0;
    const int e = p.linear(h, to_layer(net_.e1), kActivationUnit, 16384, 16, unit);
    p.output(p.requantise(e, ratio(net_.sigma.slice(0, 0, o_.latents), unit / kLatentUnit, false, {}), -32767,
                          32767));
    w.metadata["program.encode"] = p.json();
  }

  // The weights as they are now, for whoever wants to see what they are worth.
  void snapshot_if_due() {
    const auto now = std::chrono::steady_clock::now();
    const double since = std::chrono::duration<double>(now - last_snapshot_).count();
    if (o_.snapshot.empty() || since < o_.seconds / kSnapshots) return;
    last_snapshot_ = now;
    save_weights(o_.snapshot + ".partial", exported());
    std::filesystem::rename(o_.snapshot + ".partial", o_.snapshot);
  }

  void finish(const Progress& progress) {
    const WeightsWriter w = exported();
    const torch::NoGradGuard no_grad;
    finish_training(o_, w, {"coefficients", "field"}, progress, results());
  }

  WeightsWriter exported() {
    const torch::NoGradGuard no_grad;
    const auto c = pod_.coefficients.slice(0, 0, train_);
    const auto z = net_.encode(c);
    const auto shifts = coarse_shifts();
    Limits l{limit(z, kLatentUnit), limit(c.slice(1, 0, o_.fine_modes), kLatentUnit), 1};
    std::vector<int64_t>
        scales;  // log2 of the standard deviation of each latent and residual, in its own units
    const auto left = c - net_.decode(z);
    const auto spread = torch::cat({z.std(0), left.square().mean(0).sqrt()});
    const auto deviations = to_doubles(spread);
    std::vector<int64_t> units(static_cast<size_t>(o_.latents + o_.fine_modes), 0);
    for (size_t k = 0; k < shifts.size(); ++k) {
      units.push_back(shifts[k]);
      const auto column = c.select(1, o_.fine_modes + static_cast<int64_t>(k));
      l.coarse = std::max(l.coarse, limit(column, kLatentUnit * std::ldexp(1.0, -shifts[k])));
    }
    for (size_t k = 0; k < deviations.size(); ++k) {
      const double d = deviations[k] / kLatentUnit * std::ldexp(1.0, static_cast<int>(units[k]));
      scales.push_back(std::max<int64_t>(0, std::lround(std::log2(std::max(d, 1.0)))));
    }
    WeightsWriter w;
    store_basis(w, shifts);
    store_silu(w);
    write_coefficients(w, shifts, l);
    write_field(w, !shifts.empty(), l);
    write_encoder(w);
    std::vector<double> sigma_units = to_doubles(pod_.sigma / kLatentUnit);
    for (size_t k = 0; k < shifts.size(); ++k)
      sigma_units[static_cast<size_t>(o_.fine_modes) + k] *= std::ldexp(1.0, shifts[k]);
    w.tensor("sigma", {sigma_units.size()}, sigma_units, 1 << 8, 32);
    w.metadata["name"] = o_.name;
    w.metadata["family"] = "swae";
    w.metadata["config"] = Json{
        {"form", "chunk"},
        {"extents", {shape_[1], shape_[2], shape_[3]}},
        {"units", units},
        {"scales", scales}}.dump();
    return w;
  }

  // RMS error and cost per value on the validation draws: POD alone, then with the network.
  std::string results() {
    const auto index = torch::arange(train_, fields_.size(0), places());
    const auto x = fields_.index_select(0, index) - pod_.mean;
    const auto c = pod_.coefficients.slice(0, train_);
    const auto pod = [&](int64_t k) {
      return x - torch::matmul(c.slice(1, 0, k), pod_.modes.slice(0, 0, k));
    };
    std::ostringstream out;
    out << "Errors relative to the value range " << range_
        << "; cost: proxy of the corrections in bits per value, at each bound.\n\n"
        << "| base | latents | RMS error | 3e-2 | 1e-2 | 3e-3 | 1e-3 |\n|---|---|---|---|---|---|---|\n";
    const auto row = [&](const char* base, int64_t latents, const torch::Tensor& r) {
      out << "| " << base << " | " << latents << " | " << r.square().mean().sqrt().item<double>() / range_;
      for (const double b : bins()) {
        torch::manual_seed(1);
        out << " | " << walk_cost(r, {b}).item<double>();
      }
      out << " |\n";
    };
    row("mean field", 0, x);
    row("POD", o_.latents, pod(o_.latents));
    row("POD + network", o_.latents, residual(index, false));
    row("POD", o_.modes, pod(o_.modes));
    return out.str();
  }

  const Options& o_;
  torch::Device device_;
  ArrayFile file_;
  torch::Tensor fields_;
  std::vector<int64_t> shape_;
  double range_ = 1;  // of a typical chunk, in the unit of fields_
  Pod pod_;
  ChunkNet net_;
  int64_t train_ = 0;
  std::chrono::steady_clock::time_point last_snapshot_ = std::chrono::steady_clock::now();
};

}  // namespace

void train_chunk(const Options& options) {
  if (options.from.empty()) return ChunkTraining(options, nullptr).run();
  const StartingWeights start(options.from, "chunk");
  Options o = options;  // the networks have the extents of those
  const auto e = start.layers("encode"), d = start.layers("coefficients");
  o.modes = e.at(0).shape[1];
  o.hidden = e[0].shape[0];
  o.latents = e.at(1).shape[0];
  o.fine_modes = d.at(2).shape[0];
  ChunkTraining(o, &start).run();
}

}  // namespace h5neural::learn

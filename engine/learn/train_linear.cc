// train_linear.cc: see train_linear.h. Basis fields by the method of snapshots (Sirovich, 1987): eigenvectors
// of the samples' products with one another. How many of them, and how finely they are kept, is decided by
// what is paid in the end: mean payload of chunks kept apart, as the engine writes it, and the weights file's
// share.
#include "learn/train_linear.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <random>
#include <sstream>
#include <stdexcept>

#include "h5neural/h5neural.h"
#include "learn/arrays.h"
#include "learn/eigen.h"
#include "learn/linear_file.h"
#include "models/linear.h"
#include "weights/sha256.h"

namespace h5neural::learn {
namespace {

namespace fs = std::filesystem;

constexpr size_t kFewestSamples = 10;
constexpr double kProductsPerSecond = 1e9, kShareOfProducts = 0.3;  // of the time for the basis
constexpr size_t kMostSnapshots = 1000;                             // in the matrix of products
constexpr size_t kMostMeasured = 16;                                // chunks of a measurement
constexpr size_t kMostModes = 128;
constexpr uint32_t kEffort = 5;
constexpr std::array<double, 9> kFineness = {1,       0.5,      0.25,      0.125,     0.0625,
                                             0.03125, 0.015625, 0.0078125, 0.00390625};  // of the bound
constexpr size_t kFirstFineness = 4;

using Sample = std::span<const float>;

void require(bool condition, const std::string& message) {
  if (!condition) throw std::runtime_error(message);
}

std::vector<uint64_t> numbers(const std::string& text) {
  std::vector<uint64_t> n;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) n.push_back(std::stoull(part));
  return n;
}

double range_of(Sample s) {
  const auto [lo, hi] = std::minmax_element(s.begin(), s.end());
  return static_cast<double>(*hi) - *lo;
}

// Sum of products in double precision, a run at a time in single.
double product(Sample x, Sample y) {
  constexpr size_t kRun = 512, kLanes = 16;
  double total = 0;
  for (size_t first = 0; first < x.size(); first += kRun) {
    const size_t n = std::min(kRun, x.size() - first);
    std::array<float, kLanes> part{};
    for (size_t i = 0; i + kLanes <= n; i += kLanes) {
      for (size_t j = 0; j < kLanes; ++j) part[j] += x[first + i + j] * y[first + i + j];
    }
    for (size_t i = n / kLanes * kLanes; i < n; ++i) part[0] += x[first + i] * y[first + i];
    for (const float v : part) total += v;
  }
  return total;
}

class LinearTraining {
 public:
  explicit LinearTraining(const LinearOptions& o) : o_(o), file_(o.data) {
    const ArrayFile::Array a = file_.get(o.variable);
    require(a.shape.size() >= 2 && a.shape.size() <= 1 + H5N_MAX_RANK,
            "array '" + o.variable + "' has rank " + std::to_string(a.shape.size()) +
                "; [count, ...] of at most 8 axes is needed");
    chunk_.rank = static_cast<int>(a.shape.size()) - 1;
    std::copy(a.shape.begin() + 1, a.shape.end(), chunk_.n.begin());
    for (size_t k = 0; k < static_cast<size_t>(a.shape[0]); ++k)
      samples_.push_back(a.values.subspan(k * chunk_.count(), chunk_.count()));
    require(
        samples_.size() >= kFewestSamples && o.validation + 2 <= samples_.size(),
        std::to_string(samples_.size()) + " chunks are too few to learn from; give more, or smaller ones");
    temporary_ = o.out + ".candidate.safetensors";
  }
  ~LinearTraining() {
    std::error_code none;
    fs::remove(temporary_, none);
  }
  LinearTraining(const LinearTraining&) = delete;
  LinearTraining& operator=(const LinearTraining&) = delete;

  void run() {
    split();
    setenv("H5NEURAL_WEIGHTS_PATH", temporary_.c_str(), 1);
    bound_ = data_bound();
    snapshots_ = snapshots();
    make_basis();
    none_ = mean_payload(validation_, H5N_MODEL_NONE, o_.bound);
    say("validation chunks take " + text(none_) + " bytes without a model\n");
    choose();
    finish();
  }

 private:
  // What a file of `modes` fields at a fineness costs.
  struct Cost {
    double payload = 0;  // mean bytes of a validation chunk
    size_t file = 0;     // bytes of the weights
    double total = 1e300;
  };

  static std::string text(double x) {
    std::array<char, 32> t{};
    std::snprintf(t.data(), t.size(), "%.1f", x);
    return t.data();
  }
  static std::string text_of(double x) {
    std::ostringstream out;
    out << x;
    return out.str();
  }
  static void say(const std::string& s) { std::fputs(s.c_str(), stderr); }

  // The caller knows what resembles what, and has put the samples in order.
  void split() {
    const size_t validation = o_.validation != 0 ? o_.validation : samples_.size() * 3 / 20;
    const auto border = samples_.end() - static_cast<int64_t>(validation);
    train_.assign(samples_.begin(), border);
    validation_.assign(border, samples_.end());
    say(std::to_string(train_.size()) + " chunks to learn from, " + std::to_string(validation_.size()) +
        " for validation\n");
  }

  bool relative() const { return o_.mode != H5N_ABS; }

  // About the pointwise bound of samples as they stand in snapshots_.
  double data_bound() const {
    if (o_.mode == H5N_PSNR) return std::pow(10.0, -o_.bound / 20) * std::sqrt(3.0);
    if (o_.mode == H5N_NRMSE) return o_.bound * std::sqrt(3.0);
    return o_.bound;
  }

  // What the basis is made from: chunks or blocks, at most kMostSnapshots evenly chosen; divided by their
  // range where the bound is relative to it.
  std::vector<std::vector<float>> snapshots() {
    piece_ = chunk_;
    if (o_.form == "block") {
      const auto edges = numbers(o_.block);
      require(edges.empty() || edges.size() == static_cast<size_t>(chunk_.rank),
              "--block has not one number for each axis of a chunk");
      for (int a = 0; a < chunk_.rank; ++a)
        piece_.n[a] = std::min<uint64_t>(edges.empty() ? 8 : edges[static_cast<size_t>(a)], chunk_.n[a]);
      require(piece_.count() >= 2 && piece_.count() <= kMostLinearBlock,
              "--block: blocks hold 2 to " + std::to_string(kMostLinearBlock) + " values");
    }
    uint64_t pieces = 1;
    for (int a = 0; a < chunk_.rank; ++a) pieces *= chunk_.n[a] / piece_.n[a];
    const uint64_t all = pieces * train_.size();
    const double products = kShareOfProducts * o_.seconds * kProductsPerSecond;
    const uint64_t in_time = std::max(16.0, std::sqrt(2 * products / static_cast<double>(piece_.count())));
    const uint64_t most = std::min<uint64_t>({all, kMostSnapshots, in_time});
    std::vector<std::vector<float>> out;
    for (uint64_t k = 0; k < most; ++k) {
      const uint64_t at = k * all / most;
      out.push_back(cut(train_[at / pieces], at % pieces));
      const double range = relative() ? range_of(train_[at / pieces]) : 1;
      if (!(range > 0))
        out.pop_back();
      else
        for (float& v : out.back()) v = static_cast<float>(v / range);
    }
    require(out.size() >= 2, "all chunks are constant; there is nothing to learn");
    return out;
  }

  std::vector<float> cut(Sample s, uint64_t piece) const {
    std::array<uint64_t, H5N_MAX_RANK> first{};
    for (int a = chunk_.rank - 1; a >= 0; --a) {
      const uint64_t n = chunk_.n[a] / piece_.n[a];
      first[a] = piece % n * piece_.n[a];
      piece /= n;
    }
    std::vector<float> out(piece_.count());
    for (size_t p = 0; p < out.size(); ++p) {
      uint64_t rest = p, at = 0, stride = 1;
      for (int a = chunk_.rank - 1; a >= 0; --a) {
        at += (first[a] + rest % piece_.n[a]) * stride;
        rest /= piece_.n[a];
        stride *= chunk_.n[a];
      }
      out[p] = s[at];
    }
    return out;
  }

  // The mean and the leading fields of what it leaves, each times its usual latent. Blocks have no mean worth
  // the name: there all fields come from the samples as they are.
  void make_basis() {
    const size_t points = piece_.count(), samples = snapshots_.size();
    if (o_.form == "chunk") {
      std::vector<double> sum(points, 0.0);
      for (const auto& s : snapshots_)
        for (size_t p = 0; p < points; ++p) sum[p] += s[p];
      std::vector<float> mean(points);
      for (size_t p = 0; p < points; ++p) mean[p] = static_cast<float>(sum[p] / static_cast<double>(samples));
      basis_.push_back(mean);
      for (auto& s : snapshots_)
        for (size_t p = 0; p < points; ++p) s[p] -= mean[p];
    }
    if (!o_.from.empty()) add_basis_of(o_.from);
    const size_t n = snapshots_.size();
    std::vector<double> products(n * n);
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j <= i; ++j)
        products[i * n + j] = products[j * n + i] = product(snapshots_[i], snapshots_[j]);
    }
    size_t most = std::min<size_t>(o_.modes != 0 ? o_.modes : kMostModes, kMostLinearModes);
    most = std::min<uint64_t>(most, kMostLinearNumbers / points) - std::min(most, basis_.size());
    const Eigen e = leading_eigenvectors(products, n, std::min(most, o_.modes != 0 ? n : n / 2), o_.seed);
    for (size_t k = 0; k < e.values.size() && e.values[k] > 1e-12 * e.values[0]; ++k) {
      // sum_i v_i x_i has the length sqrt(value); a typical sample's part of it is 1 / sqrt(n) of that.
      std::vector<double> field(points, 0.0);
      for (size_t i = 0; i < n; ++i) {
        const double v = e.vectors[k * n + i] / std::sqrt(static_cast<double>(samples));
        for (size_t p = 0; p < points; ++p) field[p] += v * snapshots_[i][p];
      }
      basis_.emplace_back(field.begin(), field.end());
    }
    snapshots_.clear();
    say(std::to_string(basis_.size()) + " basis fields\n");
  }

  // Basis fields of other weights stand for as many samples as there are: each comes in as one sample of all
  // their energy, and all of them together have as much as the samples.
  void add_basis_of(const std::string& path) {
    const auto energy = [](const auto& fields) {
      double sum = 0;
      for (const auto& f : fields) sum += product(f, f);
      return sum;
    };
    auto old = basis_of(path, piece_, o_.form);
    if (o_.form == "chunk") old.erase(old.begin());  // the mean: here is another, and its size says nothing
    if (old.empty()) return;
    const double factor = std::sqrt(energy(snapshots_) / energy(old));
    for (auto& field : old) {
      for (float& v : field) v = static_cast<float>(v * factor);
      snapshots_.push_back(std::move(field));
    }
    say(std::to_string(old.size()) + " basis fields of " + path + " count as much as the chunks\n");
  }

  // Coded once for each fineness, as far as asked for. Ends at the first field that comes to nothing.
  const std::vector<CodedMode>& coded(size_t fineness, size_t count) {
    auto& modes = coded_[fineness];
    while (modes.size() < std::min(count, basis_.size()) && (modes.empty() || !modes.back().section.empty()))
      modes.push_back(code_mode(basis_[modes.size()], piece_, kFineness[fineness] * bound_));
    return modes;
  }

  size_t usable(size_t fineness, size_t count) {
    const auto& modes = coded(fineness, count);
    size_t n = std::min(count, modes.size());
    while (n > 0 && modes[n - 1].section.empty()) --n;
    return n;
  }

  Cost measure(size_t fineness, size_t count) {
    count = usable(fineness, count);
    Cost& c = costs_[{fineness, count}];
    if (c.file != 0 || count == 0) return c;
    const uint64_t hash = store(fineness, count, temporary_);
    c.file = static_cast<size_t>(fs::file_size(temporary_));
    c.payload = mean_payload(validation_, hash, o_.bound);
    c.total = c.payload + static_cast<double>(c.file) / static_cast<double>(spread());
    std::ostringstream row, curve;
    row << "| " << count << " | " << kFineness[fineness] << " | " << c.file << " | " << text(c.payload)
        << " | " << text(c.total) << " |\n";
    table_ += row.str();
    curve << "| " << text(elapsed()) << " | " << count << " | error " << kFineness[fineness]
          << " of the bound | - | " << text(c.total) << " |\n";
    curve_ += curve.str();
    say(text(elapsed()) + " s: " + std::to_string(count) + " basis fields within " +
        text_of(kFineness[fineness]) + " of the bound: validation chunks take " + text(c.payload) +
        " bytes, " + text(none_) + " without (" + text(none_ / c.payload) + " times smaller; " +
        text(none_ / c.total) + " with the weights' share)\n");
    return c;
  }

  double elapsed() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  bool in_time() const { return elapsed() < o_.seconds; }

  size_t spread() const { return o_.chunks != 0 ? o_.chunks : train_.size(); }

  uint64_t store(size_t fineness, size_t count, const std::string& path) {
    const Bytes bytes = linear_file(coded(fineness, count), count, piece_, o_.form, o_.name);
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    out.close();
    require(static_cast<bool>(out), path + " cannot be written; is the disk full?");
    sha256_ = hex(sha256(bytes));
    return short_hash(sha256(bytes));
  }

  // First how many at a middle fineness, then the fineness, then how many once more around there.
  void choose() {
    constexpr std::array<size_t, 13> kCounts = {2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128};
    if (o_.modes != 0) {
      count_ = o_.modes;
    } else {
      double best = 1e300;
      int worse = 0;
      for (const size_t n : kCounts) {
        const double total = measure(kFirstFineness, n).total;
        worse = total < best ? 0 : worse + 1;
        if (total < best) best = total, count_ = n;
        if (worse == 2 || !in_time() || usable(kFirstFineness, n) < n) break;
      }
    }
    fineness_ = kFirstFineness;
    double best = measure(fineness_, count_).total;
    for (const int direction : {1, -1}) {
      for (size_t f = kFirstFineness + static_cast<size_t>(direction); f < kFineness.size();
           f += static_cast<size_t>(direction)) {
        const double total = in_time() ? measure(f, count_).total : 1e300;
        if (total >= best) break;
        best = total, fineness_ = f;
      }
      if (fineness_ != kFirstFineness) break;
    }
    if (o_.modes != 0) return;
    for (const size_t n : {count_ * 5 / 4, count_ * 3 / 2, count_ * 7 / 8, count_ * 3 / 4}) {
      const double total = n == 0 || !in_time() ? 1e300 : measure(fineness_, n).total;
      if (total < best) best = total, count_ = n;
    }
  }

  double mean_payload(const std::vector<Sample>& chunks, uint64_t model, double bound) const {
    const size_t count = std::min(chunks.size(), kMostMeasured);
    double bytes = 0;
    for (size_t k = 0; k < count; ++k) {
      const Sample s = chunks[k * chunks.size() / count];
      h5n_params p{};
      p.mode = o_.mode;
      p.bound = bound;
      p.model = model;
      p.effort = kEffort;
      p.type = H5N_FLOAT32;
      p.rank = static_cast<uint32_t>(chunk_.rank);
      std::copy_n(chunk_.n.begin(), chunk_.rank, p.dims);
      void* payload = nullptr;
      size_t size = 0;
      h5n_error error{};
      if (h5n_encode(&p, s.data(), s.size_bytes(), &payload, &size, &error) != H5N_OK)
        throw std::runtime_error(error.message);
      h5n_free(payload);
      bytes += static_cast<double>(size);
    }
    return bytes / static_cast<double>(std::max<size_t>(1, count));
  }

  void finish() {
    const size_t count = usable(fineness_, count_);
    require(count > 0, "the bound is so loose that no basis field is left; nothing to learn");
    store(fineness_, count, temporary_);
    const size_t size = static_cast<size_t>(fs::file_size(temporary_));
    fs::rename(temporary_, o_.out);
    write_card(count, size);
    say(o_.out + ": " + std::to_string(size) + " bytes, " + std::to_string(count) +
        " basis fields, SHA-256 " + sha256_ + "\n");
  }

  void write_card(size_t count, size_t size) const {
    if (!o_.curve.empty())
      require(static_cast<bool>(std::ofstream(o_.curve) << curve_), o_.curve + " cannot be written");
    const std::string path = fs::path(o_.out).replace_extension(".md");
    std::ofstream out(path);
    out << "# " << o_.name << "\n\nFamily linear, "
        << (o_.form == "chunk" ? "one vector of latents for a whole chunk" : "one vector of latents a block")
        << ". Written by h5neural-linear; format: docs/weights-format.md.\n\n| | |\n|---|---|\n| file | "
        << fs::path(o_.out).filename().string() << ", " << size << " bytes |\n| SHA-256 | " << sha256_
        << " |\n| data | " << (o_.about.empty() ? o_.data + ", " + o_.variable : o_.about) << " |\n| split | "
        << train_.size() << " chunks to learn from, " << validation_.size() << " for validation |\n| basis | "
        << count << " fields, each within " << kFineness[fineness_] << " of the bound |\n\n## Command\n\n    "
        << o_.command << "\n\n## Choice on validation chunks (" << text(none_)
        << " bytes without a model; weights spread over " << spread() << " chunks)\n\n"
        << "| basis fields | largest error / bound | weights B | payload B | payload B with their share |\n"
        << "|---|---|---|---|---|\n"
        << table_;
    require(static_cast<bool>(out), path + " cannot be written");
  }

  const LinearOptions& o_;
  ArrayFile file_;
  Extents chunk_, piece_;
  std::vector<Sample> samples_, train_, validation_;
  std::vector<std::vector<float>> snapshots_, basis_;
  std::map<size_t, std::vector<CodedMode>> coded_;   // by fineness
  std::map<std::pair<size_t, size_t>, Cost> costs_;  // by fineness and count
  double bound_ = 0, none_ = 0;
  size_t fineness_ = kFirstFineness, count_ = 0;
  std::string temporary_, table_, curve_, sha256_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

void train_linear(const LinearOptions& options) { LinearTraining(options).run(); }

}  // namespace h5neural::learn

// block_samples.cc: see block_samples.h.
#include "learn/block_samples.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>

namespace h5neural::learn {
namespace {

constexpr double kSmallest = 2e-3;  // of the sample's range: blocks of a smaller one are flat at any bound
constexpr size_t kMostPlaces = 100000, kFewestPlaces = 64;
constexpr int64_t kPointsOfPlaces = 50'000'000;  // places are fewer where blocks are large

std::vector<int64_t> numbers(const std::string& text) {
  std::vector<int64_t> n;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) {
    n.push_back(std::atoll(part.c_str()));
    if (n.back() < 1)
      throw std::runtime_error("--block " + text + ": extents are numbers above 0, as in 5,5,5");
  }
  if (n.empty() || n.size() > 3) throw std::runtime_error("--block " + text + ": blocks have 1 to 3 axes");
  return n;
}

int64_t below(int64_t n, std::mt19937_64& random) {
  return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
}
double uniform(std::mt19937_64& random) { return std::ldexp(static_cast<double>(random() >> 11), -53); }

}  // namespace

BlockSamples::BlockSamples(const ArrayFile& file, const Options& o) : normalise_(o.normalise) {
  const std::vector<int64_t> block = numbers(o.block);
  axes_ = static_cast<int64_t>(block.size());
  std::copy(block.begin(), block.end(), block_.end() - static_cast<ptrdiff_t>(block.size()));
  if (points() > 32768) throw std::runtime_error("--block " + o.block + ": at most 32768 points");
  std::istringstream names(o.variable);
  for (std::string name; std::getline(names, name, ',');) add_array(file, name, o.validation);
  std::vector<double> ranges;
  for (const Sample& s : trained_) ranges.push_back(s.range);
  std::nth_element(ranges.begin(), ranges.begin() + static_cast<ptrdiff_t>(ranges.size() / 2), ranges.end());
  median_range_ = ranges[ranges.size() / 2];
  std::mt19937_64 random(o.seed);
  const auto most = std::min(kMostPlaces, static_cast<size_t>(kPointsOfPlaces / points()));
  train_places_ = candidates(trained_, most, false, random);
  kept_places_ = candidates(kept_, most / 8, true, random);
}

// [count, axes...], axes of one point aside. The last so many samples, or a tenth of them, are kept apart.
void BlockSamples::add_array(const ArrayFile& file, const std::string& name, int64_t validation) {
  const auto a = file.get(name);
  std::vector<int64_t> n;
  for (size_t i = 1; i < a.shape.size(); ++i) {
    if (a.shape[i] > 1) n.push_back(a.shape[i]);
  }
  if (static_cast<int64_t>(n.size()) != axes_ || a.shape[0] < 10)
    throw std::runtime_error("array '" + name +
                             "' is not [count, ...] with at least 10 samples of as many axes as --block");
  Sample s{};
  s.n = {1, 1, 1};
  std::copy(n.begin(), n.end(), s.n.end() - static_cast<ptrdiff_t>(n.size()));
  const int64_t points = s.n[0] * s.n[1] * s.n[2];
  const int64_t trained = validation > 0 ? a.shape[0] - validation : a.shape[0] * 9 / 10;
  for (int64_t i = 0; i < a.shape[0]; ++i) {
    s.values = a.values.data() + i * points;
    const auto [low, high] = std::minmax_element(s.values, s.values + points);
    s.range = static_cast<double>(*high) - *low;
    if (s.range > 0) (i < trained ? trained_ : kept_).push_back(s);
  }
  if (trained_.empty() || kept_.empty())
    throw std::runtime_error("array '" + name + "' is constant: nothing to train on");
}

BlockSamples::Candidate BlockSamples::random_place(const std::vector<Sample>& samples, bool aligned,
                                                   std::mt19937_64& random) const {
  Candidate c{static_cast<size_t>(below(static_cast<int64_t>(samples.size()), random)), {}, aligned};
  const Sample& s = samples[c.sample];
  for (size_t a = 0; a < 3; ++a) {
    const int64_t blocks = (s.n[a] + block_[a] - 1) / block_[a];
    c.at[a] = aligned ? below(blocks, random) * block_[a]
                      : below(std::max<int64_t>(1, s.n[a] - block_[a] + 1), random);
  }
  return c;
}

// Half of them lie as the writer will cut the chunk, half anywhere.
std::vector<BlockSamples::Candidate> BlockSamples::candidates(const std::vector<Sample>& samples,
                                                              size_t wanted, bool aligned_only,
                                                              std::mt19937_64& random) {
  std::vector<Candidate> found;
  std::vector<float> values(static_cast<size_t>(points()));
  size_t tries = 0;
  const double smallest = normalise_ == "none" ? 0 : kSmallest;  // without own numbers no block is flat
  for (; found.size() < wanted && tries < 20 * wanted; ++tries) {
    const Candidate c = random_place(samples, aligned_only || tries % 2 == 0, random);
    const auto [low, high] = copy(samples[c.sample], c.at, values.data());
    if (high - low >= smallest * samples[c.sample].range) found.push_back(c);
  }
  if (found.size() < kFewestPlaces)
    throw std::runtime_error("the fields are nearly constant in blocks of this size: nothing to train on");
  blocks_for_each_ = static_cast<double>(tries) / static_cast<double>(found.size());
  return found;
}

std::pair<float, float> BlockSamples::copy(const Sample& s, const Place& at, float* to) const {
  float low = INFINITY, high = -INFINITY;
  for (int64_t z = 0; z < block_[0]; ++z) {
    const int64_t cz = std::min(at[0] + z, s.n[0] - 1);
    for (int64_t y = 0; y < block_[1]; ++y) {
      const float* row = s.values + (cz * s.n[1] + std::min(at[1] + y, s.n[1] - 1)) * s.n[2];
      for (int64_t x = 0; x < block_[2]; ++x) {
        *to = row[std::min(at[2] + x, s.n[2] - 1)];
        low = std::min(low, *to);
        high = std::max(high, *to);
        ++to;
      }
    }
  }
  return {low, high};
}

// By offset and range; the range is up to a quarter of an octave larger, as its code makes it.
void BlockSamples::normalise(const Sample& s, float* values, double& offset, double& range,
                             std::mt19937_64& random) const {
  const auto n = static_cast<size_t>(points());
  const auto [low, high] = std::minmax_element(values, values + n);
  offset = (double{*low} + *high) / 2;
  range = double{*high} - *low;
  if (normalise_ == "pos_log") offset = *low;
  if (normalise_ == "none") {
    const auto [a, b] = std::minmax_element(s.values, s.values + s.n[0] * s.n[1] * s.n[2]);
    offset = (double{*a} + *b) / 2;
    range = s.range;
  }
  if (normalise_ == "zscore") {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; ++i) sum += values[i], squares += double{values[i]} * values[i];
    offset = sum / static_cast<double>(n);
    range = 8 * std::sqrt(std::max(0.0, squares / static_cast<double>(n) - offset * offset));
  }
  range = std::max(range, 1e-6 * s.range) * std::exp2(uniform(random) / 4);
  for (size_t i = 0; i < n; ++i) values[i] = static_cast<float>((values[i] - offset) / range);
}

BlockBatch BlockSamples::batch(int64_t count, std::mt19937_64& random, bool kept) const {
  const int64_t each = 1 + axes_, size = points();
  BlockBatch b{torch::zeros({count, each, size}), torch::zeros({count, each}), torch::ones({count, each}),
               torch::zeros({count, axes_}), torch::ones({count})};
  auto* values = b.values.data_ptr<float>();
  auto offsets = b.offset.accessor<float, 2>(), ranges = b.range.accessor<float, 2>(),
       present = b.present.accessor<float, 2>();
  auto scale = b.scale.accessor<float, 1>();
  const auto& samples = kept ? kept_ : trained_;
  const auto& places = kept ? kept_places_ : train_places_;
  for (int64_t i = 0; i < count; ++i) {
    const Candidate& c = places[static_cast<size_t>(below(static_cast<int64_t>(places.size()), random))];
    const Sample& s = samples[c.sample];
    scale[i] = static_cast<float>(s.range);
    for (int64_t k = 0; k < each; ++k) {
      Place at = c.at;
      if (k > 0) {
        const auto a = static_cast<size_t>(3 - axes_ + k - 1);
        at[a] -= block_[a];
        // Blocks anywhere lack a neighbour as often as those of the grid.
        if (at[a] < 0 || (!c.aligned && below((s.n[a] + block_[a] - 1) / block_[a], random) == 0)) continue;
        present[i][k - 1] = 1;
      }
      float* to = values + (i * each + k) * size;
      double offset = 0, range = 0;
      copy(s, at, to);
      normalise(s, to, offset, range, random);
      offsets[i][k] = static_cast<float>(offset);
      ranges[i][k] = static_cast<float>(range);
    }
  }
  return b;
}

}  // namespace h5neural::learn

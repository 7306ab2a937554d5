// latent_coder.cc: see latent_coder.h.
#include "models/latent_coder.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "entropy/rans.h"

namespace h5neural {
namespace {

constexpr int kWidthBits = 5;  // of the width of an escaped number

[[noreturn]] void refuse(const std::string& what, const std::string& problem) {
  throw Failure(H5N_ERR_CORRUPT, "h5neural: " + what + " are refused: " + problem +
                                     "; get the weights file again from where it came");
}

// An array of `count` integers from lo to hi.
std::vector<int32_t> numbers(const WeightsFile& file, const std::string& what, const char* name, size_t count,
                             int32_t lo, int32_t hi) {
  const Tensor* t = file.find(name);
  if (t == nullptr || t->count() != count)
    refuse(what, "array '" + std::string(name) + "' is missing or of a wrong size");
  std::vector<int32_t> v(count);
  for (size_t i = 0; i < count; ++i) {
    v[i] = t->at(i);
    if (v[i] < lo || v[i] > hi) refuse(what, "array '" + std::string(name) + "' leaves its range");
  }
  return v;
}

size_t symbol_of(int64_t rest) {
  return rest == 0 ? 0 : rest < 0 ? static_cast<size_t>(-2 * rest - 1) : static_cast<size_t>(2 * rest);
}

}  // namespace

LatentCoder::LatentCoder(const WeightsFile& file, int rank, size_t channels, int32_t limit)
    : channels_(channels), limit_(limit) {
  const std::string what = "weights '" + file.name() + "'";
  contexts_.rank = rank;
  const size_t near = contexts_.neighbours();
  contexts_.predict = numbers(file, what, "predict", channels * near, INT16_MIN, INT16_MAX);
  contexts_.spread = numbers(file, what, "spread", channels * (near + 2), 0, INT16_MAX);
  read_steps(file, what);
  contexts_.floor = numbers(file, what, "floor", gains_ * channels, 0, 1 << 24);
  read_tables(file, what);
}

void LatentCoder::read_steps(const WeightsFile& file, const std::string& what) {
  const Tensor* t = file.find("steps");
  if (t == nullptr || t->count() % channels_ != 0 || t->count() / channels_ > 64)
    refuse(what, "array 'steps' is missing or of a wrong size");
  gains_ = t->count() / channels_;
  steps_ = numbers(file, what, "steps", t->count(), 1, limit_);
}

void LatentCoder::read_tables(const WeightsFile& file, const std::string& what) {
  const Tensor* t = file.find("frequencies");
  if (t == nullptr || t->shape.size() != 2 || t->shape[0] < 2 || t->shape[0] > kMostTables ||
      t->shape[1] < 2 || t->shape[1] > kMaxSymbols || t->shape[1] % 2 != 0) {
    refuse(what, "array 'frequencies' is missing or of a wrong size");
  }
  const size_t tables = t->shape[0], symbols = t->shape[1];
  const auto f = numbers(file, what, "frequencies", tables * symbols, 1, kSlots - 1);
  thresholds_ = numbers(file, what, "thresholds", tables - 1, 0, INT32_MAX);
  if (!std::is_sorted(thresholds_.begin(), thresholds_.end())) refuse(what, "its thresholds do not grow");
  slots_.reserve(tables * kSlots);
  for (size_t k = 0; k < tables; ++k) {
    std::vector<uint16_t> row(f.begin() + static_cast<ptrdiff_t>(k * symbols),
                              f.begin() + static_cast<ptrdiff_t>((k + 1) * symbols));
    uint32_t sum = 0;
    for (const uint16_t n : row) sum += n;
    if (sum != kSlots) refuse(what, "its frequencies do not add up");
    tables_.push_back(make_table(row));
    append_slots(tables_.back(), slots_);
  }
}

size_t LatentCoder::table_of(int64_t size) const {
  return static_cast<size_t>(std::upper_bound(thresholds_.begin(), thresholds_.end(), size) -
                             thresholds_.begin());
}

Bytes LatentCoder::write(const LatentGrid& grid, size_t gain, std::span<const int32_t> q) const {
  RansEncoder out;
  std::vector<uint32_t> ranges;
  ranges.reserve(q.size());
  uint64_t cost = 0;
  const auto symbol = [&](const Table& t, size_t s) {
    ranges.push_back(uint32_t{t.start[s]} << 16 | t.frequency[s]);
    cost += t.cost[s];
  };
  std::vector<int32_t> known(q.begin(), q.end());
  contexts_.walk(grid, gain, known, [&](size_t i, size_t, int64_t prediction, int64_t size) {
    const Table& t = tables_[table_of(size)];
    const int64_t rest = q[i] - prediction, beyond = std::abs(rest) - t.limit;
    if (beyond <= 0) {
      symbol(t, symbol_of(rest));
    } else {  // the number beyond >= 1: its width, then the bits below its highest, then the sign
      symbol(t, static_cast<size_t>(t.symbols - 1));
      const int width = std::bit_width(static_cast<uint64_t>(beyond)) - 1;
      out.raw().put(static_cast<uint64_t>(width), kWidthBits);
      out.raw().put(static_cast<uint64_t>(beyond) & ((uint64_t{1} << width) - 1), width);
      out.raw().put(rest < 0 ? 1 : 0, 1);
    }
    return q[i];
  });
  std::copy(ranges.begin(), ranges.end(), out.begin_batch(ranges.size()));
  out.add_cost(cost);
  return out.finish();
}

std::vector<int32_t> LatentCoder::read(ByteSpan section, const LatentGrid& grid, size_t gain) const {
  RansDecoder in(section);
  in.begin_series();
  std::vector<int32_t> q(static_cast<size_t>(grid.count()));
  contexts_.walk(grid, gain, q, [&](size_t, size_t c, int64_t prediction, int64_t size) {
    const size_t k = table_of(size);
    const uint8_t symbol = in.next(slots_.data() + k * kSlots);
    int64_t rest = symbol % 2 == 0 ? symbol / 2 : -(symbol + 1) / 2;
    if (symbol == kEscape) {
      const auto width = static_cast<int>(in.raw().take(kWidthBits));
      rest = tables_[k].limit + (int64_t{1} << width) + in.raw().take(width);
      if (in.raw().take(1) != 0) rest = -rest;
    }
    const int64_t latent = prediction + rest;
    if (std::abs(latent) > most(gain, c)) fail_corrupt("a latent is out of its range");
    return static_cast<int32_t>(latent);
  });
  in.finish();
  return q;
}

double LatentCoder::bits(const LatentGrid& grid, size_t gain, std::span<const int32_t> q) const {
  double sum = 0;  // in 2^-8
  std::vector<int32_t> known(q.begin(), q.end());
  contexts_.walk(grid, gain, known, [&](size_t i, size_t, int64_t prediction, int64_t size) {
    const Table& t = tables_[table_of(size)];
    const int64_t rest = q[i] - prediction, beyond = std::abs(rest) - t.limit;
    if (beyond <= 0) {
      sum += t.cost[symbol_of(rest)];
    } else {
      sum += t.cost[static_cast<size_t>(t.symbols - 1)] +
             256.0 * (kWidthBits + std::bit_width(static_cast<uint64_t>(beyond)));
    }
    return q[i];
  });
  return sum / 256;
}

}  // namespace h5neural

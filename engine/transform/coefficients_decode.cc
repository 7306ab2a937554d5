// coefficients_decode.cc: the reader of coefficients.h. Integers throughout.
#include <utility>

#include "transform/contexts.h"

namespace h5neural {
namespace {

class CoefficientDecoder {
 public:
  CoefficientDecoder(BitDecoder& side, ResidualDecoder& residuals, Coefficients& c)
      : side_(side), residuals_(residuals), c_(c) {}

  void run() {
    read_weights();
    read_tables();
    root(c_.of[0].back()[0]);
    residuals_.begin_series();
    for_bands(c_.parts, [&](size_t p, size_t l, uint8_t axes, const Family& family, Magnitudes& own) {
      band(c_.of[p][l][axes], weights_[l], family, own);
    });
    if (run_ > 0) fail_corrupt("a run of coefficients is longer than they are");
  }

 private:
  static std::array<uint8_t, kContexts> everywhere(uint8_t v) {
    std::array<uint8_t, kContexts> a;
    a.fill(v);
    return a;
  }

  void read_weights() {
    size_t levels = 0;
    for (const WaveletPart& p : c_.parts) levels = std::max(levels, p.masks.size() + 1);
    weights_.assign(levels, kFirstWeights);
    for (size_t l = levels; l-- > 0;) {
      if (l + 1 < levels) weights_[l] = weights_[l + 1];
      for (uint8_t& w : weights_[l]) {
        const int64_t v = int64_t{w} + models_.weight.decode(side_);
        if (v < 0 || v >= kWeightIndices) fail_corrupt("a weight of its coefficients is out of range");
        w = static_cast<uint8_t>(v);
      }
    }
  }

  void read_tables() {
    top_ = static_cast<int>(side_.raw(kTopBits));
    if (top_ > kContexts) fail_corrupt("it has too many contexts");
    for (int x = 0; x < top_; ++x) {
      tables_[x] = residual_table(models_.tables.table(side_, coefficient_scale(x)));
      slots_[x] = slots(*tables_[x].table);
      near_slots(*tables_[x].table);
      if (tables_[x].low_bits == 0) table_[x] = static_cast<uint8_t>(tables_[x].table->index);
    }
    for (uint32_t e = 1; e < kQuick; ++e) quick_[e] = table_[context_of(e)];
  }

  void root(std::span<int32_t> values) {
    int64_t last = 0;
    for (int32_t& v : values) {
      last += models_.root.decode(side_);
      if (last > kResidualMax || last < -kResidualMax) fail_corrupt("a coefficient is out of range");
      v = static_cast<int32_t>(last);
    }
  }

  void band(std::span<int32_t> q, const CoefficientWeights& indices, const Family& family, Magnitudes& own) {
    const Index4& n = own.count();
    const RowFeatures::Weights weights = weights_of(indices);
    RowFeatures features(family);
    zeros_.resize(std::max(zeros_.size(), static_cast<size_t>(n[3])));
    int32_t* at = q.data();
    for_rows(n, [&](const Index4& i) {
      const bool known = features.look(i);
      if (!known && run_ >= n[3]) {
        run_ -= n[3];  // `q` and the magnitudes are zero already
      } else {
        const uint32_t* const expected = known ? features.weigh(weights) : zeros_.data();
        own.finish(i, row(n[3], expected, weights[0], weights[1], at, own.begin(i)));
      }
      at += n[3];
    });
  }

  // One row; returns whether anything in it is not zero.
  bool row(int width, const uint32_t* expected, uint32_t w0, uint32_t w1, int32_t* q, uint16_t* magnitudes) {
    symbols_.resize(std::max(symbols_.size(), static_cast<size_t>(width)));
    others_.clear();
    read_symbols(width, expected, w0, w1, symbols_.data());
    kernels().unfold(symbols_.data(), width, q);
    uint8_t any = 0;
    for (int k = 0; k < width; ++k) {
      any |= symbols_[k];
      magnitudes[k] = static_cast<uint16_t>((symbols_[k] + 1) >> 1);
    }
    for (const auto& [k, value] : others_) {
      q[k] = value;
      magnitudes[k] = magnitude_of(value);
    }
    return any != 0;
  }

  // The symbols of a row; kEscape for what stands in others_.
  void read_symbols(int width, const uint32_t* expected, uint32_t w0, uint32_t w1, uint8_t* symbols) {
    uint32_t here = 0, next = 0;  // what the last points add to the expectation of this one and of the next
    RansDecoder::Series series = residuals_.open();
    const NearSlots* const near = all_near_slots();
    const uint8_t* const quick = quick_.data();
    const uint8_t slow = residuals_.has_words_for(width) ? kSlow : 0;
    for (int k = 0; k < width; ++k) {
      const uint32_t e = expected[k] + here;
      if (e == 0 && next == 0 && run_ > 0) {
        // All the zeros that follow at once.
        int to = k + 1;
        for (const auto end = std::min<int64_t>(width, int64_t{k} + run_); to < end && expected[to] == 0;)
          ++to;
        std::fill(symbols + k, symbols + to, 0);
        run_ -= to - k;
        here = 0;
        k = to - 1;
        continue;
      }
      const uint8_t table = e < kQuick ? quick[e] : table_[context_of(e)];
      uint32_t m;
      if (table < slow) [[likely]] {
        const uint8_t symbol = series.pull(near[table]);
        symbols[k] = symbol;
        m = (uint32_t{symbol} + 1) >> 1;
        if (symbol == kEscape) [[unlikely]]
          m = note(k, residuals_.complete(symbol, tables_[context_of(e)]));
      } else {
        residuals_.close(series);
        const int32_t v = e == 0 ? quiet() : value(context_of(e));
        symbols[k] = v == 0 ? 0 : kEscape;
        m = v == 0 ? 0 : note(k, v);
        series = residuals_.open();
      }
      here = w0 * m + next;
      next = w1 * m;
    }
    residuals_.close(series);
  }

  // A value that has no symbol; returns its magnitude.
  uint32_t note(int k, int32_t value) {
    others_.emplace_back(k, value);
    return magnitude_of(value);
  }

  // Where the words may end, or the table needs more than its symbols or is missing.
  int32_t value(uint8_t context) {
    if (context >= top_) fail_corrupt("a coefficient has no table");
    return residuals_.next(tables_[context], slots_[context]);
  }

  // Coefficients with nothing around them: runs of zeros, each but the last with the value that ends it.
  int32_t quiet() {
    if (!in_run_) {
      run_ = models_.run.decode(side_);
      if (run_ < 0) fail_corrupt("a run of coefficients has no length");
      in_run_ = true;
    }
    if (run_ > 0) {
      --run_;
      return 0;
    }
    in_run_ = false;
    const int32_t v = models_.first.decode(side_);
    if (v >= kResidualMax || v < -kResidualMax) fail_corrupt("a coefficient is out of range");
    return v >= 0 ? v + 1 : v;
  }

  BitDecoder& side_;
  ResidualDecoder& residuals_;
  Coefficients& c_;
  CoefficientModels models_;
  std::vector<CoefficientWeights> weights_;
  int top_ = 0;
  ContextTables tables_{};
  // The table of each context, and of each small expectation; kSlow: see value().
  static constexpr uint8_t kSlow = 255;
  static constexpr uint32_t kQuick = 4096;
  std::array<uint8_t, kContexts> table_ = everywhere(kSlow);
  std::array<uint8_t, kQuick> quick_{kSlow};
  std::array<const uint32_t*, kContexts> slots_{};
  std::vector<uint8_t> symbols_;                 // of a row
  std::vector<std::pair<int, int32_t>> others_;  // place in the row, value
  std::vector<uint32_t> zeros_;
  int32_t run_ = 0;
  bool in_run_ = false;
};

}  // namespace

void decode_coefficients(BitDecoder& side, ResidualDecoder& residuals, Coefficients& quantised) {
  CoefficientDecoder(side, residuals, quantised).run();
}

}  // namespace h5neural

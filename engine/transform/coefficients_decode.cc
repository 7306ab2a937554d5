// coefficients_decode.cc: the reader of coefficients.h. Integers throughout.
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
    }
  }

  void root(std::span<int32_t> values) {
    int64_t last = 0;
    for (int32_t& v : values) {
      last += models_.root.decode(side_);
      if (last > kResidualMax || last < -kResidualMax) fail_corrupt("a coefficient is out of range");
      v = static_cast<int32_t>(last);
    }
  }

  void band(std::span<int32_t> q, const CoefficientWeights& weights, const Family& family, Magnitudes& own) {
    const Index4& n = own.count();
    const uint32_t w0 = weight_of(weights[0]), w1 = weight_of(weights[1]);
    int32_t* at = q.data();
    for_rows(n, [&](const Index4& i) {
      row_features(family, i, features_);
      expect(features_, weights, expected_);
      uint16_t* const row = own.row(i);
      for (int k = 0; k < n[3]; ++k) {
        const uint8_t x = context_of(expected_[k] + w0 * row[k - 1] + w1 * row[k - 2]);
        const int32_t v = x == kQuiet ? quiet() : value(x);
        at[k] = v;
        row[k] = magnitude_of(v);
      }
      at += n[3];
    });
  }

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
  std::array<const uint32_t*, kContexts> slots_{};
  RowFeatures features_;
  std::vector<uint32_t> expected_;
  int32_t run_ = 0;
  bool in_run_ = false;
};

}  // namespace

void decode_coefficients(BitDecoder& side, ResidualDecoder& residuals, Coefficients& quantised) {
  CoefficientDecoder(side, residuals, quantised).run();
}

}  // namespace h5neural

// coefficients_encode.cc: the writer of coefficients.h: rounds, fits weights and tables to what came out,
// rounds again by rate and distortion, and codes.
#include <cmath>
#include <utility>

#include "corrections/context_counts.h"
#include "transform/contexts.h"

namespace h5neural {
namespace {

// Index of the nearest weight.
uint8_t index_of(double w) {
  if (!(w > 0)) return 0;
  const double index = 17 + 2 * std::log2(w);
  return index < 0.5 ? 0 : static_cast<uint8_t>(std::clamp<long>(std::lround(index), 1, kWeightIndices - 1));
}

// Weighted least squares for the scale of a Laplacian: the weights that make the expected magnitude m fit
// |q|, each point counting 1 / m^2 (iteratively reweighted), none negative.
class WeightFit {
 public:
  void add(const std::array<float, kCoefficientFeatures>& x, float y) {
    x_.push_back(x);
    y_.push_back(y);
  }
  CoefficientWeights solve(const CoefficientWeights& start) const {
    std::array<double, kCoefficientFeatures> w{};
    for (int i = 0; i < kCoefficientFeatures; ++i) w[i] = weight_of(start[i]) / 256.0;
    if (y_.size() < 200) return start;
    for (int round = 0; round < 4; ++round) improve(w);
    CoefficientWeights out;
    for (int i = 0; i < kCoefficientFeatures; ++i) out[i] = index_of(w[i]);
    return out;
  }

 private:
  static constexpr int kN = kCoefficientFeatures, kBlock = 64;
  using Rows = double[kBlock][kN];

  // Rows I and I + 1 of the lower triangle over a block, in registers.
  template <int I>
  static void add_rows(const Rows& weighed, const Rows& x, size_t count, double (*a)[kN]) {
    double first[I + 2], second[I + 2];
    std::copy_n(a[I], I + 2, first);
    std::copy_n(a[I + 1], I + 2, second);
    for (size_t s = 0; s < count; ++s) {
      const double p = weighed[s][I], q = weighed[s][I + 1];
      for (int j = 0; j < I + 2; ++j) {
        first[j] += p * x[s][j];
        second[j] += q * x[s][j];
      }
    }
    std::copy_n(first, I + 2, a[I]);
    std::copy_n(second, I + 2, a[I + 1]);
  }

  void improve(std::array<double, kCoefficientFeatures>& w) const {
    double a[kN][kN] = {}, b[kN] = {};
    Rows x, weighed;
    for (size_t from = 0; from < y_.size(); from += kBlock) {
      const size_t count = std::min<size_t>(kBlock, y_.size() - from);
      for (size_t s = 0; s < count; ++s) {
        double m = 0.02;
        for (int i = 0; i < kN; ++i) {
          x[s][i] = x_[from + s][i];
          m += w[i] * x[s][i];
        }
        const double share = 1 / (m * m);
        for (int i = 0; i < kN; ++i) {
          weighed[s][i] = share * x[s][i];
          b[i] += weighed[s][i] * y_[from + s];
        }
      }
      add_rows<0>(weighed, x, count, a);
      add_rows<2>(weighed, x, count, a);
      add_rows<4>(weighed, x, count, a);
      add_rows<6>(weighed, x, count, a);
    }
    for (int i = 0; i < kN; ++i) {
      for (int j = i + 1; j < kN; ++j) a[i][j] = a[j][i];
    }
    for (int sweep = 0; sweep < 50; ++sweep) {  // coordinate descent
      for (int i = 0; i < kCoefficientFeatures; ++i) {
        if (a[i][i] <= 0) continue;
        double r = b[i];
        for (int j = 0; j < kCoefficientFeatures; ++j) r -= j == i ? 0 : a[i][j] * w[j];
        w[i] = std::max(0.0, r / a[i][i]);
      }
    }
  }
  std::vector<std::array<float, kCoefficientFeatures>> x_;
  std::vector<float> y_;
};

class CoefficientEncoder {
 public:
  CoefficientEncoder(const BitPrice& price, CoefficientMemory& memory, Coefficients& c)
      : price_(price), memory_(memory), c_(c) {
    for (uint32_t e = 0; e < kQuick; ++e) quick_[e] = context_of(e);
  }

  void round(const Bands<float>& real) {
    constexpr float kDeadZone = 0.15f;
    if (memory_.weights.empty()) {
      round_all(real, kDeadZone);
      learn();
    } else {
      round_root(real);
    }
    decide(real);
    choose_tables();
  }

  void round_by_memory(const Bands<float>& real) {
    constexpr float kDeadZone = 0.35f;  // about what rate and distortion will make of it
    if (memory_.weights.empty()) return round_all(real, kDeadZone);
    round_root(real);
    decide(real);
  }

  // Weights and tables of the coefficients as they are.
  void learn() {
    fit_weights();
    collect(
        nullptr, [](int32_t q, float, double, uint8_t) { return q; },
        [](const int32_t* q, const float*, int count) {
          return std::all_of(q, q + count, [](int32_t v) { return v == 0; });
        });
    choose_tables();
  }

  void write(BitEncoder& side, ResidualEncoder& residuals) {
    CoefficientWeights above = kFirstWeights;
    for (size_t l = memory_.weights.size(); l-- > 0;) {
      const CoefficientWeights& w = memory_.weights[l];
      for (int i = 0; i < kCoefficientFeatures; ++i) models_.weight.encode(side, w[i] - above[i]);
      above = w;
    }
    side.raw(static_cast<uint32_t>(top_), kTopBits);
    for (int x = 0; x < top_; ++x) models_.tables.table(side, coefficient_scale(x), choice_[x]);
    int32_t last = 0;
    for (const int32_t v : c_.of[0].back()[0]) {
      models_.root.encode(side, v - last);
      last = v;
    }
    for (const auto& [run, q] : quiet_) {
      models_.run.encode(side, static_cast<int32_t>(run));
      models_.first.encode(side, q > 0 ? q - 1 : q);
    }
    if (run_ > 0) models_.run.encode(side, static_cast<int32_t>(run_));
    residuals.batch(values_, contexts_, memory_.tables);
  }

 private:
  static int32_t rounded(float x, float dead) {
    const float m = std::floor(std::min(std::abs(x), 536870912.0f) + 0.5f - dead);
    return m < 1 ? 0 : static_cast<int32_t>(x < 0 ? -m : m);
  }

  void round_root(const Bands<float>& real) {
    const auto& from = real.of[0].back()[0];
    auto& to = c_.of[0].back()[0];
    for (size_t k = 0; k < to.size(); ++k) to[k] = rounded(from[k], 0);
  }

  void round_all(const Bands<float>& real, float dead) {
    for (size_t p = 0; p < c_.of.size(); ++p) {
      for (size_t l = 0; l < c_.of[p].size(); ++l) {
        for (size_t b = 0; b < c_.of[p][l].size(); ++b) {
          const auto& from = real.of[p][l][b];
          auto& to = c_.of[p][l][b];
          for (size_t k = 0; k < to.size(); ++k) to[k] = rounded(from[k], dead);
        }
      }
    }
    round_root(real);
  }

  static void fill(std::span<const int32_t> q, Magnitudes& own) {
    const Index4& n = own.count();
    const int32_t* at = q.data();
    for_rows(n, [&](const Index4& i) {
      uint16_t* const row = own.begin(i);
      uint16_t any = 0;
      for (int k = 0; k < n[3]; ++k) any |= row[k] = magnitude_of(at[k]);
      own.finish(i, any != 0);
      at += n[3];
    });
  }

  // Weights of each level from a sample of its points.
  void fit_weights() {
    size_t levels = 0;
    for (const WaveletPart& p : c_.parts) levels = std::max(levels, p.masks.size() + 1);
    std::vector<WeightFit> fits(levels);
    memory_.weights.resize(levels);
    for_bands(c_.parts, [&](size_t p, size_t l, uint8_t axes, const Family& family, Magnitudes& own) {
      fill(c_.of[p][l][axes], own);
      RowFeatures f(family);
      const Index4& n = own.count();
      const int64_t every = std::max<int64_t>(1, points(n) / 4000);
      int64_t left = 0;
      for_rows(n, [&](const Index4& i) {
        if (left >= n[3]) {
          left -= n[3];
          return;
        }
        const bool known = f.look(i);
        const uint16_t* const row = own.row(i[0], i[1], i[2]);
        const int64_t from = left;
        left += (n[3] - 1 - left) / every * every + every - n[3];
        if (!known && row == nullptr) return;
        for (int64_t k = from; k < n[3]; k += every) {
          const auto sum = f.at(static_cast<int>(k));
          std::array<float, kCoefficientFeatures> x{};
          float any = 0;
          for (int j = 0; j < kCoefficientFeatures; ++j) {
            x[j] = static_cast<float>(sum[j]);
            if (j < 2 && row != nullptr) x[j] += row[k - 1 - j];
            any += x[j];
          }
          if (any > 0) fits[l].add(x, row == nullptr ? 0 : row[k]);
        }
      });
    });
    CoefficientWeights last = kFirstWeights;
    for (size_t l = levels; l-- > 0;) last = memory_.weights[l] = fits[l].solve(last);
  }

  void decide(const Bands<float>& real) {
    collect(
        &real, [this](int32_t, float x, double lambda, uint8_t c) { return cheapest(x, lambda, c); },
        [](const int32_t*, const float* row, int count) {
          float most = 0;
          for (int k = 0; k < count; ++k) most = std::max(most, std::abs(row[k]));
          return most + 0.5f < 1;
        });
  }

  // Sets every coefficient, in coding order, to decide(what it is, what it should be, squared steps that a
  // bit is worth there, context), and notes what is to be coded. quiet(q, real, count): whether a whole row
  // with nothing around it becomes zero. `reals`: null where neither looks at them.
  template <class Decide, class Quiet>
  void collect(const Bands<float>* reals, Decide&& decide, Quiet&& quiet) {
    size_t all = 0;
    for (const WaveletPart& p : c_.parts) all += static_cast<size_t>(points(p.n));
    contexts_.resize(all);
    values_.resize(all);
    size_t next = 0;
    quiet_.clear();
    run_ = zeros_ = 0;
    std::vector<uint32_t> nothing;
    for_bands(c_.parts, [&](size_t p, size_t l, uint8_t axes, const Family& family, Magnitudes& own) {
      int32_t* q = c_.of[p][l][axes].data();
      const float* real = reals == nullptr ? nullptr : reals->of[p][l][axes].data();
      const float* weight = price_.weights == nullptr ? nullptr : price_.weights->of[p][l][axes].data();
      const RowFeatures::Weights weights = weights_of(memory_.weights[l]);
      const Index4& n = own.count();
      RowFeatures f(family);
      nothing.resize(std::max(nothing.size(), static_cast<size_t>(n[3])));
      for_rows(n, [&](const Index4& i) {
        const bool known = f.look(i);
        if (!known && quiet(q, real, n[3])) {
          std::fill_n(q, n[3], 0);
          run_ += n[3];
        } else {
          const uint32_t* const expected = known ? f.weigh(weights) : nothing.data();
          uint16_t* const row = own.begin(i);
          uint32_t any = 0, here = 0, later = 0;
          for (int k = 0; k < n[3]; ++k) {
            const uint32_t e = expected[k] + here;
            const uint8_t x = e < kQuick ? quick_[e] : context_of(e);
            const double lambda = weight == nullptr ? price_.lambda : price_.lambda / double(weight[k]);
            const int32_t v = decide(q[k], real == nullptr ? 0 : real[k], lambda, x);
            const uint32_t m = magnitude_of(v);
            q[k] = v;
            row[k] = static_cast<uint16_t>(m);
            any |= m;
            here = weights[0] * m + later;
            later = weights[1] * m;
            if (x == kQuiet) {
              note_quiet(v);
            } else {
              contexts_[next] = x;
              values_[next++] = v;
            }
          }
          own.finish(i, any != 0);
        }
        q += n[3];
        if (real != nullptr) real += n[3];
        if (weight != nullptr) weight += n[3];
      });
    });
    contexts_.resize(next);
    values_.resize(next);
  }

  void note_quiet(int32_t v) {
    if (v == 0) {
      ++run_;
      return;
    }
    quiet_.emplace_back(run_, v);
    zeros_ += run_;
    run_ = 0;
  }

  void choose_tables() {
    counts_.count(contexts_, values_);
    top_ = kContexts;
    while (top_ > 0 && counts_.of(top_ - 1) == 0) --top_;
    SideModels models;
    BitEncoder nowhere;
    for (int x = 0; x < top_; ++x) {
      choice_[x] = models.implied(coefficient_scale(x));
      if (counts_.of(x) > 0) choice_[x] = counts_.cheapest(x, choice_[x]);
      models.table(nowhere, coefficient_scale(x), choice_[x]);
      memory_.tables[x] = residual_table(choice_[x]);
    }
    const double quiet = double(zeros_ + run_) + double(quiet_.size());
    memory_.rare = std::log2((quiet + 2) / double(1 + quiet_.size())) + 2.5;
  }

  // Of the two nearest values and 0 the one that is cheapest, bits and what it leaves counted.
  int32_t cheapest(float real, double lambda, uint8_t context) const {
    const float size = std::abs(real);
    if (size + 0.5f < 1) return 0;
    const int32_t nearest = rounded(size, 0);
    const auto cost = [&](int32_t v) {
      const double left = double(size) - v;
      return left * left + lambda * bits(v, context);
    };
    int32_t best = nearest;
    double least = cost(nearest);
    for (int32_t v = nearest - 1; v >= (nearest > 2 ? nearest - 1 : 0); --v) {
      const double c = cost(v);
      if (c < least) {
        least = c;
        best = v;
      }
    }
    return real < 0 ? -best : best;
  }

  double bits(int32_t v, uint8_t context) const {
    if (context == kQuiet) return v == 0 ? 0 : memory_.rare + 2 * std::log2(double(v));
    const ResidualTable& t = memory_.tables[context];
    return t.table == nullptr ? 0 : residual_bits(t, v);
  }

  static double residual_bits(const ResidualTable& t, int32_t q) {
    const int32_t half = t.low_bits > 0 ? 1 << (t.low_bits - 1) : 0;
    const int32_t v = (q + half) >> t.low_bits;
    const Table& table = *t.table;
    if (std::abs(v) > table.limit) {
      return table.cost[table.symbols - 1] / 256.0 +
             tail_bits(static_cast<uint32_t>(std::abs(v) - table.limit - 1)) + t.low_bits;
    }
    return table.cost[symbol_of(v)] / 256.0 + t.low_bits;
  }

  const BitPrice price_;
  CoefficientMemory& memory_;
  Coefficients& c_;
  CoefficientModels models_;
  Array<uint8_t> contexts_;  // of values_
  Array<int32_t> values_;
  // Of coefficients with nothing around them: the zeros before each other value, and that; zeros since.
  std::vector<std::pair<int64_t, int32_t>> quiet_;
  int64_t run_ = 0, zeros_ = 0;
  // Contexts of small expectations.
  static constexpr uint32_t kQuick = 2048;
  std::array<uint8_t, kQuick> quick_;
  ContextCounts counts_;
  int top_ = 0;
  std::array<TableChoice, kContexts> choice_{};
};

}  // namespace

void encode_coefficients(BitEncoder& side, ResidualEncoder& residuals, const Bands<float>& real,
                         const BitPrice& price, CoefficientMemory& memory, Coefficients& quantised) {
  CoefficientEncoder e(price, memory, quantised);
  e.round(real);
  e.write(side, residuals);
}

void quantise_coefficients(const Bands<float>& real, const BitPrice& price, const CoefficientMemory& memory,
                           Coefficients& quantised) {
  CoefficientMemory same = memory;
  CoefficientEncoder(price, same, quantised).round_by_memory(real);
}

void code_coefficients(BitEncoder& side, ResidualEncoder& residuals, CoefficientMemory& memory,
                       Coefficients& quantised) {
  CoefficientEncoder e({}, memory, quantised);
  e.learn();
  e.write(side, residuals);
}

}  // namespace h5neural

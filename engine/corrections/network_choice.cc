// network_choice.cc: see network_choice.h.
#include "corrections/network_choice.h"

#include <algorithm>
#include <bit>

#include "corrections/context_counts.h"
#include "corrections/quantise.h"

namespace h5neural {
namespace {

constexpr int64_t kTried = 20000;   // points that the choice is made on
constexpr double kPerClass = 0.72;  // bits: what is counted looks surer than it is (Miller 1955)
constexpr double kTold = 8;         // bits that asking must save
constexpr int kAll = 4;             // quarters: what the network says, all of it

// Magnitudes of residuals as their entropy is estimated: small ones each, larger ones by half octaves. Tables
// are symmetric, so a sign is a bit; it stays open, as what lies within a half octave does.
struct ResidualClass {
  int index, open;
};
constexpr int kResidualClasses = 64;
ResidualClass residual_class(int32_t q) {
  constexpr int kSmall = 8, kOctave = 3;
  const auto m = static_cast<uint32_t>(std::abs(q));
  if (m < kSmall) return {static_cast<int>(m), m > 0 ? 1 : 0};
  const int octave = std::bit_width(m) - 1;
  const int half = static_cast<int>(m >> (octave - 1) & 1);
  return {kSmall + 2 * (octave - kOctave) + half, octave};
}

class Trial {
 public:
  Trial(const NetworkView& said, const CosetState& coset, const double* target, double per_bin, int origin)
      : said_(said), coset_(coset), target_(target), per_bin_(per_bin), origin_(origin) {}

  // Bits of all points that were asked about, about.
  double price(const NetworkChoice& choice) const {
    std::array<std::array<int64_t, kResidualClasses>, kContexts> seen{};
    const auto count = static_cast<int64_t>(said_.points.size());
    const int64_t every = std::max<int64_t>(1, count / kTried);
    int64_t open = 0;
    for (int64_t i = 0; i < count; i += every) {
      const int64_t k = said_.points[i];
      const int32_t p = moved(coset_.prediction[k], said_.move[i], choice.move, coset_.context[k], origin_);
      const ResidualClass r = residual_class(quantise(target_[k], p, per_bin_));
      ++seen[changed(coset_.context[k], said_.change[i], choice.change)][r.index];
      open += r.open;
    }
    double bits = double(open);
    for (const auto& counts : seen) {
      const auto classes = std::count_if(counts.begin(), counts.end(), [](int64_t n) { return n > 0; });
      bits += entropy(counts) + kPerClass * double(classes);
    }
    return bits * double(every);
  }

 private:
  const NetworkView& said_;
  const CosetState& coset_;
  const double* target_;
  double per_bin_;
  int origin_;
};

}  // namespace

NetworkChoice choose_network(const NetworkView& said, const CosetState& coset, const double* target,
                             double per_bin, int origin) {
  NetworkChoice best;
  if (said.points.empty()) return best;
  const Trial trial(said, coset, target, per_bin, origin);
  double least = trial.price(best) - kTold;
  const auto consider = [&](int move, int change) {
    const NetworkChoice choice{move, change};
    const double bits = trial.price(choice);
    if (bits < least) least = bits, best = choice;
  };
  consider(0, kAll);
  for (const int move : {4, 2, 3, 5, 6}) consider(move, kAll);
  const int move = best.move;
  for (const int change : {0, 2, 3, 5, 6}) consider(move, change);
  return best;
}

}  // namespace h5neural

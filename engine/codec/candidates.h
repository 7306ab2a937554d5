// candidates.h: the payloads that a chunk might become: each is held to its bound, and the smallest kept.
// Writer only. Knows nothing of how lattice points are coded.
#pragma once
#include <limits>
#include <optional>
#include <vector>

#include "codec/bases.h"
#include "codec/chunk.h"
#include "codec/l2_error.h"
#include "payload/header.h"

namespace h5neural {

// T: float or double. Refers to the chunk.
template <class T>
class Candidates {
 public:
  explicit Candidates(const Chunk<T>& chunk) : chunk_(chunk) {}

  // L2 modes: what no patch's RMSE may exceed, besides each setting's pointwise bound.
  void keep_rmse(L2Error errors, double most) {
    errors_ = std::move(errors);
    most_rmse_ = most;
  }

  // A payload of lattice points: what they decode to, the outliers that they leave, the sections.
  size_t offer(const Setting& s, const Lattice& lattice, const std::vector<int32_t>& points, uint32_t kind,
               const Bytes& coded, const Base& base);
  void offer_constant(const Setting& s);

  // Size that a candidate must come below.
  size_t bar() const;

  // L2 modes: the smallest of those offered since begin_round, those too that miss the bound.
  struct Round {
    size_t bytes = std::numeric_limits<size_t>::max();
    double rmse = 0;
  };
  void begin_round() { round_ = {}; }
  const Round& round() const { return round_; }

  double largest_error(const Setting& s, const Lattice& lattice, const std::vector<int32_t>& points) const;

  bool empty() const { return best_.empty(); }
  // The best payload with the reader's own code and the reader's own arithmetic, value by value.
  bool verified() const;
  void drop() { best_.clear(); }
  // The best, or the values exactly where these take less.
  Bytes take();

 private:
  Payload blank(uint32_t kind, double abs_bound) const;
  // Raw or lossless, whichever is smaller.
  Bytes exact() const;
  void restore(const Specials& s, std::vector<T>& decoded) const;
  // The bound of every mode but the L2 ones, in float64; specials and exact modes bit for bit.
  bool within(T x, T y, double bound) const;
  size_t finish(Payload& p, const Setting& s, const std::vector<T>& decoded);
  // Of the worst patch; of the chunk where that is one.
  double rmse(const std::vector<T>& decoded) const;

  const Chunk<T>& chunk_;
  std::optional<L2Error> errors_;
  double most_rmse_ = 0;
  Round round_;
  Bytes best_;
  double best_bound_ = 0;  // its pointwise bound
};

}  // namespace h5neural

// network.h: a small network that says, point by point, by how much the walk's prediction should move and how
// large the residual will be, from the decoded neighbourhood. One for all levels, axes, ranks and bounds:
// what it is shown is divided by the magnitude that the walk expects anyway. It refines what adapts and never
// replaces it: each coset says how far the network is followed, or that it is not asked. An integer program
// (exact/program.h), so every reader computes the same. docs/format.md has the arithmetic.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "corrections/side.h"
#include "corrections/walk.h"
#include "exact/program.h"

namespace h5neural {

// What a network is shown of each point; pairs are those of the stencil, nearest first.
struct NetworkShape {
  int pairs = 16;        // sums, 1 to kMaxPairs
  int differences = 8;   // 0 to kMaxPairs
  int magnitudes = 12;   // 0 to kContextPairs: residuals of both ends
  int from_context = 0;  // points of lower contexts are left as they are
};

constexpr int kNetworkPlaces = 11;  // kinds of coset: 1 of one axis, 3 of two, 7 of three
constexpr int kNetworkOutputs = 2;
constexpr int kNetworkMostMove = 255;   // thirty-seconds of the expected magnitude
constexpr int kNetworkMostChange = 64;  // eighths of a context
constexpr int64_t kNetworkFrom = 64;    // smaller cosets do without

constexpr int network_inputs(const NetworkShape& s) {
  return s.pairs + s.differences + 2 * s.magnitudes + 1 + kFeatures + 1 + kNetworkPlaces;
}

// The range of input e.
std::pair<int32_t, int32_t> network_input_range(const NetworkShape& shape, int e);

struct WalkNetwork {
  NetworkShape shape;
  Program program;  // [network_inputs] -> [kNetworkOutputs]
};

// Whether a network is asked about the points of this coset.
inline bool network_serves(const WalkInput& in, const CosetState& c) {
  return in.network != nullptr && c.points >= kNetworkFrom;
}

// What a network learns from: what it is shown of points, and what it should have said. Filled by a writer
// of walks (WalkEffort::samples_out).
struct NetworkSamples {
  double share = 1;  // of the points that are taken
  uint64_t seed = 1;
  std::vector<int16_t> inputs;   // [points, network_inputs]
  std::vector<float> residual;   // of the walk's own prediction, in bins
  std::vector<uint8_t> context;  // by the walk's own expectation

  bool take() {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return double(seed >> 40) < share * double(1 << 24);
  }
};

// What a network says of the points of a coset whose prediction and contexts are known.
class NetworkView {
 public:
  NetworkView(const WalkInput& in, const LevelState& level, const CosetState& coset);

  // Calls point(k, inputs) for all points k of the coset that are coded and whose context says that there is
  // something to say; inputs: [network_inputs].
  template <class Point>
  void each_point(Point&& point) {
    std::vector<int32_t> inputs(static_cast<size_t>(network_inputs(shape_)));
    set_constants(inputs);
    int64_t first = 0;
    for_rows(coset_.count, [&](const Index4& i) {
      const int width = coset_.count[kAxes - 1];
      fill_row(first, level_.layout.at(i));
      for (int x = 0; x < width; ++x) {
        const int64_t k = first + x;
        if (coset_.context[k] < shape_.from_context || (!coset_.skip.empty() && coset_.skip[k])) continue;
        for (int e = 0; e < varying_; ++e)
          inputs[static_cast<size_t>(e)] = row_[size_t(e) * stride_ + size_t(x)];
        point(k, inputs);
      }
      first += width;
    });
  }
  // Asks about all of them.
  void ask();

  // Of the points that were asked about: which, and the two outputs.
  std::vector<int64_t> points;
  std::vector<int16_t> move, change;

 private:
  void set_constants(std::span<int32_t> inputs) const;
  // The inputs of the row that begins with point `first`, at place `at`, into row_.
  void fill_row(int64_t first, int64_t at);

  const WalkInput& in_;
  const LevelState& level_;
  const CosetState& coset_;
  const NetworkShape& shape_;
  ContextTaps near_;
  PredictorTaps pairs_;
  int kind_, scale_;  // of the coset; of the level
  int varying_;       // inputs that differ from point to point, the first ones
  size_t stride_;
  Array<int16_t> row_;  // [varying, stride]
};

// Moves a prediction by `quarters` of what the network said of a point of this context.
int32_t moved(int32_t prediction, int move, int quarters, int context, int origin);
// The context with `quarters` of the change that the network said.
inline uint8_t changed(uint8_t context, int change, int quarters) {
  return static_cast<uint8_t>(std::clamp(context + ((change * quarters + 16) >> 5), 0, kContexts - 1));
}
// Both, for all points that were asked about.
void follow(const NetworkView& said, const NetworkChoice& choice, int origin, CosetState& coset);

}  // namespace h5neural

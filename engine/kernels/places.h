// places.h: what the places of a plane have learnt, as arrays over the places, and the kernels of it: see
// corrections/places.h for what it is good for. Integers that cannot overflow, whatever a file holds.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace h5neural {

constexpr int kPlaceTaps = 8;
constexpr int kPlaceSquares = kPlaceTaps * (kPlaceTaps + 1) / 2;
constexpr int32_t kMostTaught = 1 << 15;  // values are learnt from up to this, in units of learning
constexpr int kPlaceWeightBits = 16;
constexpr int32_t kMostPlaceWeight = 2 << kPlaceWeightBits;
constexpr int kPlaceSumBits = 30;  // sums are shifted down to it before they are solved
constexpr int64_t kPlaceRidge = 4096;
constexpr int kPlaceSweeps = 8;
constexpr int kPlaceRatioBits = 22;  // of a sum over the one on the diagonal

// Rows of sums: squares of taps (lower triangle), tap times what was missing, magnitudes, planes.
enum PlaceSum {
  kSquareSums = 0,
  kTowardsSums = kPlaceSquares,
  kMagnitudeSums = kTowardsSums + kPlaceTaps,
  kPlaneSums,
  kPlaceSums
};

// Entry p of each row belongs to place p; rows are `stride` entries apart and have kOverhang to spare.
struct PlaceArrays {
  ptrdiff_t stride = 0;
  int64_t* sums = nullptr;    // kPlaceSums rows
  int32_t* weight = nullptr;  // kPlaceTaps rows

  PlaceArrays from(ptrdiff_t place) const { return {stride, sums + place, weight + place}; }
  static int square(int j, int i) { return j >= i ? j * (j + 1) / 2 + i : i * (i + 1) / 2 + j; }
};

// A row of places in a block of planes. Arrays of the coset begin at the row's first point in the first
// plane.
struct PlaceBlock {
  int planes = 0, count = 0;  // of the block, of the row
  int taps = 0;
  std::array<const int32_t*, kPlaceTaps> tap{};
  ptrdiff_t tap_plane = 0;  // from one plane to the next, in arrays of the level,
  ptrdiff_t plane = 0;      // and of the coset
  int32_t bin = 1;
  int shift = 0;                  // values are learnt from in lattice units times 2^shift
  int32_t* prediction = nullptr;  // corrected,
  int32_t* correction = nullptr;  // and by how much
  const int32_t* quantised = nullptr;
  const uint8_t* skip = nullptr;  // null where no point is skipped
};

struct PlaceKernels {
  // Adds what the places have learnt to the predictions; notes it in `correction`.
  void (*correct)(const PlaceBlock& block, const PlaceArrays& places);
  // Adds the block to the sums.
  void (*learn)(const PlaceBlock& block, const PlaceArrays& places);
  // New weights from the sums of `count` places: some sweeps of Gauss-Seidel from where they stood.
  void (*solve)(int taps, const PlaceArrays& places, int count);
};

// How the sums of a place are scaled before they are solved: shifted down by `down`; a quotient by entry j of
// the diagonal is a product with inverse[j], shifted down by 29 + bits[j].
struct PlaceScale {
  int64_t down = 0;
  std::array<int64_t, kPlaceTaps> inverse{}, bits{};
};
PlaceScale place_scale(int taps, const PlaceArrays& place);

extern const PlaceKernels kScalarPlaces;

}  // namespace h5neural

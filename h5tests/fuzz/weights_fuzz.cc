// weights_fuzz.cc: any bytes as a weights file, from the safetensors header to a model that is ready to
// decode. They are refused with a sentence, or give a model; a model must then take any latents without harm.
// The same bytes as the record of weights that travel inside of a file.
//
// Input: the file. Its last bytes serve as latents too, or, where the model is a network, as a walk.
#include <algorithm>

#include "corrections/walk.h"
#include "models/factory.h"
#include "support/failure.h"
#include "weights/carried.h"
#include "weights/sha256.h"
#include "weights/weights_file.h"

namespace {

using h5neural::ByteSpan;
using h5neural::Extents;

constexpr size_t kLatents = 96;  // bytes

// A walk whose network is the model.
void walk_with(const h5neural::Model& model, ByteSpan section, const Extents& extents) {
  h5neural::WalkInput in;
  in.n = h5neural::fold(extents);
  in.step_bits = 2;
  in.network = model.network();
  std::vector<int32_t> points(extents.count());
  h5neural::decode_walk(in, section, points);
}

void decode_with(const h5neural::Model& model, ByteSpan latents) {
  for (const Extents& e :
       {Extents{3, {4, 4, 4}}, Extents{3, {5, 7, 6}}, Extents{2, {12, 17}}, Extents{1, {64}}}) {
    if (!model.serves(e)) continue;
    std::vector<int32_t> base(e.count());
    try {
      model.network() != nullptr ? walk_with(model, latents, e) : model.decode(latents, e, base);
    } catch (const h5neural::Failure&) {  // refused, with a sentence
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteSpan file(data, size);
  try {
    const h5neural::WeightsFile weights(file, h5neural::sha256(file), "fuzz");
    decode_with(*h5neural::make_model(weights), file.last(std::min(kLatents, size)));
  } catch (const h5neural::Failure&) {
  }
  if (const auto entries = h5neural::read_carried_record(file);
      entries && entries->size() > h5neural::kMostCarried) {
    __builtin_trap();
  }
  return 0;
}

// model_frames_test.cc: models that predict frames, made here: convolutions small enough to work out by hand.
// Predictions against a plain computation, weights made to do harm, and chunks of kind frames: bounds,
// orders, specials, damage.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "codec/decode.h"
#include "codec/encode.h"
#include "codec/frame_series.h"
#include "codec/latents.h"
#include "models/factory.h"
#include "weights/safetensors.h"
#include "weights/weights.h"

namespace h5neural {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr int kTile = 5, kHalo = 1, kUnit = 4096;

// The parts of a weights file; bytes kept apart from their views.
struct File {
  std::map<std::string, std::string> metadata;
  std::map<std::string, std::pair<std::string, std::vector<uint64_t>>> shapes;  // type, shape
  std::map<std::string, Bytes> bytes;

  template <class T>
  void add(const std::string& name, std::vector<uint64_t> shape, const std::vector<T>& v) {
    shapes[name] = {sizeof(T) == 2 ? "I16" : "I32", std::move(shape)};
    bytes[name].resize(v.size() * sizeof(T));
    std::memcpy(bytes[name].data(), v.data(), bytes[name].size());
  }
  Bytes write() const {
    Safetensors s;
    s.metadata = metadata;
    for (const auto& [name, b] : bytes) s.tensors[name] = {shapes.at(name).first, shapes.at(name).second, b};
    return write_safetensors(s);
  }
  std::shared_ptr<const Model> load() const {
    const Bytes all = write();
    return make_model(WeightsFile(all, sha256(all), "test"));
  }
};

// A convolution over 3^rank points of each frame, coefficients in 2^-8.
void add_program(File& f, const std::string& name, int rank, int frames,
                 const std::vector<int16_t>& weights) {
  const auto r = static_cast<size_t>(rank);
  std::vector<uint64_t> kernel(r + 2, 3);
  kernel.front() = 1;
  kernel.back() = static_cast<uint64_t>(frames);
  f.add(name, kernel, weights);
  f.add<int32_t>("zero", {1}, {0});
  std::vector<int> shape(r, kTile + 2 * kHalo), ones(r, 1), none(r, 0);
  shape.push_back(frames);
  const Json conv{{"op", "conv"},   {"in", {0}},      {"weight", name}, {"bias", "zero"},
                  {"stride", ones}, {"before", none}, {"after", none}};
  const Json limit{{"op", "requantise"}, {"in", {1}},         {"multiplier", 1},
                   {"shift", 8},         {"min", -(1 << 18)}, {"max", 1 << 18}};
  f.metadata["program." + name] = Json{
      {"inputs", {{{"shape", shape}, {"min", -32767}, {"max", 32767}}}},
      {"ops", {conv, limit}},
      {"outputs", {2}}}.dump();
}

std::vector<int16_t> kernel(int rank, int frames, const std::vector<int16_t>& middle) {
  const int taps = rank == 3 ? 27 : 9;
  std::vector<int16_t> w(static_cast<size_t>(taps * frames));
  std::copy(middle.begin(), middle.end(), w.begin() + taps / 2 * frames);
  return w;
}

// A frame goes on straight; one between two others is their mean.
File make(int rank, bool with_between = true) {
  File f;
  add_program(f, "predict", rank, 2, kernel(rank, 2, {-256, 512}));
  if (with_between) add_program(f, "between", rank, 2, kernel(rank, 2, {128, 128}));
  f.metadata["format"] = "h5neural-weights-1";
  f.metadata["name"] = "test";
  f.metadata["family"] = "frames";
  f.metadata["config"] =
      Json{{"rank", rank}, {"history", 2}, {"tile", kTile}, {"halo", kHalo}, {"unit", kUnit}}.dump();
  return f;
}

int64_t reflected(int64_t x, int64_t n) {
  while (x < 0 || x >= n) x = x < 0 ? -1 - x : 2 * n - 1 - x;
  return x;
}

TEST(FramesModel, PredictionIsWhatThePlainComputationGives) {
  std::mt19937 random(3);
  for (const int rank : {2, 3}) {
    File file = make(rank);
    std::vector<int16_t> w;
    for (int k = 0; k < (rank == 3 ? 54 : 18); ++k) w.push_back(static_cast<int16_t>(random() % 200) - 100);
    add_program(file, "predict", rank, 2, w);
    const auto model = file.load();
    for (const Frames::Extent n : {Frames::Extent{7, 12, 6}, {5, 10, 5}, {3, 11, 2}, {2, 3, 13}}) {
      const Frames::Extent extent = rank == 3 ? n : Frames::Extent{n[1], n[2], 0};
      const int64_t nz = rank == 3 ? n[0] : 1, count = nz * n[1] * n[2];
      std::vector<int32_t> a, b, out(static_cast<size_t>(count));
      for (int64_t k = 0; k < count; ++k) {
        a.push_back(static_cast<int32_t>(random() % 20000) - 10000);
        b.push_back(static_cast<int32_t>(random() % 20000) - 10000);
      }
      for (const uint8_t wraps : {uint8_t{0}, static_cast<uint8_t>((1 << rank) - 1), uint8_t{1}}) {
        const FrameScale scale{12000, 15, 37, wraps};
        const std::array<std::span<const int32_t>, 2> given{a, b};
        model->frames()->predict(scale, extent, given, out);
        const auto place = [&](int axis, int64_t x, int64_t size) {
          return wraps >> axis & 1 ? (x % size + size) % size : reflected(x, size);
        };
        for (int64_t k = 0; k < count; ++k) {
          const int64_t z = k / (n[1] * n[2]), y = k / n[2] % n[1], x = k % n[2];
          int64_t sum = 0, tap = 0;
          for (int64_t dz = rank == 3 ? -1 : 0; dz <= (rank == 3 ? 1 : 0); ++dz) {
            for (int64_t dy = -1; dy <= 1; ++dy) {
              for (int64_t dx = -1; dx <= 1; ++dx) {
                const int64_t at =
                    ((rank == 3 ? place(0, z + dz, nz) : 0) * n[1] + place(rank - 2, y + dy, n[1])) * n[2] +
                    place(rank - 1, x + dx, n[2]);
                for (const auto* f : {&a, &b}) {
                  const int64_t v = ((*f)[static_cast<size_t>(at)] - 37) * int64_t{12000};
                  sum += w[static_cast<size_t>(tap++)] *
                         std::clamp<int64_t>((v + (1 << 14)) >> 15, -32767, 32767);
                }
              }
            }
          }
          const int64_t y_out = std::clamp<int64_t>((sum + 128) >> 8, -(1 << 18), 1 << 18);
          const int64_t inverse = (int64_t{1} << 40) / 12000;
          ASSERT_EQ(out[static_cast<size_t>(k)], 37 + ((y_out * inverse + (1 << 24)) >> 25))
              << rank << " " << k;
        }
      }
    }
  }
}

TEST(FramesModel, ScalesReachTheirLimits) {
  const auto model = make(2).load();
  const int32_t most = 1 << 28;
  const std::vector<int32_t> a(30, -most), b(30, most);
  std::vector<int32_t> out(30);
  for (const FrameScale& s :
       {FrameScale{8192, 0, most, 0}, {16383, 40, -most, 3}, {16383, 0, 0, 0}, {8192, 40, 0, 0}}) {
    for (const auto& given : {std::array<std::span<const int32_t>, 2>{a, b}, {b, a}}) {
      model->frames()->predict(s, {5, 6, 0}, given, out);
      model->frames()->between(s, {5, 6, 0}, given[0], given[1], out);
      for (const int32_t v : out) ASSERT_LE(std::abs(v), most);
    }
  }
}

TEST(FramesModel, ServesSeriesOfFrames) {
  const auto model = make(2).load();
  EXPECT_TRUE(model->serves({3, {2, 20, 20}}));
  EXPECT_FALSE(model->serves({2, {20, 20}}));
  EXPECT_FALSE(model->serves({4, {3, 2, 20, 20}}));
  EXPECT_FALSE(model->serves({3, {100, 1, 2}}));  // tiles far larger than a frame
  EXPECT_FALSE(model->serves({3, {4, 1 << 16, 1 << 16}}));
  EXPECT_FALSE(model->serves({3, {100, 7, 9}}));  // a frame of few points
  EXPECT_FALSE(model->serves({}));
  EXPECT_TRUE(make(3).load()->serves({4, {3, 5, 6, 7}}));
  EXPECT_TRUE(model->general());
}

TEST(FramesModel, WeightsThatDoNotFitAreRefused) {
  const auto refused = [](const std::function<void(File&)>& change) {
    File f = make(2);
    change(f);
    try {
      f.load();
    } catch (const Failure& e) {
      return e.status() == H5N_ERR_CORRUPT;
    }
    return false;
  };
  const auto config = [&](const char* key, const Json& v) {
    return refused([&](File& f) {
      Json c = Json::parse(f.metadata["config"]);
      v.is_null() ? void(c.erase(key)) : void(c[key] = v);
      f.metadata["config"] = c.dump();
    });
  };
  const auto program = [&](const std::function<void(Json&)>& change, const char* name = "predict") {
    return refused([&](File& f) {
      std::string& text = f.metadata["program." + std::string(name)];
      Json p = Json::parse(text);
      change(p);
      text = p.dump();
    });
  };
  EXPECT_FALSE(refused([](File&) {}));
  EXPECT_FALSE(refused([](File& f) { f.metadata.erase("program.between"); }));
  EXPECT_TRUE(refused([](File& f) { f.metadata.erase("program.predict"); }));
  for (const char* key : {"rank", "history", "tile", "halo", "unit"}) {
    EXPECT_TRUE(config(key, nullptr)) << key;
    EXPECT_TRUE(config(key, 0) || std::string(key) == "halo") << key;
    EXPECT_TRUE(config(key, -1)) << key;
  }
  EXPECT_TRUE(config("rank", 3));
  EXPECT_TRUE(config("history", 3));
  EXPECT_TRUE(config("tile", 6));
  EXPECT_TRUE(config("halo", 0));
  EXPECT_TRUE(config("unit", 40000));
  EXPECT_TRUE(program([](Json& p) { p["inputs"][0]["max"] = 32766; }));
  EXPECT_TRUE(program([](Json& p) { p["inputs"][0]["min"] = -100; }, "between"));
  EXPECT_TRUE(program([](Json& p) {
    p["ops"][1]["max"] = 1 << 21;
    p["ops"][1]["multiplier"] = 1 << 20;
  }));
  EXPECT_TRUE(program([](Json& p) { p["outputs"] = {1, 2}; }));
}

// ---- chunks

// A pattern that drifts slowly over [t, y, x], or [t, z, y, x].
std::vector<double> drifting(const std::vector<uint64_t>& dims, double noise = 1e-4) {
  std::mt19937_64 random(5);
  std::normal_distribution<double> normal(0, noise);
  std::vector<double> v;
  uint64_t count = 1;
  for (const uint64_t d : dims) count *= d;
  const uint64_t nx = dims.back(), ny = dims[dims.size() - 2];
  for (uint64_t k = 0; k < count; ++k) {
    const double x = double(k % nx), y = double(k / nx % ny), t = double(k / (count / dims[0]));
    const double z = double(k / (nx * ny) % (count / dims[0] / nx / ny));
    v.push_back(std::sin(x / 2 + 0.05 * t) * std::cos(y / 3 - 0.04 * t + z / 5) + 0.1 * std::sin(x * y / 7) +
                normal(random));
  }
  return v;
}

template <class T>
struct Chunk {
  h5n_params params{};
  std::vector<T> values;

  Chunk(const std::vector<uint64_t>& dims, uint64_t model, double bound) {
    params.mode = H5N_ABS;
    params.bound = bound;
    params.model = model;
    params.effort = 5;
    params.type = sizeof(T) == 4 ? H5N_FLOAT32 : H5N_FLOAT64;
    params.rank = static_cast<uint32_t>(dims.size());
    std::copy(dims.begin(), dims.end(), params.dims);
    for (const double v : drifting(dims)) values.push_back(static_cast<T>(v));
  }
  Bytes encode() const {
    EncoderParts parts;
    parts.none = false;  // frames, also where they do not pay
    return encode_chunk(params, {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(T)},
                        parts);
  }
  std::vector<T> decode(const Payload& p) const {
    std::vector<T> y(values.size());
    decode_payload(p, {reinterpret_cast<uint8_t*>(y.data()), y.size() * sizeof(T)});
    return y;
  }
  void expect_within(const Bytes& payload) const {
    const std::vector<T> y = decode(parse_payload(payload));
    for (size_t k = 0; k < y.size(); ++k) {
      if (std::isnan(values[k])) {
        ASSERT_TRUE(std::isnan(y[k])) << k;
      } else {
        ASSERT_LE(std::abs(double(y[k]) - double(values[k])), params.bound) << k;
      }
    }
  }
};

class FramesChunk : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("h5neural-frames-test-" + std::to_string(getpid()));
    fs::create_directories(folder_);
    const char* old = getenv("H5NEURAL_WEIGHTS_PATH");
    old_ = old == nullptr ? "" : old;
    setenv("H5NEURAL_WEIGHTS_PATH", folder_.c_str(), 1);
  }
  void TearDown() override {
    old_.empty() ? unsetenv("H5NEURAL_WEIGHTS_PATH") : setenv("H5NEURAL_WEIGHTS_PATH", old_.c_str(), 1);
    fs::remove_all(folder_);
  }
  uint64_t put(const File& f) const {
    const Bytes bytes = f.write();
    const uint64_t hash = short_hash(sha256(bytes));
    std::ofstream out(folder_ / (std::to_string(hash) + ".safetensors"), std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return hash;
  }

  // Noise that moves on by a point from frame to frame and changes a little: only the model knows.
  Chunk<float> moved_noise() const {
    File file = make(2, false);
    std::vector<int16_t> w(18);
    w[3 * 2 + 1] = 256;  // the last frame, one point back
    add_program(file, "predict", 2, 2, w);
    Chunk<float> c({10, 32, 32}, put(file), 1e-2);
    std::mt19937 random(3);
    for (size_t k = 0; k < 1024; ++k) c.values[k] = static_cast<float>(random() % 1000) / 100;
    for (size_t k = 1024; k < c.values.size(); ++k)
      c.values[k] = c.values[k - 1024 - k % 32 + (k + 31) % 32] + static_cast<float>(random() % 100) / 2000;
    return c;
  }

  fs::path folder_;
  std::string old_;
};

TEST_F(FramesChunk, EveryOrderAndShapeKeepsTheBound) {
  const uint64_t causal = put(make(2, false)), both = put(make(2)), solid = put(make(3));
  size_t of_between = 0;
  for (const auto& [model, dims] :
       std::vector<std::pair<uint64_t, std::vector<uint64_t>>>{{causal, {3, 30, 20}},
                                                               {causal, {12, 17, 33}},
                                                               {causal, {1, 6, 1, 40, 9}},
                                                               {both, {9, 24, 32}},
                                                               {both, {10, 24, 31}},
                                                               {both, {3, 8, 8}},
                                                               {solid, {5, 6, 9, 11}},
                                                               {solid, {3, 4, 4, 4}}}) {
    for (const double bound : {1e-1, 1e-2, 1e-4}) {
      const Chunk<float> c(dims, model, bound);
      const Bytes payload = c.encode();
      c.expect_within(payload);
      const Payload p = parse_payload(payload);
      if (p.kind == H5N_KIND_FRAMES) {
        EXPECT_EQ(p.model, model);
        of_between += p.latents[0] & 1;
      } else {
        EXPECT_TRUE(p.kind == H5N_KIND_RAW || p.kind == H5N_KIND_LOSSLESS) << p.kind;
      }
      const Chunk<double> d(dims, model, bound);
      d.expect_within(d.encode());
    }
  }
  EXPECT_GT(of_between, 0u);
}

TEST_F(FramesChunk, WhatTheModelKnowsTakesLittle) {
  Chunk<float> c = moved_noise();
  const Bytes payload = c.encode();
  EXPECT_EQ(parse_payload(payload).kind, uint32_t{H5N_KIND_FRAMES});
  EXPECT_EQ(parse_payload(payload).latents[0] >> 1, 2) << "the other end is not seen";
  c.expect_within(payload);
  c.params.model = H5N_MODEL_NONE;
  EXPECT_LT(2 * payload.size(), c.encode().size());
}

// RMSE of the regular values over their range.
template <class T>
double nrmse(const std::vector<T>& x, const std::vector<T>& y) {
  double squares = 0, low = INFINITY, high = -INFINITY;
  size_t count = 0;
  for (size_t k = 0; k < x.size(); ++k) {
    if (std::isnan(x[k])) {
      EXPECT_TRUE(std::isnan(y[k])) << k;
      continue;
    }
    squares += std::pow(double(y[k]) - double(x[k]), 2);
    low = std::min(low, double(x[k]));
    high = std::max(high, double(x[k]));
    ++count;
  }
  return std::sqrt(squares / double(count)) / (high - low);
}

TEST_F(FramesChunk, MeanSquareIsKept) {
  Chunk<float> c({6, 20, 20}, put(make(2)), 1e-2);
  c.params.mode = H5N_NRMSE;
  EXPECT_LE(nrmse(c.values, c.decode(parse_payload(c.encode()))), 1e-2);
}

// What the model leaves goes to a transform, frame after frame.
TEST_F(FramesChunk, UnderAMeanSquareATransformTakesWhatTheModelLeaves) {
  for (const bool holes : {false, true}) {
    Chunk<float> c = moved_noise();
    c.params.mode = H5N_NRMSE;
    for (size_t k = 0; holes && k < c.values.size(); k += 5) c.values[k] = std::nanf("");
    if (holes) std::fill_n(c.values.begin() + 4 * 1024, 1024, std::nanf(""));  // a whole frame
    const Bytes payload = c.encode();
    const Payload p = parse_payload(payload);
    EXPECT_LE(nrmse(c.values, c.decode(p)), 1e-2);
    if (holes) continue;
    EXPECT_EQ(p.kind, uint32_t{H5N_KIND_TRANSFORM});
    EXPECT_EQ(p.model, c.params.model);
    EXPECT_EQ(payload_latents(p).scale.size(), 0u);
    std::vector<float> look(c.values.size());
    EXPECT_EQ(preview_payload(p, {reinterpret_cast<uint8_t*>(look.data()), look.size() * sizeof(float)}),
              H5N_SHOWN_ALL);
    EXPECT_EQ(look, c.decode(p));
    c.params.model = H5N_MODEL_NONE;
    EXPECT_LT(2 * payload.size(), c.encode().size());
  }
}

TEST_F(FramesChunk, SpecialsAndConstantFramesComeThrough) {
  const uint64_t model = put(make(2));
  Chunk<float> c({8, 24, 24}, model, 1e-3);
  for (size_t k = 0; k < c.values.size(); k += 7) c.values[k] = std::nanf("");
  c.expect_within(c.encode());
  for (size_t k = 3 * 576; k < 5 * 576; ++k) c.values[k] = std::nanf("");  // whole frames
  c.expect_within(c.encode());
  Chunk<float> still({8, 24, 24}, model, 1e-3);
  for (size_t k = 0; k < still.values.size(); ++k) still.values[k] = still.values[k % 576];
  still.expect_within(still.encode());
  for (size_t k = 0; k < still.values.size(); ++k) still.values[k] = static_cast<float>(k / 576 % 2);
  still.expect_within(still.encode());
  std::fill(still.values.begin(), still.values.end(), 2.5f);
  still.expect_within(still.encode());
  Chunk<double> huge({4, 24, 24}, model, 1e290);
  for (double& v : huge.values) v *= 1e300;
  huge.expect_within(huge.encode());
}

TEST_F(FramesChunk, DamageIsRefused) {
  const uint64_t causal = put(make(2, false)), both = put(make(2));
  std::mt19937 random(13);
  Chunk<float> transformed = moved_noise();
  transformed.params.mode = H5N_NRMSE;
  for (const Chunk<float>& c :
       {Chunk<float>({9, 24, 32}, causal, 1e-2), Chunk<float>({9, 24, 32}, both, 1e-2), transformed}) {
    const Bytes payload = c.encode();
    ASSERT_EQ(parse_payload(payload).kind,
              uint32_t{c.params.mode == H5N_NRMSE ? H5N_KIND_TRANSFORM : H5N_KIND_FRAMES});
    const std::vector<float> right = c.decode(parse_payload(payload));
    for (int k = 0; k < 1500; ++k) {
      Payload p = parse_payload(payload);
      Bytes latents(p.latents.begin(), p.latents.end()),
          corrections(p.corrections.begin(), p.corrections.end());
      Bytes& b = k % 3 == 0 ? latents : corrections;
      const size_t near = k % 2 == 0 ? b.size() : std::min<size_t>(b.size(), 40);
      b[random() % near] ^= 1u << random() % 8;
      if (k % 7 == 0) b.resize(random() % b.size());
      p.latents = latents;
      p.corrections = corrections;
      try {
        EXPECT_EQ(c.decode(p), right);  // a bit without meaning
      } catch (const Failure& f) {
        EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
      }
    }
  }
}

TEST_F(FramesChunk, KindsAndModelsThatDoNotBelongTogetherAreRefused) {
  const uint64_t model = put(make(2)), solid = put(make(3)), causal = put(make(2, false));
  const Chunk<float> c({9, 24, 32}, model, 1e-2);
  const Bytes payload = c.encode();
  const auto status = [&](const std::function<void(Payload&)>& change) {
    Payload p = parse_payload(payload);
    change(p);
    try {
      c.decode(p);
    } catch (const Failure& f) {
      return f.status();
    }
    return int32_t{H5N_OK};
  };
  EXPECT_EQ(status([](Payload&) {}), H5N_OK);
  EXPECT_EQ(status([](Payload& p) { p.kind = H5N_KIND_WALK; }), H5N_ERR_CORRUPT);
  EXPECT_EQ(status([&](Payload& p) { p.model = solid; }), H5N_ERR_CORRUPT);
  EXPECT_EQ(status([](Payload& p) { p.model = 1; }), H5N_ERR_NO_MODEL);
  EXPECT_EQ(status([](Payload& p) { p.model = 0; }), H5N_ERR_CORRUPT);
  Bytes latents(parse_payload(payload).latents.begin(), parse_payload(payload).latents.end());
  if (latents[0] & 1) {
    EXPECT_EQ(status([&](Payload& p) { p.model = causal; }), H5N_ERR_CORRUPT);
  }
  EXPECT_EQ(payload_latents(parse_payload(payload)).scale.size(), 0u);
  Chunk<float> of_frames = moved_noise();
  of_frames.params.mode = H5N_NRMSE;
  const Bytes transformed = of_frames.encode();
  Payload p = parse_payload(transformed);
  Bytes between(p.latents.begin(), p.latents.end());
  between[0] |= 1;
  between.push_back(1);
  p.latents = between;
  EXPECT_THROW(of_frames.decode(p), Failure) << "a transform knows one order";
}

TEST(FrameOrder, IsReadAsItWasWritten) {
  for (const FrameOrder& o :
       {FrameOrder{{8192, 0, 0, 0}, false, 0}, {{16383, 40, -(1 << 28), 7}, true, 15}}) {
    const Bytes b = o.write();
    const FrameOrder r = FrameOrder::read(b);
    EXPECT_EQ(r.write(), b);
    EXPECT_EQ(r.levels, o.levels);
    EXPECT_EQ(r.scale.offset, o.scale.offset);
    for (size_t n = 0; n < b.size(); ++n) EXPECT_THROW(FrameOrder::read(ByteSpan(b).first(n)), Failure) << n;
  }
  const auto refused = [](const FrameOrder& o) {
    const Bytes b = o.write();
    try {
      FrameOrder::read(b);
    } catch (const Failure&) {
      return true;
    }
    return false;
  };
  EXPECT_TRUE(refused({{8191, 0, 0, 0}, false, 0}));
  EXPECT_TRUE(refused({{16384, 0, 0, 0}, false, 0}));
  EXPECT_TRUE(refused({{8192, 41, 0, 0}, false, 0}));
  EXPECT_TRUE(refused({{8192, 0, (1 << 28) + 1, 0}, false, 0}));
  EXPECT_TRUE(refused({{8192, 0, 0, 8}, false, 0}));
  EXPECT_TRUE(refused({{8192, 0, 0, 0}, true, 0}));
  EXPECT_TRUE(refused({{8192, 0, 0, 0}, true, 16}));
}

TEST(FrameStacks, LevelsHoldEveryFrameOnce) {
  for (int frames = 3; frames < 40; ++frames) {
    for (int levels = 1; levels < 7; ++levels) {
      std::vector<int> seen(static_cast<size_t>(frames));
      for (int l = levels; l >= 0; --l) {
        const FrameStack s = frames_of_level(frames, l, levels);
        for (int k = 0; k < s.count; ++k) ++seen[static_cast<size_t>(s.frame(k))];
      }
      EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), frames) << frames << " " << levels;
    }
  }
}

}  // namespace
}  // namespace h5neural

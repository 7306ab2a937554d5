// measure_programs.cc: what tools/measure-programs runs: layers and small decoders as integer programs on
// each backend of this machine, one thread, in processor time. Prints one line for each:
//   layer TAB backend TAB bits TAB GMAC/s TAB MB/s of the result as float32
// The backend "peak" is the fastest one's instructions alone, on registers. All of a layer are measured in
// turn, several times, since the speed of a shared machine drifts. Given a weights file, its programs
// `encode` and `decode` instead, MB/s counted in values of the field. Given --worker and a text, the layers
// whose name contains it in the user's h5neural-worker, beside the fastest backend, in real time:
//   layer TAB items TAB MiB to and fro TAB ms in this process TAB ms in the worker
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "exact/backend.h"
#include "kernels/cpu.h"
#include "weights/weights_file.h"
#include "worker/connection.h"
#include "worker/program_bytes.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

using h5neural::Backend;
using h5neural::Batch;
using h5neural::Program;
using h5neural::Tensor;
using h5neural::TensorType;

double seconds(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// The time that a quarter of several runs of f stay below, for about a tenth of a second: the clocks of
// virtual machines sometimes lose a run altogether.
template <class F>
double usual_best(F&& f, clockid_t clock = CLOCK_THREAD_CPUTIME_ID) {
  std::vector<double> times;
  const double start = seconds(clock);
  for (int i = 0; i < 5 || seconds(clock) - start < 0.1; ++i) {
    const double from = seconds(clock);
    f();
    times.push_back(seconds(clock) - from);
  }
  const auto quarter = times.begin() + static_cast<ptrdiff_t>(times.size() / 4);
  std::nth_element(times.begin(), quarter, times.end());
  return *quarter;
}

// Writes a program operation by operation, with random weights; after each sum a requantisation back to 8 (or
// 16) bits.
class Maker {
 public:
  Maker(std::vector<int> shape, int bits) : bits_(bits), channels_(shape.back()), rank_(shape.size() - 1) {
    json_ = R"({"inputs":[{"shape":)" + list(shape) + range() + R"(}],"ops":[)";
  }
  Maker& linear(int outputs) { return sum("linear", {outputs, channels_}, outputs, ""); }
  // Kernel, stride and border alike along all axes; a result of extent n * factor needs before + after =
  // kernel - factor.
  Maker& conv(int outputs, int kernel, int stride = 1) {
    const int border = kernel - 1;
    return convolve("conv", outputs, kernel, stride, border / 2, border - border / 2);
  }
  Maker& transposed(int outputs, int kernel, int stride) {
    const int border = kernel - stride;
    return convolve("conv_transposed", outputs, kernel, stride, border / 2, border - border / 2);
  }
  Program make() {
    json_ += R"(],"outputs":[)" + std::to_string(value_) + "]}";
    return h5neural::parse_program("measured", json_,
                                   [this](const std::string& name) { return &tensors_.at(name); });
  }

 private:
  static std::string list(const std::vector<int>& v) {
    std::string s;
    for (const int n : v) {
      s += s.empty() ? '[' : ',';
      s += std::to_string(n);
    }
    return s + ']';
  }
  std::string range() const { return bits_ == 8 ? R"(,"min":-128,"max":127)" : R"(,"min":-2048,"max":2047)"; }
  Maker& convolve(const std::string& op, int outputs, int kernel, int stride, int before, int after) {
    std::vector<int> shape{outputs};
    shape.insert(shape.end(), rank_, kernel);
    shape.push_back(channels_);
    return sum(op, shape, outputs,
               R"(,"stride":)" + list(std::vector<int>(rank_, stride)) + R"(,"before":)" +
                   list(std::vector<int>(rank_, before)) + R"(,"after":)" +
                   list(std::vector<int>(rank_, after)));
  }
  Maker& sum(const std::string& op, const std::vector<int>& shape, int outputs, const std::string& more) {
    const std::string index = std::to_string(value_), w = index + "w", b = index + "b";
    tensor(w, shape, TensorType::kInt8, 60);
    tensor(b, {outputs}, TensorType::kInt32, 1000);
    if (value_ > 0) json_ += ",";
    json_ += R"({"op":")" + op + R"(","in":[)" + std::to_string(value_) + R"(],"weight":")" + w +
             R"(","bias":")" + b + "\"" + more + R"(},{"op":"requantise","in":[)" +
             std::to_string(value_ + 1) + R"(],"multiplier":12345,"shift":23)" + range() + "}";
    value_ += 2;
    channels_ = outputs;
    return *this;
  }
  void tensor(const std::string& name, const std::vector<int>& shape, TensorType type, int most) {
    size_t count = 1;
    for (const int n : shape) count *= static_cast<size_t>(n);
    auto& bytes = bytes_[name];
    const auto size = static_cast<size_t>(type);
    bytes.resize(count * size);
    for (size_t i = 0; i < count; ++i) {
      const int32_t v = static_cast<int32_t>(draw_() % static_cast<unsigned>(2 * most + 1)) - most;
      std::memcpy(bytes.data() + i * size, &v, size);
    }
    tensors_[name] = {type, {shape.begin(), shape.end()}, bytes};
  }

  int bits_, channels_;
  size_t rank_;
  int value_ = 0;
  std::string json_;
  std::mt19937 draw_{1};
  std::map<std::string, std::vector<uint8_t>> bytes_;
  std::map<std::string, Tensor> tensors_;
};

struct Case {
  std::string name;
  int bits;
  size_t items;
  Program program;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const int bits : {8, 16}) {
    const auto add = [&](const std::string& name, size_t items, std::vector<int> shape, auto&& build) {
      Maker m(std::move(shape), bits);
      build(m);
      all.push_back({name, bits, items, m.make()});
    };
    for (const int n : {32, 64, 128}) {
      const std::string to = std::to_string(n) + " -> " + std::to_string(n);
      add("linear " + to, 8192, {n}, [n](Maker& m) { m.linear(n); });
      add("conv 5, " + to + ", 4096", 1, {4096, n}, [n](Maker& m) { m.conv(n, 5); });
      add("conv 3^2, " + to + ", 64^2", 1, {64, 64, n}, [n](Maker& m) { m.conv(n, 3); });
      add("conv 3^3, " + to + ", 16^3", 1, {16, 16, 16, n}, [n](Maker& m) { m.conv(n, 3); });
      add("conv 3^3 by 2, " + to + ", 16^3", 1, {16, 16, 16, n}, [n](Maker& m) { m.conv(n, 3, 2); });
      add("transposed 4^3 by 2, " + to + ", 8^3", 1, {8, 8, 8, n}, [n](Maker& m) { m.transposed(n, 4, 2); });
    }
    add("conv 3^3, 32 -> 1, 32^3", 1, {32, 32, 32, 32}, [](Maker& m) { m.conv(1, 3); });
    add("conv 3^3, 1 -> 32, 32^3", 1, {32, 32, 32, 1}, [](Maker& m) { m.conv(32, 3); });
    add("perceptron 36-32-32-4", 16384, {36}, [](Maker& m) { m.linear(32).linear(32).linear(4); });
    add("block decoder 16 -> 5^3", 1024, {16}, [](Maker& m) { m.linear(128).linear(128).linear(125); });
    add("grid decoder 4^3 -> 32^3", 1, {4, 4, 4, 16}, [](Maker& m) {
      m.conv(64, 3).transposed(64, 4, 2).transposed(32, 4, 2).transposed(16, 4, 2).conv(1, 3);
    });
  }
  return all;
}

#if defined(__x86_64__)

constexpr int kRounds = 500000, kSums = 12;

// Twelve sums that do not wait for one another, STEP applied to each in turn.
// clang-format off
#define PEAK(NAME, TARGET, V, STEP)                                                                         \
  __attribute__((target(TARGET), noinline)) void NAME(const int8_t* in, int32_t* out) {                     \
    V x, w, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, sa, sb;                                                 \
    std::memcpy(&x, in, sizeof x);                                                                          \
    std::memcpy(&w, in, sizeof w);                                                                          \
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = s9 = sa = sb = x;                                          \
    for (int i = 0; i < kRounds; ++i) {                                                                     \
      STEP(s0) STEP(s1) STEP(s2) STEP(s3) STEP(s4) STEP(s5)                                                 \
      STEP(s6) STEP(s7) STEP(s8) STEP(s9) STEP(sa) STEP(sb)                                                 \
      __asm__ volatile("" : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(s5), "+x"(x), "+x"(w));  \
      __asm__ volatile("" : "+x"(s6), "+x"(s7), "+x"(s8), "+x"(s9), "+x"(sa), "+x"(sb));                    \
    }                                                                                                       \
    const V all = s0 ^ s1 ^ s2 ^ s3 ^ s4 ^ s5 ^ s6 ^ s7 ^ s8 ^ s9 ^ sa ^ sb;                                \
    std::memcpy(out, &all, sizeof all);                                                                     \
  }
// clang-format on
#define VNNI8(s) s = _mm512_dpbusd_epi32(s, x, w);
#define VNNI16(s) s = _mm512_dpwssd_epi32(s, x, w);
#define WIDE8(s) s = _mm512_add_epi32(s, _mm512_madd_epi16(_mm512_maddubs_epi16(x, w), _mm512_set1_epi16(1)));
#define WIDE16(s) s = _mm512_add_epi32(s, _mm512_madd_epi16(x, w));
#define HALF8(s) s = _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), _mm256_set1_epi16(1)));
#define HALF16(s) s = _mm256_add_epi32(s, _mm256_madd_epi16(x, w));
PEAK(peak_vnni8, "avx512f,avx512bw,avx512vnni", __m512i, VNNI8)
PEAK(peak_vnni16, "avx512f,avx512bw,avx512vnni", __m512i, VNNI16)
PEAK(peak_wide8, "avx512f,avx512bw", __m512i, WIDE8)
PEAK(peak_wide16, "avx512f,avx512bw", __m512i, WIDE16)
PEAK(peak_half8, "avx2", __m256i, HALF8)
PEAK(peak_half16, "avx2", __m256i, HALF16)

// GMAC/s of the fastest instructions that this machine has.
double peak(int bits) {
  using h5neural::SimdTarget;
  const bool vnni = h5neural::has_target(SimdTarget::kAvx512Vnni),
             wide = h5neural::has_target(SimdTarget::kAvx512);
  if (!h5neural::has_target(SimdTarget::kAvx2)) return 0;
  const auto f = bits == 8 ? (vnni   ? peak_vnni8
                              : wide ? peak_wide8
                                     : peak_half8)
                           : (vnni   ? peak_vnni16
                              : wide ? peak_wide16
                                     : peak_half16);
  const std::vector<int8_t> in(64, 3);
  std::vector<int32_t> out(16);
  const double s = usual_best([&] { f(in.data(), out.data()); });
  return 1e-9 * kRounds * kSums * (wide ? 64 : 32) * 8 / bits / s;
}

#else
double peak(int) { return 0; }
#endif

std::vector<Batch> random_inputs(const Program& p, size_t items) {
  std::mt19937 draw(3);
  std::vector<Batch> in(1);
  const auto& v = p.values[0];
  for (size_t i = 0; i < items * v.count(); ++i) {
    in[0].push_back(v.lo[0] + static_cast<int32_t>(draw() % static_cast<unsigned>(v.hi[0] - v.lo[0] + 1)));
  }
  return in;
}

// `values`: of one item, that MB/s count.
void measure(const Case& c, size_t values) {
  const std::vector<Batch> in = random_inputs(c.program, c.items);
  std::map<const Backend*, double> best;
  double best_peak = 0;
  constexpr int kTurns = 5;
  for (int turn = 0; turn < kTurns; ++turn) {
    for (const Backend* b : h5neural::backends()) {
      if (!b->available()) continue;
      const double s = usual_best([&] { b->execute(c.program, in, c.items); });
      best[b] = std::max(best[b], 1 / s);
    }
    best_peak = std::max(best_peak, peak(c.bits));
  }
  const double results = static_cast<double>(c.items * values);
  for (const Backend* b : h5neural::backends()) {
    if (!b->available()) continue;
    std::printf("%s\t%s\t%d\t%.2f\t%.1f\n", c.name.c_str(), b->name(), c.bits,
                1e-9 * static_cast<double>(c.program.macs * c.items) * best[b], 4e-6 * results * best[b]);
  }
  std::printf("%s\tpeak\t%d\t%.2f\t0\n", c.name.c_str(), c.bits, best_peak);
  (void)std::fflush(stdout);
}

size_t results_of(const Program& p) { return p.values[p.outputs[0]].count(); }

void measure_weights(const std::string& path) {
  constexpr size_t kItems = 512;
  std::ifstream in(path, std::ios::binary);
  const h5neural::Bytes bytes{std::istreambuf_iterator<char>(in), {}};
  const h5neural::WeightsFile file(bytes, h5neural::sha256(bytes), path);
  for (const char* name : {"encode", "decode"}) {
    Program p = file.program(name);
    const size_t values = std::max(p.values[0].count(), results_of(p));
    measure({file.name() + " " + name, 8, kItems, std::move(p)}, values);
  }
}

// A program that does nothing to `n` numbers: the way to the worker and back alone.
Case echo(const std::string& name, int n) {
  const std::string json =
      R"({"inputs":[{"shape":[)" + std::to_string(n) +
      R"(],"min":-9,"max":9}],"ops":[{"op":"clamp","in":[0],"min":-9,"max":9}],"outputs":[1]})";
  return {name, 8, 1, h5neural::parse_program("echo", json, [](const std::string&) { return nullptr; })};
}

void measure_worker(const std::string& only) {
  constexpr uint64_t kMacs = uint64_t{1} << 30;  // of a batch, at least
  std::vector<Case> all = cases();
  all.insert(all.begin(), {echo("nothing, one number", 1), echo("nothing, 16 MiB", 1 << 21)});
  h5neural::Connection worker(h5neural::worker_place());
  for (const Case& c : all) {
    if (c.name.find(only) == std::string::npos || c.bits != 8) continue;
    const size_t items = c.program.macs == 0 ? 1 : std::max<size_t>(c.items, kMacs / c.program.macs);
    const std::vector<Batch> in = random_inputs(c.program, items);
    const auto hash = h5neural::sha256(h5neural::program_bytes(c.program));
    std::vector<Batch> here, there;
    constexpr int64_t kPatient = 1000000000;
    const double own =
        usual_best([&] { here = h5neural::best_backend().execute(c.program, in, items); }, CLOCK_MONOTONIC);
    const double far =
        usual_best([&] { there = worker.run(c.program, hash, in, items, kPatient); }, CLOCK_MONOTONIC);
    if (here != there) {
      std::fprintf(stderr, "measure_programs: the worker gives other bits for '%s'\n", c.name.c_str());
      std::exit(1);
    }
    std::printf("%s\t%zu\t%.2f\t%.4f\t%.4f\n", c.name.c_str(), items,
                static_cast<double>(4 * (in[0].size() + here[0].size())) / (1 << 20), 1e3 * own, 1e3 * far);
    (void)std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc < 2 ? "" : argv[1];
  if (what == "--worker") {
    measure_worker(argc < 3 ? "" : argv[2]);
    return 0;
  }
  if (what.ends_with(".safetensors")) {
    measure_weights(what);
    return 0;
  }
  for (const Case& c : cases()) {
    if (c.name.find(what) != std::string::npos) measure(c, results_of(c.program));
  }
}

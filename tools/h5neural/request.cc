// request.cc: see request.h.
#include "request.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "cd_values.h"
#include "h5neural/h5neural.h"
#include "tool_error.h"
#include "weights_files.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

struct Decimal {
  unsigned mantissa, places;
};

// `v` as mantissa * 10^-places, when the shortest decimal that means this very double has such a form. The
// shortest decimal is what was typed in all but odd cases.
std::optional<Decimal> decimal_of(double v) {
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), v, std::chars_format::scientific);
  uint64_t mantissa = 0;
  int exponent = 0, fraction_digits = 0;
  bool fraction = false;
  for (const char* p = text.data(); p != end.ptr; ++p) {
    if (*p == 'e') {
      std::from_chars(p[1] == '+' ? p + 2 : p + 1, end.ptr, exponent);
      break;
    }
    if (*p == '.') {
      fraction = true;
    } else {
      mantissa = mantissa * 10 + static_cast<uint64_t>(*p - '0');  // at most 17 digits
      if (fraction) ++fraction_digits;
    }
  }
  int places = fraction_digits - exponent;
  for (; places < 0 && mantissa <= INT32_MAX; ++places) mantissa *= 10;
  if (places < 0 || places > CDV_MAX_PLACES || mantissa > INT32_MAX) return std::nullopt;
  return Decimal{static_cast<unsigned>(mantissa), static_cast<unsigned>(places)};
}

unsigned low_word(uint64_t v) { return static_cast<unsigned>(v & UINT32_MAX); }
unsigned high_word(uint64_t v) { return static_cast<unsigned>(v >> 32); }

// The weights called `name`, or those of the file `name`. Readers must find a file that lies outside of the
// search order too.
uint64_t hash_of_weights(const std::string& name) {
  const char* const before = std::getenv("H5NEURAL_WEIGHTS_PATH");
  const std::string path = before != nullptr ? before : "";
  const uint64_t hash = weights_called(name).hash;
  const char* const after = std::getenv("H5NEURAL_WEIGHTS_PATH");
  if (after != nullptr && after != path) {
    fmt::print(stderr, "writers and readers must find these weights: export H5NEURAL_WEIGHTS_PATH={}{}\n",
               fs::absolute(name).string(), path.empty() ? "" : ":$H5NEURAL_WEIGHTS_PATH");
  }
  return hash;
}

// The engine has the last word on what it serves. Weights that are not on this machine are no obstacle here.
void check_with_engine(h5n_params params) {
  h5n_error error{};
  params.type = H5N_FLOAT32;
  params.rank = 1;
  params.dims[0] = 1024;
  const int32_t status = h5n_check(&params, &error);
  if (status != H5N_OK && status != H5N_ERR_NO_MODEL) fail("{}", error.message);
}

}  // namespace

void Request::declare(CLI::App& app) {
  declare_without_effort(app);
  app.add_option("--effort", effort_, "0 (fast) to 9 (small)")
      ->check(CLI::Range(0, 9))
      ->capture_default_str();
}

void Request::declare_without_effort(CLI::App& app) {
  auto* const group = app.add_option_group("bound", "What is kept, for each chunk (one of these)");
  group->add_option("--abs", abs_, "|x - x'| <= E, in the data's unit")->type_name("E");
  group->add_option("--rel", rel_, "|x - x'| <= E * (range of the chunk's values)")->type_name("E");
  group->add_option("--ratio", ratio_, "|x - x'| <= E * |x|, E below 1")->type_name("E");
  group->add_option("--psnr", psnr_, "PSNR of at least D decibels")->type_name("D");
  group->add_option("--nrmse", nrmse_, "root mean square error <= E * range")->type_name("E");
  group
      ->add_option("--block-nrmse", block_nrmse_,
                   "the same for each patch of 8 x 8 points of the last two axes")
      ->type_name("E");
  group->add_flag("--lossless", lossless_, "every bit comes back");
  group->require_option(1);
  app.add_option("--model", model_,
                 "Weights: auto, none, a name, 16 or more digits of the SHA-256, or the file")
      ->capture_default_str();
}

bool Request::leaves_the_model_open() const { return model_ == "auto"; }

void Request::use_model(const std::string& model) { model_ = model; }

void Request::declare_for_training(CLI::App& app) {
  auto* const group = app.add_option_group("bound", "The bound to learn for (one of these)");
  group->add_option("--abs", abs_, "absolute, in the data's unit")->type_name("E");
  group->add_option("--rel", rel_, "relative to the range of a typical chunk")->type_name("E");
  group->add_option("--nrmse", nrmse_, "root mean square error relative to that range")->type_name("E");
  group->require_option(0, 1);
}

uint32_t Request::mode() const {
  if (abs_) return H5N_ABS;
  if (rel_) return H5N_REL;
  if (ratio_) return H5N_RATIO;
  if (psnr_) return H5N_PSNR;
  if (nrmse_) return H5N_NRMSE;
  if (block_nrmse_) return H5N_BLOCK_NRMSE;
  return H5N_LOSSLESS;
}

double Request::bound() const {
  for (const auto& given : {abs_, rel_, ratio_, psnr_, nrmse_, block_nrmse_}) {
    if (given) return *given;
  }
  return 0;
}

uint64_t Request::model() const {
  if (model_ == "auto") return H5N_MODEL_AUTO;
  if (model_ == "none") return H5N_MODEL_NONE;
  if (const auto hash = hash_of_digits(model_)) return *hash;
  return hash_of_weights(model_);
}

std::vector<unsigned> Request::words() const {
  const double asked = bound();
  if (mode() != H5N_LOSSLESS && !(asked > 0 && asked < HUGE_VAL)) {
    fail("the bound {} is not served; give a finite number above 0, or --lossless", asked);
  }
  if (mode() == H5N_RATIO && asked >= 1)
    fail("--ratio {} is not served; give a number above 0 and below 1", asked);
  const uint64_t hash = model();
  std::vector<unsigned> out{mode()};
  const bool more = hash != H5N_MODEL_AUTO || effort_ != CDV_DEFAULT_EFFORT;
  if (mode() != H5N_LOSSLESS) {
    if (const auto d = decimal_of(asked)) {
      out.insert(out.end(), {d->mantissa, d->places});
    } else {
      const auto bits = std::bit_cast<uint64_t>(asked);
      out[0] |= CDV_IEEE_BOUND;
      out.insert(out.end(), {low_word(bits), high_word(bits)});
    }
  } else if (more) {
    out.insert(out.end(), {0U, 0U});
  }
  if (more) out.insert(out.end(), {high_word(hash), low_word(hash)});
  if (effort_ != CDV_DEFAULT_EFFORT) out.push_back(effort_);

  h5n_params back{};
  Message why;
  if (cdv_read_request(out.data(), out.size(), &back, &why) != 0) fail("{}", why.text);
  if (back.mode != mode() || back.bound != asked || back.model != hash || back.effort != effort_) {
    fail("a defect of h5neural: the filter would read the bound {} back as {}; please report it", asked,
         back.bound);
  }
  check_with_engine(back);
  return out;
}

h5n_params Request::params() const {
  const std::vector<unsigned> given = words();
  h5n_params params{};
  Message why;
  if (cdv_read_request(given.data(), given.size(), &params, &why) != 0) fail("{}", why.text);
  return params;
}

std::string bound_text(uint32_t mode, double bound) {
  static constexpr std::array kNames{"lossless", "abs", "rel", "ratio", "psnr", "nrmse", "block-nrmse"};
  if (mode == H5N_LOSSLESS) return "lossless";
  return fmt::format("{} {:.10g}{}", mode < kNames.size() ? kNames[mode] : "?", bound,
                     mode == H5N_PSNR ? " dB" : "");
}

}  // namespace h5neural::tool

// linear_main.cc: h5neural-linear, which learns weights of family `linear` for `h5neural train --model
// linear`. Parses the command line; needs no LibTorch.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <stdexcept>

#include "h5neural/h5neural.h"
#include "learn/train_linear.h"

namespace {

using h5neural::learn::LinearOptions;

constexpr const char* kUsage =
    "usage: h5neural-linear --data FILE.safetensors --variable NAME --out WEIGHTS.safetensors\n"
    "         --abs|--rel|--psnr|--nrmse BOUND [--form chunk|block] [--block Z,Y,X] [--modes N] [--chunks "
    "N]\n"
    "         [--seed 0] [--name NAME] [--about TEXT] [--validation N] [--seconds 600] [--from WEIGHTS] "
    "[--curve "
    "FILE]\n"
    "reads float32 arrays [count, ...] and writes the weights and their card.";

LinearOptions parse(int argc, char** argv) {
  LinearOptions o;
  const auto text = [](std::string& s) { return [&s](const std::string& v) { s = v; }; };
  const auto count = [](uint64_t& n) { return [&n](const std::string& v) { n = std::stoull(v); }; };
  const auto bound = [&o](uint32_t mode) {
    return [&o, mode](const std::string& v) {
      o.mode = mode;
      o.bound = std::stod(v);
    };
  };
  const std::map<std::string, std::function<void(const std::string&)>> known = {
      {"--data", text(o.data)},
      {"--variable", text(o.variable)},
      {"--out", text(o.out)},
      {"--name", text(o.name)},
      {"--about", text(o.about)},
      {"--form", text(o.form)},
      {"--block", text(o.block)},
      {"--modes", count(o.modes)},
      {"--chunks", count(o.chunks)},
      {"--seed", count(o.seed)},
      {"--validation", count(o.validation)},
      {"--from", text(o.from)},
      {"--curve", text(o.curve)},
      {"--seconds", [&o](const std::string& v) { o.seconds = std::stod(v); }},
      {"--abs", bound(H5N_ABS)},
      {"--rel", bound(H5N_REL)},
      {"--psnr", bound(H5N_PSNR)},
      {"--nrmse", bound(H5N_NRMSE)}};
  o.command = "h5neural-linear";
  for (int i = 1; i < argc; i += 2) {
    const std::string key = argv[i];
    const auto it = known.find(key);
    if (it == known.end()) throw std::runtime_error("unknown option '" + key + "'\n" + kUsage);
    if (i + 1 == argc) throw std::runtime_error(key + " needs a value");
    try {
      it->second(argv[i + 1]);
    } catch (const std::logic_error&) {
      throw std::runtime_error(key + " cannot be '" + argv[i + 1] + "': a number was expected");
    }
    o.command.append(" ").append(key).append(" '").append(argv[i + 1]).append("'");
  }
  if (o.data.empty() || o.variable.empty() || o.out.empty())
    throw std::runtime_error(std::string("--data, --variable and --out are needed\n") + kUsage);
  if (!(o.bound > 0) || !std::isfinite(o.bound))
    throw std::runtime_error(std::string("a bound above 0 is needed\n") + kUsage);
  if (o.form != "chunk" && o.form != "block") throw std::runtime_error("--form is chunk or block");
  if (o.name.empty()) o.name = "linear-" + o.variable;
  if (o.name.size() > 63) throw std::runtime_error("--name has more than 63 bytes");
  return o;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--help") == 0) {
    std::puts(kUsage);
    return 0;
  }
  try {
    h5neural::learn::train_linear(parse(argc, argv));
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "h5neural-linear: %s\n", e.what());
    return 1;
  }
}

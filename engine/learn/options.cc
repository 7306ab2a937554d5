// options.cc: see options.h.
#include "learn/options.h"

#include <functional>
#include <map>
#include <stdexcept>

namespace h5neural::learn {
namespace {

using Setter = std::function<void(const std::string&)>;

std::map<std::string, Setter> setters(Options& o) {
  const auto text = [](std::string& s) { return [&s](const std::string& v) { s = v; }; };
  const auto count = [](int64_t& n) {
    return [&n](const std::string& v) {
      n = std::stoll(v);
      if (n < 1) throw std::out_of_range("below 1");
    };
  };
  const auto whole = [](int64_t& n) {
    return [&n](const std::string& v) {
      n = std::stoll(v);
      if (n < 0) throw std::out_of_range("below 0");
    };
  };
  const auto real = [](double& x) {
    return [&x](const std::string& v) {
      x = std::stod(v);
      if (!(x > 0)) throw std::out_of_range("not above 0");
    };
  };
  return {{"--data", text(o.data)},
          {"--variable", text(o.variable)},
          {"--out", text(o.out)},
          {"--name", text(o.name)},
          {"--checkpoint", text(o.checkpoint)},
          {"--about", text(o.about)},
          {"--from", text(o.from)},
          {"--curve", text(o.curve)},
          {"--snapshot", text(o.snapshot)},
          {"--model", text(o.model)},
          {"--form", text(o.form)},
          {"--channels", count(o.channels)},
          {"--stages", count(o.stages)},
          {"--history", count(o.history)},
          {"--levels", count(o.levels)},
          {"--order", text(o.order)},
          {"--bound", real(o.bound)},
          {"--branches", text(o.branches)},
          {"--quantiser", text(o.quantiser)},
          {"--device", text(o.device)},
          {"--seed", [&o](const std::string& v) { o.seed = std::stoull(v); }},
          {"--validation", count(o.validation)},
          {"--latents", count(o.latents)},
          {"--block", text(o.block)},
          {"--net", text(o.net)},
          {"--width", real(o.width)},
          {"--loss", text(o.loss)},
          {"--wasserstein", [&o](const std::string& v) { o.wasserstein = std::stod(v); }},
          {"--normalise", text(o.normalise)},
          {"--precision", text(o.precision)},
          {"--search", text(o.search)},
          {"--modes", count(o.modes)},
          {"--fine-modes", count(o.fine_modes)},
          {"--hidden", count(o.hidden)},
          {"--batch", count(o.batch)},
          {"--patience", count(o.patience)},
          {"--rate", real(o.rate)},
          {"--seconds", real(o.seconds)},
          {"--range", real(o.range)},
          {"--pairs", count(o.pairs)},
          {"--widths", text(o.widths)},
          {"--bounds", text(o.bounds)},
          {"--points", count(o.points)},
          {"--window", count(o.window)},
          {"--hyper", whole(o.hyper)},
          {"--memory", whole(o.memory)},
          {"--motion", whole(o.motion)},
          {"--every", count(o.every)},
          {"--steps", count(o.steps)},
          {"--adversarial", real(o.adversarial)},
          {"--noise", text(o.noise)}};
}

void require(bool condition, const std::string& message) {
  if (!condition) throw std::runtime_error(message);
}

void one_of(const char* key, const std::string& value, std::initializer_list<const char*> known) {
  std::string list;
  for (const char* k : known) {
    if (value == k) return;
    list += (list.empty() ? "" : ", ") + std::string(k);
  }
  throw std::runtime_error(std::string(key) + " cannot be '" + value + "'; it is one of " + list);
}

// What a family of latents is, where nothing else was asked for; and what it cannot be.
void set_latents(Options& o) {
  const bool dcae = o.model == "dcae", contextual = o.model == "contextual";
  if (o.hyper < 0) o.hyper = dcae ? 0 : 4;
  if (o.memory < 0) o.memory = dcae ? 2 : 0;
  if (o.motion < 0) o.motion = contextual ? 16 : 0;
  if (o.window == 0) o.window = o.model == "vae" ? 8 : 1;
  require(o.window <= 16, "--window is at most 16");
  require(o.stages <= 5, "--stages is 1 to 5");
  require(o.hyper == 0 || o.hyper == 2 || o.hyper == 4 || o.hyper == 8, "--hyper is 0, 2, 4 or 8");
  require(dcae || o.memory == 0, "--memory is of --model dcae");
  require(contextual ? o.motion >= 4 && o.motion <= 64 : o.motion == 0,
          "--motion, 4 to 64, is of --model contextual");
  require(o.memory <= 2, "--memory is at most 2");
  require(o.hyper + o.memory + o.motion > 0, "without hyper-latents dcae needs --memory 1 or 2");
  require(o.every >= 2 && o.every <= 8, "--every is 2 to 8");
  require(o.steps <= 64, "--steps is at most 64");
  one_of("--noise", o.noise, {"none", "ancestral"});
}

}  // namespace

bool learns_latents(const std::string& model) {
  return model == "vae" || model == "contextual" || model == "dcae" || model == "diffusion";
}

Options parse_options(int argc, char** argv) {
  Options o;
  const auto known = setters(o);
  o.command = "h5neural-worker train";
  for (int i = 0; i < argc; i += 2) {
    const std::string key = argv[i];
    const auto it = known.find(key);
    require(it != known.end(), "unknown option '" + key + "'\n" + usage());
    require(i + 1 < argc, key + " needs a value");
    try {
      it->second(argv[i + 1]);
    } catch (const std::logic_error&) {
      throw std::runtime_error(key + " cannot be '" + argv[i + 1] + "': a positive number was expected");
    }
    o.command.append(" ").append(key).append(" '").append(argv[i + 1]).append("'");
  }
  require(!o.data.empty() && !o.variable.empty() && !o.out.empty(),
          "--data, --variable and --out are needed\n" + usage());
  require(o.form == "chunk" || o.form == "block", "--form is chunk or block");
  one_of("--net", o.net, {"mlp", "conv", "conv-bn"});
  one_of("--loss", o.loss, {"bytes", "mse", "log", "relative", "robust"});
  one_of("--normalise", o.normalise, {"minmax", "zscore", "pos_log", "none"});
  one_of("--precision", o.precision, {"int8", "int16", "fp8"});
  one_of("--model", o.model,
         {"swae", "three-branch", "frames", "corrections", "vae", "contextual", "dcae", "diffusion"});
  const bool latents = learns_latents(o.model);
  if (o.channels == 0) o.channels = latents ? 32 : 16;
  if (o.stages == 0) o.stages = latents ? 3 : 2;
  if (latents) set_latents(o);
  require(o.adversarial == 0 || (latents && o.model != "diffusion"),
          "--adversarial is of --model vae, contextual and dcae; --model " + o.model + " has no such part");
  require(o.pairs <= 64, "--pairs is at most 64");
  require(o.from.empty() || o.model == "corrections" || (o.model == "swae" && o.search.empty()),
          "--from is of --model swae and corrections; the number of latents is that of the weights: leave "
          "--search "
          "out");
  one_of("--device", o.device, {"cpu", "cuda"});
  require((o.model != "corrections" && o.model != "frames") || o.device == "cpu",
          "--model " + o.model + " learns on the CPU; leave --device out");
  require(o.history <= 4, "--history is at most 4");
  one_of("--order", o.order, {"causal", "both"});
  require(o.levels <= 3, "--levels is at most 3");
  require(o.width <= 4, "--width is at most 4");
  require(o.channels <= 64, "--channels is at most 64");
  require(latents || o.stages == 2 || o.stages == 3, "--stages is 2 or 3");
  require(o.branches == "all" || o.branches == "spatial", "--branches is all or spatial");
  require(o.quantiser == "adaptive" || o.quantiser == "uniform", "--quantiser is adaptive or uniform");
  require(o.latents <= 64, "--latents is at most 64");
  require(o.form != "chunk" || (o.fine_modes <= o.modes && o.latents <= o.fine_modes),
          "--latents <= --fine-modes <= --modes is needed");
  if (o.form == "chunk" && o.range == 0) o.range = 1;
  if (o.name.empty()) {
    o.name = (o.model == "swae" ? "swae-" + o.form : o.model) + "-" + o.variable;
  }
  if (o.checkpoint.empty()) o.checkpoint = o.out + ".checkpoint";
  return o;
}

std::string usage() {
  return "usage: h5neural-worker train --data FILE.safetensors --variable NAME --out WEIGHTS.safetensors\n"
         "         [--form chunk|block] [--seconds 300] [--seed 0] [--latents 16] [--range 1.0] [--name "
         "NAME]\n"
         "         [--about TEXT] [--modes 128] [--fine-modes 32] [--hidden 256] [--batch 256] [--rate "
         "1e-3]\n"
         "         [--patience 20] [--checkpoint FILE] [--validation N] [--curve FILE] [--snapshot FILE]\n"
         "         [--device cpu|cuda] [--block 5,5,5] [--from WEIGHTS]\n"
         "         [--net mlp|conv|conv-bn] [--width 1] [--loss bytes|mse|log|relative|robust] "
         "[--wasserstein WEIGHT]\n"
         "         [--normalise none|minmax|zscore|pos_log] [--precision int8|int16|fp8] [--search 4,8,16]\n"
         "         [--model three-branch [--channels 16] [--stages 2|3] [--branches all|spatial]\n"
         "         [--quantiser adaptive|uniform]]\n"
         "         [--model corrections [--pairs 16] [--widths 24,16] [--bounds 0.1,...] [--points 1500000]\n"
         "         [--from WEIGHTS.safetensors]]   (--variable a,b,c takes several arrays; so do frames)\n"
         "         [--model frames [--history 2] [--levels 3] [--width 1] [--bound REL] [--order "
         "causal|both]]\n"
         "         [--model vae|contextual|dcae|diffusion [--window N] [--channels 32] [--stages 3] [--hyper "
         "4]\n"
         "         [--width 1] [--bound REL] [--memory 2] [--motion 16] [--every 3] [--steps 1]\n"
         "         [--noise none|ancestral] [--adversarial SHARE]]\n"
         "       h5neural-worker selftest\n"
         "train reads float32 arrays [count, Z, Y, X] (three-branch: [count, Y, X] too; frames: [count, T, "
         "Y, X]; vae, contextual, dcae, diffusion: either), and "
         "goes on from its checkpoint when there is one.";
}

}  // namespace h5neural::learn

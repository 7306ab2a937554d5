// loop.h: the training loop of both forms: budget, learning rate, validation, early stop, checkpoints,
// progress lines.
#pragma once
#include <torch/torch.h>

#include <chrono>
#include <cstdio>
#include <functional>

#include "learn/checkpoint.h"
#include "learn/device.h"
#include "learn/options.h"

namespace h5neural::learn {

constexpr uint64_t kValidationSeed = 77;  // the same noise at every evaluation

struct Stage {
  const char* name;
  double until;                         // share of the time budget at which it ends
  double rate;                          // its first learning rate, as a share of the option's
  std::function<torch::Tensor()> loss;  // of one random batch
  std::function<double()> validate;
  bool rounded = true;  // weights or activations are rounded: not for bfloat16
  // Ends with its last parameters, not with its best: where what is learned for is not what is validated.
  bool to_its_end = false;
};

inline std::map<std::string, torch::Tensor> snapshot(const torch::nn::Module& net) {
  std::map<std::string, torch::Tensor> s;
  for (const auto& p : net.named_parameters()) s[p.key()] = p.value().detach().clone();
  for (const auto& p : net.named_buffers()) s[p.key()] = p.value().detach().clone();
  return s;
}
inline void restore(torch::nn::Module& net, const std::map<std::string, torch::Tensor>& s) {
  const torch::NoGradGuard no_grad;
  for (auto& p : net.named_parameters()) {
    if (const auto it = s.find(p.key()); it != s.end()) p.value().copy_(it->second);
  }
  for (auto& p : net.named_buffers()) {
    if (const auto it = s.find(p.key()); it != s.end()) p.value().copy_(it->second);
  }
}

class Loop {
 public:
  Loop(torch::nn::Module& net, const Options& o, std::vector<Stage> stages)
      : net_(net),
        o_(o),
        stages_(std::move(stages)),
        device_(device_of(o)),
        adam_(net.parameters(), torch::optim::AdamOptions(o.rate)) {}

  // Runs all stages that the budget still holds. Ends with the best parameters of the last stage in the net.
  const Progress& run() {
    if (load_checkpoint(o_.checkpoint, net_, best_, adam_, p_, o_.command)) {
      std::fprintf(stderr, "going on from %s: step %ld, %.0f s\n", o_.checkpoint.c_str(),
                   static_cast<long>(p_.step), p_.seconds);
    }
    for (; p_.stage < static_cast<int64_t>(stages_.size()); next_stage())
      run_stage(stages_[static_cast<size_t>(p_.stage)]);
    restore(net_, best_);
    return p_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  void next_stage() {
    restore(net_, best_);
    ++p_.stage;
    p_.best = 1e300;
    p_.stale = 0;
  }

  void run_stage(const Stage& stage) {
    const double begin = p_.stage == 0 ? 0 : stages_[static_cast<size_t>(p_.stage) - 1].until * o_.seconds;
    const double end = stage.until * o_.seconds, every = std::max(2.0, (end - begin) / 40);
    double next = p_.seconds + every, sum = 0;
    int64_t count = 0;
    while (p_.seconds < end && p_.stale < o_.patience) {
      const auto start = Clock::now();
      torch::manual_seed(o_.seed * 1000003 +
                         static_cast<uint64_t>(p_.step));  // resumed runs draw what others would
      const double done = std::clamp((p_.seconds - begin) / (end - begin), 0.0, 1.0);
      set_rate(o_.rate * stage.rate * (0.01 + 0.99 * 0.5 * (1 + std::cos(3.14159265 * done))));
      adam_.zero_grad();
      auto loss = [&] {
        const MixedPrecision mixed(device_, !stage.rounded);
        return stage.loss();
      }();
      loss.backward();
      torch::nn::utils::clip_grad_norm_(net_.parameters(), 1.0);
      adam_.step();
      sum += loss.item<double>();
      ++count;
      ++p_.step;
      const bool evaluate = p_.seconds + since(start) >= next;
      if (evaluate) {
        report(stage, sum / static_cast<double>(count));
        sum = 0, count = 0;
      }
      p_.seconds += since(start);
      if (evaluate) next = p_.seconds + every;
    }
    if (count > 0) report(stage, sum / static_cast<double>(count));
  }

  static double since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

  void set_rate(double rate) {
    for (auto& g : adam_.param_groups()) static_cast<torch::optim::AdamOptions&>(g.options()).lr(rate);
  }

  void report(const Stage& stage, double loss) {
    const torch::NoGradGuard no_grad;
    torch::manual_seed(kValidationSeed + o_.seed);
    const double value = stage.validate();
    if (value < p_.best || stage.to_its_end) {
      p_.best = value;
      p_.stale = 0;
      best_ = snapshot(net_);
    } else {
      ++p_.stale;
    }
    char line[160];
    std::snprintf(line, sizeof line, "| %.0f | %ld | %s | %.6g | %.6g |\n", p_.seconds,
                  static_cast<long>(p_.step), stage.name, loss, value);
    p_.curve += line;
    std::fprintf(stderr, "%3.0f %%  step %ld  %s  training %.6g  validation %.6g\n",
                 100 * p_.seconds / o_.seconds, static_cast<long>(p_.step), stage.name, loss, value);
    save_checkpoint(o_.checkpoint, net_, best_, adam_, p_, o_.command);
  }

  torch::nn::Module& net_;
  const Options& o_;
  std::vector<Stage> stages_;
  torch::Device device_;
  torch::optim::Adam adam_;
  Progress p_;
  std::map<std::string, torch::Tensor> best_;
};

}  // namespace h5neural::learn

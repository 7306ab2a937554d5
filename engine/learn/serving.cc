// serving.cc: see serving.h. Picks LibTorch's device and holds it to its known answers before anybody is
// served.
#include "learn/serving.h"

#include <ATen/Parallel.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "exact/backends/torch/torch.h"
#include "h5neural/h5neural.h"
#include "learn/train.h"
#include "worker/connection.h"
#include "worker/server/server.h"

namespace h5neural::learn {
namespace {

struct Serving {
  std::string socket, device = "auto";
  int64_t idle = 60;
  int threads = 0;  // 0: as LibTorch likes
};

Serving parse(const std::string& command, int argc, char** argv) {
  Serving s;
  for (int i = 0; i < argc; i += 2) {
    const std::string key = argv[i];
    if (i + 1 == argc) throw std::runtime_error(key + " needs a value\n" + serving_usage());
    const std::string value = argv[i + 1];
    const auto count = [&](int64_t most) {
      char* end = nullptr;
      const int64_t n = std::strtoll(value.c_str(), &end, 10);
      if (*end != '\0' || n < 1 || n > most) throw std::runtime_error(key + " cannot be '" + value + "'");
      return n;
    };
    if (key == "--socket" && value.starts_with('/')) {
      s.socket = value;
    } else if (command == "serve" && key == "--idle") {
      s.idle = count(int64_t{365} * 86400);
    } else if (command == "serve" && key == "--threads") {
      s.threads = static_cast<int>(count(1024));
    } else if (command == "serve" && key == "--device" &&
               (value == "auto" || value == "cpu" || value == "cuda")) {
      s.device = value;
    } else {
      throw std::runtime_error("unknown option or value: " + key + " " + value + "\n" + serving_usage());
    }
  }
  return s;
}

// The chosen device's backend, once it has shown that it is exact.
const Backend& proved_backend(const std::string& device) {
  const Backend& cuda = torch_backend(TorchDevice::kCuda);
  const bool gpu = device != "cpu" && cuda.available();
  if (device == "cuda" && !gpu) {
    throw std::runtime_error(
        "--device cuda: this LibTorch finds no GPU; build with -DH5NEURAL_CUDA=ON on a machine that has one");
  }
  if (gpu && selftest(cuda)) return cuda;
  if (device == "cuda")
    throw std::runtime_error("the GPU fails its known answers: its library does not compute exactly");
  const Backend& cpu = torch_backend();
  if (!cpu.available() || !selftest(cpu))
    throw std::runtime_error("LibTorch fails its known answers; report this");
  return cpu;
}

int run(const Serving& s) {
  // cuBLAS may put products together from narrower ones where these ask for it.
  unsetenv("CUBLAS_EMULATE_SINGLE_PRECISION");
  unsetenv("CUBLAS_EMULATE_DOUBLE_PRECISION");
  sigset_t ends;
  sigemptyset(&ends);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&ends, signal);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);  // before LibTorch has threads
  if (s.threads > 0) at::set_num_threads(s.threads);
  const Backend& backend = proved_backend(s.device);
  const bool gpu = &backend == &torch_backend(TorchDevice::kCuda);
  ServeOptions o;
  o.place = worker_place(s.socket);
  o.idle_seconds = s.idle;
  if (gpu) o.elements = uint64_t{1} << 26;
  o.stop_fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
  o.about = std::string("version: ") + h5n_version() + "\nsocket: " + o.place.socket +
            "\ndevice: " + (gpu ? "cuda" : "cpu, " + std::to_string(at::get_num_threads()) + " threads") +
            "\nbackend: " + backend.name() + "\nknown answer: passed\n";
  if (chdir("/") != 0) throw std::runtime_error("the root folder cannot be entered");
  serve(o, backend);
  // Without the exit handlers of LibTorch and CUDA: nothing is left to be kept.
  std::fflush(nullptr);
  std::_Exit(0);
}

int ask(const std::string& command, const Serving& s) {
  const WorkerPlace place = worker_place(s.socket);
  try {
    Connection c(place);
    if (command == "status") {
      std::fputs(c.about().c_str(), stdout);
    } else {
      c.stop();
    }
    return 0;
  } catch (const Failure& f) {
    std::printf("no worker serves at %s (%s)\n", place.socket.c_str(), f.what());
    return 3;
  }
}

}  // namespace

bool is_serving(const std::string& command) {
  return command == "serve" || command == "status" || command == "stop";
}

int serving(const std::string& command, int argc, char** argv) {
  const Serving s = parse(command, argc, argv);
  return command == "serve" ? run(s) : ask(command, s);
}

const char* serving_usage() {
  return "       h5neural-worker serve [--device auto|cpu|cuda] [--idle 60] [--threads N] [--socket /PATH]\n"
         "       h5neural-worker status|stop [--socket /PATH]\n"
         "serve runs programs for the engines of this user (H5NEURAL_WORKER), until nobody has asked for "
         "--idle seconds.";
}

}  // namespace h5neural::learn

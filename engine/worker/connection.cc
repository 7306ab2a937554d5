// connection.cc: see connection.h.
#include "worker/connection.h"

#include <unistd.h>

#include <algorithm>
#include <bit>

#include "worker/program_bytes.h"

namespace h5neural {
namespace {

constexpr int64_t kHelloWait = kSecond, kProgramWait = 20 * kSecond, kRunWait = 2 * kSecond;
constexpr int64_t kPatience = 4;                       // times as long as the engine itself would take
constexpr uint64_t kPart = uint64_t{64} << 20;         // bytes of inputs and outputs of one message
constexpr uint64_t kLeastSegment = uint64_t{1} << 20;  // a first one that most programs fit

}  // namespace

Connection::Connection(const WorkerPlace& place) : owner_(getpid()) {
  check_place(place, false);
  socket_ = connect_to(place.socket);
  about_ = ask({MessageKind::kHello}, -1, kHelloWait).text;
}

bool Connection::of_this_process() const { return owner_ == getpid(); }

void Connection::stop() { ask({MessageKind::kStop}, -1, kHelloWait); }

Message Connection::ask(const Message& m, int passed, int64_t wait) {
  const int64_t deadline = now_ns() + wait;
  send_packet(socket_.get(), write_message(m), passed, deadline);
  const Packet p = receive_packet(socket_.get(), kMostMessage, deadline);
  if (p.bytes.empty()) fail_worker("the connection was closed");
  Message answer = parse_message(p.bytes);
  if (answer.kind == MessageKind::kRefused) throw WorkerRefusal(answer.text);
  const bool may_be_unknown = m.kind == MessageKind::kRun;
  const MessageKind expected = m.kind == MessageKind::kHello ? MessageKind::kWelcome : MessageKind::kDone;
  if (answer.kind != expected && !(may_be_unknown && answer.kind == MessageKind::kUnknownProgram))
    fail_worker("the answer is of another kind");
  return answer;
}

void Connection::send_program(const Program& program, const Sha256& hash) {
  const Bytes bytes = program_bytes(program);
  if (bytes.size() > kMostSegment) throw WorkerRefusal("the program is too large");
  const Segment segment(bytes.size());
  std::copy(bytes.begin(), bytes.end(), segment.data());
  ask({MessageKind::kProgram, hash, 0, segment.size(), ""}, segment.fd(), kProgramWait);
}

std::vector<Batch> Connection::run(const Program& program, const Sha256& hash, std::span<const Batch> inputs,
                                   size_t items, int64_t per_item) {
  std::vector<Batch> outputs;
  uint64_t of_item = 0;
  for (const Batch& in : inputs) of_item += 4 * in.size() / items;
  for (const uint32_t v : program.outputs) {
    of_item += 4 * program.values[v].count();
    outputs.emplace_back(items * program.values[v].count());
  }
  const size_t part = std::max<uint64_t>(1, kPart / std::max<uint64_t>(1, of_item));
  for (size_t first = 0; first < items; first += part) {
    const size_t n = std::min(part, items - first);
    const uint64_t bytes = n * of_item;
    if (bytes > kMostSegment) throw WorkerRefusal("an item is too large");
    if (segment_.size() < bytes) {
      segment_ = Segment(std::bit_ceil(std::max(kLeastSegment, bytes)));
      sent_ = false;
    }
    run_part(program, hash, inputs, first, n, kRunWait + kPatience * per_item * static_cast<int64_t>(n),
             outputs);
  }
  return outputs;
}

void Connection::run_part(const Program& program, const Sha256& hash, std::span<const Batch> inputs,
                          size_t first, size_t items, int64_t wait, std::vector<Batch>& outputs) {
  uint8_t* at = segment_.data();
  for (size_t v = 0; v < inputs.size(); ++v) {
    const size_t count = program.values[v].count();
    std::memcpy(at, inputs[v].data() + first * count, 4 * items * count);
    at += 4 * items * count;
  }
  for (int tries = 0;; ++tries) {
    const Message m{MessageKind::kRun, hash, items, sent_ ? 0 : segment_.size(), ""};
    const Message answer = ask(m, sent_ ? -1 : segment_.fd(), wait);
    sent_ = true;
    if (answer.kind == MessageKind::kDone) break;
    if (tries > 0) fail_worker("the worker forgets programs");
    send_program(program, hash);
  }
  for (size_t o = 0; o < outputs.size(); ++o) {
    const size_t count = program.values[program.outputs[o]].count();
    std::memcpy(outputs[o].data() + first * count, at, 4 * items * count);
    at += 4 * items * count;
  }
}

}  // namespace h5neural

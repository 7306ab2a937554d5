// worker_test.cc: the worker's protocol, client and server without LibTorch: the server runs in a thread of
// the test, on the engine's own backends; hostile clients; servers that lie, hang or die; forks.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <random>
#include <thread>

#include "codec/encode.h"
#include "exact/backends/scalar/scalar.h"
#include "exact/known_answer.h"
#include "program_store.h"
#include "worker/client.h"
#include "worker/connection.h"
#include "worker/program_bytes.h"
#include "worker/server/server.h"

namespace h5neural {
namespace {

namespace fs = std::filesystem;

// A folder for a socket, 0700, gone with the test.
class Folder {
 public:
  Folder() {
    std::string name = "/tmp/h5neural-test-XXXXXX";
    path_ = mkdtemp(name.data());
    mkdir(place().folder.c_str(), S_IRWXU);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  // Where a writer looks whose XDG_RUNTIME_DIR is runtime().
  WorkerPlace place() const { return worker_place((path_ / "h5neural/worker.socket").string()); }
  std::string runtime() const { return path_.string(); }

 private:
  fs::path path_;
};

// A server of ours at work in a thread.
class Serving {
 public:
  explicit Serving(const Backend& backend, int64_t idle = 60, uint64_t elements = 1 << 14, bool now = true)
      : backend_(backend) {
    options_.place = folder_.place();
    options_.idle_seconds = idle;
    options_.elements = elements;
    options_.about = "device: test\n";
    if (!now) return;
    start();
    while (!fs::exists(place().socket)) std::this_thread::yield();
  }
  void start() {
    thread_ = std::thread([this] {
      serve(options_, backend_);
      ended = true;
    });
  }
  ~Serving() {
    try {
      Connection(place()).stop();
    } catch (const Failure&) {  // it has ended by itself
    }
    thread_.join();
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;
  WorkerPlace place() const { return folder_.place(); }
  std::atomic<bool> ended{false};

 private:
  const Backend& backend_;
  Folder folder_;
  ServeOptions options_;
  std::thread thread_;
};

// Three layers of 200 and inputs of its range: large enough to be sent from 200 items on.
Program perceptron(int seed = 1) {
  std::mt19937 draw(static_cast<unsigned>(seed));
  ProgramStore store;
  constexpr uint32_t kWidth = 200;
  const auto numbers = [&](size_t n, int most) {
    std::vector<int32_t> v(n);
    for (int32_t& x : v) x = static_cast<int32_t>(draw() % static_cast<unsigned>(2 * most + 1)) - most;
    return v;
  };
  std::string ops;
  for (int layer = 0; layer < 3; ++layer) {
    const auto w = numbers(kWidth * kWidth, 60);
    const std::string name = std::to_string(layer);
    store.add<int8_t>("w" + name, {kWidth, kWidth}, {w.begin(), w.end()});
    store.add<int32_t>("b" + name, {kWidth}, numbers(kWidth, 1000));
    ops.append(layer > 0 ? "," : "").append(R"({"op":"linear","in":[)").append(std::to_string(2 * layer));
    ops.append(R"(],"weight":"w)").append(name).append(R"(","bias":"b)").append(name);
    ops.append(R"("},{"op":"requantise","in":[)").append(std::to_string(2 * layer + 1));
    ops.append(R"(],"multiplier":12345,"shift":23,"min":-128,"max":127})");
  }
  return store.parse(R"({"inputs":[{"shape":[200],"min":-128,"max":127}],"ops":[)" + ops +
                     R"(],"outputs":[6]})");
}

std::vector<Batch> inputs_of(const Program& p, size_t items, unsigned seed = 3) {
  std::mt19937 draw(seed);
  std::vector<Batch> in(p.inputs);
  for (uint32_t v = 0; v < p.inputs; ++v) {
    for (size_t i = 0; i < items * p.values[v].count(); ++i) {
      const size_t e = i % p.values[v].count();
      const auto span = static_cast<unsigned>(p.values[v].hi[e] - p.values[v].lo[e] + 1);
      in[v].push_back(p.values[v].lo[e] + static_cast<int32_t>(draw() % span));
    }
  }
  return in;
}

std::vector<Batch> truth(const Program& p, const std::vector<Batch>& in, size_t items) {
  return best_backend().execute(p, in, items);
}

Sha256 hash_of(const Program& p) { return sha256(program_bytes(p)); }

// ---- messages, programs as bytes

TEST(WorkerProtocol, WhatIsWrittenIsRead) {
  Message m{MessageKind::kRun, {}, 12345678901, 1 << 20, "text"};
  m.program.fill(7);
  const Message back = parse_message(write_message(m));
  EXPECT_EQ(back.kind, m.kind);
  EXPECT_EQ(back.program, m.program);
  EXPECT_EQ(back.items, m.items);
  EXPECT_EQ(back.segment_bytes, m.segment_bytes);
  EXPECT_EQ(back.text, m.text);
  m.text.assign(10000, 'x');
  EXPECT_EQ(write_message(m).size(), kMostMessage);
}

TEST(WorkerProtocol, HostileMessagesAreRefused) {
  const Bytes good = write_message({MessageKind::kRun, {}, 1, 4096, "abc"});
  for (size_t n = 0; n < good.size(); ++n) {
    EXPECT_THROW((void)parse_message(ByteSpan(good).first(n)), Failure) << n << " bytes";
  }
  const auto with = [&](size_t at, uint32_t word) {
    Bytes b = good;
    std::memcpy(b.data() + at, &word, sizeof word);
    return b;
  };
  EXPECT_THROW((void)parse_message(with(0, 1)), Failure);            // no message of ours
  EXPECT_THROW((void)parse_message(with(4, 99)), Failure);           // another version
  EXPECT_THROW((void)parse_message(with(8, 99)), Failure);           // an unknown kind
  EXPECT_THROW((void)parse_message(with(12, UINT32_MAX)), Failure);  // a text longer than the message
  EXPECT_THROW((void)parse_message(with(12, 0)), Failure);           // bytes that are no text
  EXPECT_THROW((void)parse_message(with(60, 1)), Failure);           // a segment of 4 GiB
  EXPECT_THROW((void)parse_message(Bytes(kMostMessage + 1, good[0])), Failure);
  std::mt19937 draw(1);
  for (int i = 0; i < 20000; ++i) {
    Bytes b = good;
    for (unsigned k = 0; k <= draw() % 4; ++k) b[draw() % b.size()] = static_cast<uint8_t>(draw());
    b.resize(draw() % (b.size() + 1));
    try {
      (void)parse_message(b);
    } catch (const Failure&) {
    }
  }
}

TEST(WorkerProgram, TheSameProgramArrives) {
  for (const Program& p : {known_program(), perceptron()}) {
    const Bytes bytes = program_bytes(p);
    const Program q = program_of(bytes);
    EXPECT_EQ(q.macs, p.macs);
    EXPECT_EQ(q.largest_sum, p.largest_sum);
    const auto in = inputs_of(p, 5);
    EXPECT_EQ(scalar_backend().execute(q, in, 5), scalar_backend().execute(p, in, 5));
    EXPECT_EQ(program_bytes(q), bytes);
  }
}

TEST(WorkerProgram, DamagedBytesAreRefusedOrProved) {
  const Bytes good = program_bytes(known_program());
  std::mt19937 draw(1);
  for (int i = 0; i < 300; ++i) {
    Bytes b = good;
    for (unsigned k = 0; k <= draw() % 3; ++k)
      b[draw() % std::min<size_t>(b.size(), 4000)] ^= 1u << draw() % 8;
    if (i % 3 == 0) b.resize(draw() % b.size());
    try {
      const Program p = program_of(b);
      EXPECT_LT(p.largest_sum, uint64_t{1} << 31);
    } catch (const Failure&) {
    }
  }
}

// ---- client and server

TEST(Worker, GivesTheSameBits) {
  const Serving server(best_backend());
  Connection c(server.place());
  EXPECT_NE(c.about().find("device: test"), std::string::npos);
  for (const Program& p : {known_program(), perceptron()}) {
    for (const size_t items : {1, 7, 300, 4}) {
      const auto in = inputs_of(p, items);
      EXPECT_EQ(c.run(p, hash_of(p), in, items, 1000000), truth(p, in, items)) << items;
    }
  }
}

TEST(Worker, MoreThanASegmentGoesInParts) {
  ProgramStore store;
  const Program p = store.parse(
      R"({"inputs":[{"shape":[500000],"min":-9,"max":9}],"ops":[{"op":"clamp","in":[0],"min":-5,"max":7}],"outputs":[1]})");
  const Serving server(best_backend());
  constexpr size_t kItems = 40;  // 160 MB
  const auto in = inputs_of(p, kItems);
  EXPECT_EQ(Connection(server.place()).run(p, hash_of(p), in, kItems, 100000000), truth(p, in, kItems));
}

TEST(Worker, ItemsOfSeveralClientsShareExecutions) {
  const Serving server(best_backend());
  const Program p = perceptron();
  std::vector<std::thread> clients;
  std::atomic<int> wrong{0};
  for (unsigned k = 0; k < 8; ++k) {
    clients.emplace_back([&, k] {
      Connection c(server.place());
      for (unsigned i = 0; i < 20; ++i) {
        const auto in = inputs_of(p, 50 + k, 100 * k + i);
        if (c.run(p, hash_of(p), in, 50 + k, 1000000000) != truth(p, in, 50 + k)) ++wrong;
      }
    });
  }
  for (std::thread& t : clients) t.join();
  EXPECT_EQ(wrong, 0);
  const std::string about = Connection(server.place()).about();
  EXPECT_EQ(about.find("shared by clients: 0\n"), std::string::npos) << about;
}

TEST(Worker, EndsWhenIdleAndLeavesNoSocket) {
  const Serving server(best_backend(), 1);
  Connection c(server.place());  // an open connection does not keep it
  for (int i = 0; i < 100 && !server.ended; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_TRUE(server.ended);
  EXPECT_FALSE(fs::exists(server.place().socket));
  EXPECT_THROW(c.stop(), Failure);
}

TEST(Worker, OnlyOneServes) {
  const Serving server(best_backend());
  ServeOptions o;
  o.place = server.place();
  EXPECT_THROW(serve(o, best_backend()), Failure);
  EXPECT_NO_THROW((void)Connection(server.place()));
}

TEST(Worker, TakesThePlaceOfAStaleSocket) {
  const Folder folder;
  (void)listen_at(folder.place().socket);  // closed at once: nobody answers
  EXPECT_THROW((void)Connection(folder.place()), Failure);
  ServeOptions o;
  o.place = folder.place();
  std::thread thread([&] { serve(o, best_backend()); });
  for (int i = 0; i < 1000; ++i) {
    try {
      Connection(o.place).stop();
      break;
    } catch (const Failure&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  thread.join();
}

TEST(Worker, AFolderThatOthersMayEnterIsRefused) {
  const Serving server(best_backend());
  const std::string folder = server.place().folder;
  ASSERT_EQ(chmod(folder.c_str(), 0755), 0);
  EXPECT_THROW((void)Connection(server.place()), Failure);
  ASSERT_EQ(chmod(folder.c_str(), 0700), 0);
  EXPECT_NO_THROW((void)Connection(server.place()));
  const std::string link = folder + "-link";
  fs::create_symlink(folder, link);
  EXPECT_THROW((void)Connection(worker_place(link + "/socket")), Failure);
  fs::remove(link);
  EXPECT_THROW((void)Connection(worker_place("/socket")), Failure);
  EXPECT_THROW((void)Connection(worker_place(folder + std::string(200, 'x') + "/socket")), Failure);
}

// ---- hostile clients: each is dropped or refused, the next is served

class Hostile : public testing::Test {
 protected:
  // What the worker answers to some bytes; nothing where it hangs up.
  std::optional<Message> say(int socket, ByteSpan bytes, int passed = -1) {
    send_packet(socket, bytes, passed, now_ns() + kSecond);
    const Packet p = receive_packet(socket, kMostMessage, now_ns() + 10 * kSecond);
    return p.bytes.empty() ? std::nullopt : std::optional(parse_message(p.bytes));
  }
  std::optional<Message> say(const Message& m, int passed = -1) {
    return say(connect_to(server_.place().socket).get(), write_message(m), passed);
  }
  void expect_alive() {
    const auto in = inputs_of(program_, 3);
    EXPECT_EQ(Connection(server_.place()).run(program_, hash_of(program_), in, 3, 1000000),
              truth(program_, in, 3));
  }

  Serving server_{best_backend()};
  Program program_ = known_program();
};

TEST_F(Hostile, Packets) {
  const Bytes good = write_message({MessageKind::kHello, {}, 0, 0, ""});
  for (size_t n = 1; n < good.size(); n += 9) {
    const Fd s = connect_to(server_.place().socket);
    const auto answer = say(s.get(), ByteSpan(good).first(n));
    EXPECT_TRUE(!answer || answer->kind == MessageKind::kRefused);
  }
  Bytes other = good;
  other[4] = 9;
  const auto answer = say(connect_to(server_.place().socket).get(), other);
  ASSERT_TRUE(answer);
  EXPECT_NE(answer->text.find("version 9"), std::string::npos);
  EXPECT_FALSE(say(connect_to(server_.place().socket).get(), Bytes(kMostMessage + 100, 1)));
  for (const auto kind : {MessageKind::kWelcome, MessageKind::kDone}) EXPECT_FALSE(say(Message{kind}));
  expect_alive();
}

TEST_F(Hostile, Segments) {
  const Message run{MessageKind::kRun, {}, 1, 4096, ""};
  EXPECT_FALSE(say(run));                                       // none came
  EXPECT_FALSE(say(Message{MessageKind::kRun, {}, 1, 0, ""}));  // nor before
  EXPECT_FALSE(say(Message{MessageKind::kProgram, {}, 0, 0, ""}));
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_FALSE(say(run, null.get()));  // no memory
  const Fd plain(memfd_create("test", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(plain.get(), 4096), 0);
  EXPECT_FALSE(say(run, plain.get()));  // not sealed: could be cut off later
  const Segment smaller(1000);
  EXPECT_FALSE(say(run, smaller.fd()));  // smaller than it was said to be
  expect_alive();
}

TEST_F(Hostile, ItemsBeyondTheSegment) {
  expect_alive();  // the program is known
  for (const uint64_t items : {uint64_t{0}, uint64_t{1000}, uint64_t{1} << 62, UINT64_MAX}) {
    const Segment s(4096);
    const auto answer = say(Message{MessageKind::kRun, hash_of(program_), items, 4096, ""}, s.fd());
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->kind, MessageKind::kRefused) << items;
  }
  expect_alive();
}

TEST_F(Hostile, InputsOutOfTheirRange) {
  expect_alive();
  const Segment s(1 << 16);
  std::memset(s.data(), 0x7f, s.size());
  const auto answer = say(Message{MessageKind::kRun, hash_of(program_), 2, s.size(), ""}, s.fd());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->kind, MessageKind::kRefused);
  EXPECT_NE(answer->text.find("out of its range"), std::string::npos);
  expect_alive();
}

TEST_F(Hostile, Programs) {
  const auto send = [&](const Bytes& bytes, const Sha256& hash) {
    const Segment s(bytes.size());
    std::copy(bytes.begin(), bytes.end(), s.data());
    return say(Message{MessageKind::kProgram, hash, 0, s.size(), ""}, s.fd());
  };
  const Bytes good = program_bytes(program_);
  auto answer = send(good, {});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->kind, MessageKind::kRefused);  // not what was announced
  Bytes bad = good;
  bad[100] ^= 0xff;
  answer = send(bad, sha256(bad));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->kind, MessageKind::kRefused);  // no program
  answer = send(Bytes(5000, 0xff), sha256(Bytes(5000, 0xff)));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->kind, MessageKind::kRefused);
  expect_alive();
}

TEST_F(Hostile, GoneInTheMiddle) {
  const Program p = perceptron();
  for (int i = 0; i < 20; ++i) {
    const Segment s(200 * 4 * 2 * 1000);
    const Fd c = connect_to(server_.place().socket);
    send_packet(c.get(), write_message({MessageKind::kRun, hash_of(p), 1000, s.size(), ""}), s.fd(),
                now_ns() + kSecond);
  }
  expect_alive();
}

// ---- what a writer sees: run() with and without a worker that can be trusted

// H5NEURAL_WORKER while it lives.
class Wanted {
 public:
  explicit Wanted(const std::string& value) { setenv("H5NEURAL_WORKER", value.c_str(), 1); }
  ~Wanted() { unsetenv("H5NEURAL_WORKER"); }
  Wanted(const Wanted&) = delete;
  Wanted& operator=(const Wanted&) = delete;
};

// In a child, since a client remembers what became of its workers. The server starts after the fork: a child
// of several threads may find a lock held for ever (those of sanitizers).
template <class Server>
void in_child(Server& server, const std::function<bool()>& good) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    while (!fs::exists(server.place().socket)) std::this_thread::yield();
    _exit(good() ? 0 : 1);
  }
  server.start();
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// Runs the program until the worker has a part in it, at most `tries` times; each result is compared.
bool helped(const Program& p, int tries) {
  for (int i = 0; i < tries; ++i) {
    const WorkerScope scope;
    const auto in = inputs_of(p, 400, static_cast<unsigned>(i));
    if (run(p, in, 400) != truth(p, in, 400)) return false;
    if (scope.used()) return true;
  }
  return false;
}

TEST(WorkerClient, IsUsedOnlyInAScopeAndOnlyWhereItIsWanted) {
  Serving server(best_backend(), 60, 1 << 14, false);
  in_child(server, [&] {
    const Program p = perceptron();
    if (helped(p, 20)) return false;
    const Wanted wanted(server.place().socket);
    if (worker_wanted(p, 400)) return false;  // no scope
    const WorkerScope scope;
    return worker_wanted(p, 400) && !worker_wanted(p, 1) && !worker_wanted(known_program(), 400) &&
           helped(p, 20);
  });
}

TEST(WorkerClient, AChildOfAForkMakesItsOwnConnection) {
  Serving server(best_backend(), 60, 1 << 14, false);
  in_child(server, [&] {
    const Wanted wanted(server.place().socket);
    const Program p = perceptron();
    if (!helped(p, 20)) return false;
    const pid_t child = fork();
    if (child == 0) _exit(helped(p, 1) ? 0 : 1);
    const bool parent = helped(p, 1);  // at the same time
    int status = -1;
    return waitpid(child, &status, 0) == child && status == 0 && parent && helped(p, 1);
  });
}

// A server that follows a script: what it answers to the n-th run of a program.
class Scripted {
 public:
  using Answer = std::function<bool(int n, const Message& m, Segment& segment, const Program& p, int socket)>;
  explicit Scripted(Answer answer) : answer_(std::move(answer)), listener_(listen_at(place().socket)) {}
  void start() {
    thread_ = std::thread([this] { work(); });
  }
  ~Scripted() {
    end_ = true;
    thread_.join();
  }
  Scripted(const Scripted&) = delete;
  Scripted& operator=(const Scripted&) = delete;
  WorkerPlace place() const { return folder_.place(); }
  std::string runtime() const { return folder_.runtime(); }

 private:
  void work() {
    while (!end_) {
      if (!wait_for(listener_.get(), false, now_ns() + 50 * kMillisecond)) continue;
      const Fd c(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      try {
        Segment segment;
        while (!end_) {
          if (wait_for(c.get(), false, now_ns() + 50 * kMillisecond) && !attend(c.get(), segment)) break;
        }
      } catch (const Failure&) {  // the client has gone
      }
    }
  }
  // False: hangs up.
  bool attend(int socket, Segment& segment) {
    Packet packet = receive_packet(socket, kMostMessage, now_ns() + kSecond);
    if (packet.bytes.empty()) return false;
    const Message m = parse_message(packet.bytes);
    MessageKind kind = m.kind == MessageKind::kHello ? MessageKind::kWelcome : MessageKind::kDone;
    if (m.kind == MessageKind::kProgram) {
      const Segment bytes(std::move(packet.passed), m.segment_bytes);
      programs_.insert_or_assign(m.program, program_of({bytes.data(), bytes.size()}));
    } else if (m.kind == MessageKind::kRun) {
      if (m.segment_bytes > 0) segment = Segment(std::move(packet.passed), m.segment_bytes);
      const auto known = programs_.find(m.program);
      if (known != programs_.end()) return answer_(runs_[m.program]++, m, segment, known->second, socket);
      kind = MessageKind::kUnknownProgram;
    }
    send_packet(socket, write_message(Message{kind}), -1, now_ns() + kSecond);
    return true;
  }

  Folder folder_;
  Answer answer_;
  Fd listener_;
  std::atomic<bool> end_{false};
  std::map<Sha256, Program> programs_;
  std::map<Sha256, int> runs_;
  std::thread thread_;
};

// Writes the outputs, the first number of each item `off` from what is right, and says that it is done.
bool answer_off_by(int32_t off, const Message& m, const Segment& segment, const Program& p, int socket) {
  uint8_t* at = segment.data();
  std::vector<Batch> in;
  for (uint32_t v = 0; v < p.inputs; ++v) {
    in.emplace_back(m.items * p.values[v].count());
    std::memcpy(in[v].data(), at, 4 * in[v].size());
    at += 4 * in[v].size();
  }
  std::vector<Batch> out = best_backend().execute(p, in, m.items);
  for (size_t o = 0; o < out.size(); ++o) {
    const size_t count = out[o].size() / m.items;
    for (size_t i = 0; i < m.items; ++i) out[o][i * count] += out[o][i * count] > 0 ? -off : off;
    std::memcpy(at, out[o].data(), 4 * out[o].size());
    at += 4 * out[o].size();
  }
  send_packet(socket, write_message(Message{MessageKind::kDone}), -1, now_ns() + kSecond);
  return true;
}

// What a script's worker does to a writer: every result is right, and `after` tries it is still asked or not.
void expect_right_under(Scripted::Answer answer, bool still_wanted, int64_t most_seconds) {
  const Program p = perceptron();
  Scripted server(std::move(answer));
  in_child(server, [&] {
    const Wanted wanted(server.place().socket);
    const int64_t start = now_ns();
    for (unsigned i = 0; i < 8; ++i) {
      const WorkerScope scope;
      const auto in = inputs_of(p, 400, i);
      if (run(p, in, 400) != truth(p, in, 400)) return false;
    }
    const WorkerScope scope;
    return worker_wanted(p, 400) == still_wanted && now_ns() - start < most_seconds * kSecond;
  });
}

TEST(WorkerClient, AWorkerThatIsRightStaysWanted) {
  expect_right_under([](int, const Message& m, Segment& s, const Program& p,
                        int socket) { return answer_off_by(0, m, s, p, socket); },
                     true, 30);
}

TEST(WorkerClient, AWrongAnswerEndsAllTrust) {
  expect_right_under([](int, const Message& m, Segment& s, const Program& p,
                        int socket) { return answer_off_by(1, m, s, p, socket); },
                     false, 30);
}

TEST(WorkerClient, AnAnswerOutOfItsRangeEndsAllTrust) {
  expect_right_under([](int n, const Message& m, Segment& s, const Program& p,
                        int socket) { return answer_off_by(n == 0 ? 0 : 1000, m, s, p, socket); },
                     false, 30);
}

TEST(WorkerClient, AWorkerThatHangsIsLeftAlone) {
  expect_right_under([](int, const Message&, Segment&, const Program&, int) { return true; }, false, 20);
}

TEST(WorkerClient, AWorkerThatDiesInTheMiddle) {
  expect_right_under([](int n, const Message& m, Segment& s, const Program& p,
                        int socket) { return n < 2 && answer_off_by(0, m, s, p, socket); },
                     false, 30);
}

TEST(WorkerClient, NonsenseInPlaceOfAnAnswer) {
  expect_right_under(
      [](int n, const Message&, Segment&, const Program&, int socket) {
        const Message unknown{MessageKind::kUnknownProgram};
        send_packet(socket, n < 3 ? write_message(unknown) : Bytes(80, 0xee), -1, now_ns() + kSecond);
        return true;
      },
      false, 30);
}

TEST(WorkerClient, ARefusedProgramIsNotSentAgain) {
  expect_right_under(
      [](int n, const Message&, Segment&, const Program&, int socket) {
        send_packet(socket, write_message({MessageKind::kRefused, {}, 0, 0, "no"}), -1, now_ns() + kSecond);
        return n == 0;  // a second time would be a failure
      },
      true, 30);
}

// A chunk that family frames serves, as a golden payload has it: its values, and parameters to write them
// again.
struct FramesChunk {
  h5n_params params{};
  std::vector<uint8_t> values;

  FramesChunk() {
    std::ifstream in(H5NEURAL_SOURCE_DIR "/h5tests/golden/v1/frames_f32.payload", std::ios::binary);
    const std::vector<uint8_t> payload{std::istreambuf_iterator<char>(in), {}};
    h5n_info info{};
    EXPECT_EQ(h5n_inspect(payload.data(), payload.size(), &info, nullptr), H5N_OK);
    params.mode = H5N_ABS;
    params.bound = 0.02;
    params.model = info.model;
    params.effort = 5;
    params.type = info.type;
    params.rank = info.rank;
    std::copy(std::begin(info.dims), std::end(info.dims), params.dims);
    values.resize(info.raw_bytes);
    EXPECT_EQ(h5n_decode(payload.data(), payload.size(), values.data(), values.size(), nullptr), H5N_OK);
  }
  Bytes write() const {
    EncoderParts parts;
    parts.none = false;  // frames, also where they do not pay
    return encode_chunk(params, values, parts);
  }
};

// Wrong only after it was compared: the proof of the payload finds it, and the chunk is written again
// without.
TEST(WorkerClient, AWriterThatFindsAWrongValueDoesItAllAgain) {
  for (const int32_t off : {0, 1}) {
    Scripted server([off](int n, const Message& m, Segment& s, const Program& p, int socket) {
      return answer_off_by(n == 0 ? 0 : off, m, s, p, socket);
    });
    in_child(server, [&] {
      setenv("H5NEURAL_WEIGHTS_PATH", H5NEURAL_SOURCE_DIR "/h5tests/fuzz/seeds/weights", 1);
      setenv("XDG_RUNTIME_DIR", server.runtime().c_str(), 1);
      const FramesChunk chunk;
      const Bytes alone = chunk.write();
      const Wanted wanted("always");
      const Bytes helped = chunk.write();
      const WorkerScope scope;
      return alone == helped && worker_wanted(perceptron(), 1) == (off == 0);
    });
  }
}

}  // namespace
}  // namespace h5neural

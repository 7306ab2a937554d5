// protocol.h: what the engine (client.h) and h5neural-worker (server/server.h) say to one another. Knows
// nothing of sockets, programs or memory.
//
// The socket is a Unix socket of type SOCK_SEQPACKET, so each message is one packet, little-endian, of at
// most kMostMessage bytes:
//
//   offset  bytes
//   0       4      "h5nw"
//   4       4      version of the protocol, kProtocolVersion; the meaning of all that follows depends on it
//   8       4      kind
//   12      4      length of the text at the end
//   16      32     program: SHA-256 of the bytes in which a program travels (program_bytes.h)
//   48      8      items
//   56      8      bytes of the segment that comes with the message
//   64      ...    text, UTF-8
//
// A client asks, and waits for the one answer before it asks again:
//
//   kHello                           -> kWelcome (text: what the worker is, "key: value" lines)
//   kProgram (program, segment: bytes) -> kDone, or kRefused (text: why)
//   kRun (program, items, segment)   -> kDone; kUnknownProgram (send kProgram, then ask again); kRefused
//   kStop                            -> kDone; the worker ends
//
// Large data lie in segments of shared memory: file descriptors of sealed memfds (segment.h) that travel
// beside a message. That of kProgram holds the program and is read once. That of kRun is kept and used again
// by later kRun's without one: it holds the inputs, value after value, [items, elements of the value] of
// int32 each, then the outputs in the same way, which the worker writes before it answers.
//
// Either side closes the connection at whatever it does not understand; the client then does the work itself.
#pragma once
#include <string>

#include "support/bytes.h"
#include "weights/sha256.h"

namespace h5neural {

constexpr uint32_t kProtocolVersion = 1;
constexpr size_t kMostMessage = 4096;
// No inputs and outputs of one kRun are larger together, no program's bytes either.
constexpr uint64_t kMostSegment = uint64_t{256} << 20;

enum class MessageKind : uint32_t {
  kHello = 1,
  kProgram = 2,
  kRun = 3,
  kStop = 4,
  kWelcome = 16,
  kDone = 17,
  kUnknownProgram = 18,
  kRefused = 19
};

struct Message {
  MessageKind kind = MessageKind::kHello;
  Sha256 program{};
  uint64_t items = 0;
  uint64_t segment_bytes = 0;  // 0: no segment comes with it
  std::string text{};          // cut off where the message would be too long
};

Bytes write_message(const Message& m);
// Throws Failure(H5N_ERR_CORRUPT) with a sentence, also where the version is another.
Message parse_message(ByteSpan packet);

}  // namespace h5neural

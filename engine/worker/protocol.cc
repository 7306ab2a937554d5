// protocol.cc: see protocol.h.
#include "worker/protocol.h"

#include <algorithm>
#include <array>

namespace h5neural {
namespace {

constexpr uint32_t kMagic = 0x776e3568;  // "h5nw"
constexpr size_t kFixed = 64;

constexpr std::array kKinds = {MessageKind::kHello,          MessageKind::kProgram, MessageKind::kRun,
                               MessageKind::kStop,           MessageKind::kWelcome, MessageKind::kDone,
                               MessageKind::kUnknownProgram, MessageKind::kRefused};

[[noreturn]] void refuse(const std::string& why) {
  throw Failure(H5N_ERR_CORRUPT, "h5neural-worker: a message is refused: " + why);
}

}  // namespace

Bytes write_message(const Message& m) {
  const size_t length = std::min(m.text.size(), kMostMessage - kFixed);
  ByteWriter w;
  w.put(kMagic);
  w.put(kProtocolVersion);
  w.put(static_cast<uint32_t>(m.kind));
  w.put(static_cast<uint32_t>(length));
  w.bytes(m.program);
  w.put(m.items);
  w.put(m.segment_bytes);
  w.bytes({reinterpret_cast<const uint8_t*>(m.text.data()), length});
  return w.take();
}

Message parse_message(ByteSpan packet) {
  if (packet.size() < kFixed || packet.size() > kMostMessage) refuse("its length is wrong");
  ByteReader r(packet);
  if (r.get<uint32_t>() != kMagic) refuse("it is none of this protocol");
  const auto version = r.get<uint32_t>();
  if (version != kProtocolVersion) {
    refuse("it is of version " + std::to_string(version) + " of the protocol, and this is version " +
           std::to_string(kProtocolVersion) + "; install engine and worker of one release");
  }
  Message m;
  m.kind = static_cast<MessageKind>(r.get<uint32_t>());
  if (std::find(kKinds.begin(), kKinds.end(), m.kind) == kKinds.end()) refuse("its kind is unknown");
  const auto length = r.get<uint32_t>();
  const ByteSpan program = r.take(m.program.size());
  std::copy(program.begin(), program.end(), m.program.begin());
  m.items = r.get<uint64_t>();
  m.segment_bytes = r.get<uint64_t>();
  if (m.segment_bytes > kMostSegment) refuse("its segment is too large");
  if (length != r.left()) refuse("its text's length is wrong");
  const ByteSpan text = r.take(length);
  m.text.assign(text.begin(), text.end());
  return m;
}

}  // namespace h5neural

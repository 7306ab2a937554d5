// links.cc: see links.h.
#include "links.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "tool_error.h"

namespace h5neural::tool {
namespace {

constexpr double kGiga = 1e9;
constexpr double kMostGigabytes = 1e6;  // of a --link, per second

// What packets leave for data, in bytes of data and of all.
struct Packet {
  double data, all;
};
// TLP of 256 bytes: 4 framing and sequence, 16 header with 64-bit address, 4 LCRC. PCI Express Base
// Specification.
constexpr Packet kPcie{256, 256 + 24};
// MTU 4096: 8 LRH, 12 BTH, 4 ICRC, 2 VCRC. InfiniBand Architecture Specification volume 1.
constexpr Packet kInfiniband{4096, 4096 + 26};
// TCP with timestamps in an MTU of 1500, on the wire 1538 with preamble, header, FCS and gap. IEEE 802.3; RFC
// 9293, 7323.
constexpr Packet kTcp{1448, 1538};

Link nominal(const std::string& name, double gigabits, double line_code, Packet packet,
             const std::string& source) {
  return {name, "nominal", gigabits * kGiga / 8 * line_code * packet.data / packet.all, source, {}};
}

// One phase of two stages that work at once, chunk by chunk.
double overlap(double a, double b, double steps) { return std::max(a, b) + std::min(a, b) / steps; }

}  // namespace

std::vector<Link> nominal_links() {
  constexpr double kPcieCode = 128.0 / 130;
  return {
      nominal("NVLink 4", 3600, 1, {1, 1},
              "NVIDIA H100 whitepaper (2022): 900 GB/s both ways, 18 links; packet headers not taken off"),
      nominal("PCIe 5 x16", 512, kPcieCode, kPcie,
              "PCI Express 5.0 (2019): 16 lanes of 32 GT/s, 128b/130b, packets of 256 bytes"),
      nominal("InfiniBand NDR", 400, 1, kInfiniband, "IBTA: 4 lanes of 100 Gb/s of data, MTU 4096"),
      nominal("PCIe 4 x16", 256, kPcieCode, kPcie,
              "PCI Express 4.0 (2017): 16 lanes of 16 GT/s, 128b/130b, packets of 256 bytes"),
      nominal("InfiniBand HDR", 200, 1, kInfiniband, "IBTA: 4 lanes of 50 Gb/s of data, MTU 4096"),
      nominal("Ethernet 100G", 100, 1, kTcp, "IEEE 802.3ba (2010), TCP in an MTU of 1500"),
      nominal("Ethernet 25G", 25, 1, kTcp, "IEEE 802.3by (2016), TCP in an MTU of 1500"),
      nominal("Ethernet 10G", 10, 1, kTcp, "IEEE 802.3ae (2002), TCP in an MTU of 1500"),
      nominal("WAN 1G", 1, 1, kTcp, "IEEE 802.3ab (1999), TCP in an MTU of 1500, without loss"),
  };
}

Link store_link(const std::string& name, double write, double read, const std::string& source) {
  return {name, "measured", 1 / (1 / write + 1 / read), source, Link::Store{write, read}};
}

void add_given_links(const std::vector<std::string>& texts, std::vector<Link>& links) {
  for (const std::string& text : texts) {
    const size_t at = text.rfind('=');
    double speed = 0;
    const char* const end = text.data() + text.size();
    const char* const number = at == text.npos ? end : text.data() + at + 1;
    const auto parsed = std::from_chars(number, end, speed);
    const bool read = at != text.npos && at > 0 && parsed.ec == std::errc() && parsed.ptr == end;
    if (!read) fail("--link {} cannot be read; give NAME=GB/s, such as --link lab=1.2", text);
    if (!(speed * kGiga >= 1 && speed <= kMostGigabytes)) {
      fail("--link {}: {} GB/s is no speed of a link; give a number above 0 and up to {}", text, speed,
           kMostGigabytes);
    }
    const std::string name = text.substr(0, at);
    if (std::any_of(links.begin(), links.end(), [&](const Link& l) { return l.name == name; })) {
      fail("--link {}: there is a link {} already; give another name", text, name);
    }
    links.push_back({name, "given", speed * kGiga, "--link", {}});
  }
}

Times times_over(const Link& link, const Work& work) {
  const double sent = work.raw_bytes / work.ratio;
  Times t;
  t.raw = work.raw_bytes / link.bytes_per_s;
  t.encode = work.raw_bytes / work.encode;
  t.transfer = sent / link.bytes_per_s;
  t.decode = work.raw_bytes / work.decode;
  t.serial = t.encode + t.transfer + t.decode;
  if (link.store) {
    t.overlapped = overlap(t.encode, sent / link.store->write, work.steps) +
                   overlap(sent / link.store->read, t.decode, work.steps);
  } else {
    const double slowest = std::max({t.encode, t.transfer, t.decode});
    t.overlapped = slowest + (t.serial - slowest) / work.steps;
  }
  return t;
}

// raw / b = raw / encode + raw / (ratio b) + raw / decode, for b.
double break_even_serial(const Work& w) {
  return w.ratio > 1 ? (1 - 1 / w.ratio) / (1 / w.encode + 1 / w.decode) : 0;
}

// The overlapped time is the larger of two linear functions of 1/b, one for a link that is the slowest stage,
// one for a link that is not; compressing pays where sending raw is above both.
double break_even_overlapped(const Work& w) {
  if (w.ratio <= 1) return 0;
  const double encode = 1 / w.encode, decode = 1 / w.decode, n = w.steps;
  const double by_codec = (1 - 1 / (w.ratio * n)) / overlap(encode, decode, n);
  const double by_link = (1 - 1 / w.ratio) * n / (encode + decode);
  return std::min(by_codec, by_link);
}

}  // namespace h5neural::tool

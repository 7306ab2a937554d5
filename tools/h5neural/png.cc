// png.cc: see png.h.
#include "png.h"

#include <algorithm>
#include <array>

namespace h5neural::tool {
namespace {

void big_endian(std::string& out, uint32_t v) {
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(v >> shift & 0xff));
}

uint32_t crc32(const std::string& bytes) {
  uint32_t crc = UINT32_MAX;
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0);
  }
  return ~crc;
}

uint32_t adler32(const std::string& bytes) {
  uint32_t a = 1, b = 0;
  for (const char c : bytes) {
    a = (a + static_cast<uint8_t>(c)) % 65521;
    b = (b + a) % 65521;
  }
  return b << 16 | a;
}

// A zlib stream (RFC 1950) of stored blocks (RFC 1951).
std::string stored(const std::string& bytes) {
  constexpr size_t kMost = 65535;
  std::string out = "\x78\x01";
  for (size_t at = 0; at < bytes.size(); at += kMost) {
    const size_t n = std::min(kMost, bytes.size() - at);
    out.push_back(at + n == bytes.size() ? '\1' : '\0');
    for (const size_t word : {n, ~n}) {
      out.push_back(static_cast<char>(word & 0xff));
      out.push_back(static_cast<char>(word >> 8 & 0xff));
    }
    out.append(bytes, at, n);
  }
  big_endian(out, adler32(bytes));
  return out;
}

void chunk(std::string& out, const std::string& type, const std::string& bytes) {
  big_endian(out, static_cast<uint32_t>(bytes.size()));
  out += type + bytes;
  big_endian(out, crc32(type + bytes));
}

}  // namespace

std::string png_of(const Image& image) {
  std::string header, rows;
  big_endian(header, image.width);
  big_endian(header, image.height);
  header += std::string("\x08\x02\x00\x00\x00", 5);  // 8 bits, RGB, no filter that needs more, not interlaced
  const size_t row = size_t{3} * image.width;
  for (uint32_t y = 0; y < image.height; ++y) {
    rows.push_back('\0');  // no filter
    const auto first = image.rgb.begin() + static_cast<int64_t>(y * row);
    rows.append(first, first + static_cast<int64_t>(row));
  }
  std::string out = "\x89PNG\r\n\x1a\n";
  chunk(out, "IHDR", header);
  chunk(out, "IDAT", stored(rows));
  chunk(out, "IEND", "");
  return out;
}

std::string base64(const std::string& bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - at);
    uint32_t word = 0;
    for (size_t i = 0; i < 3; ++i)
      word = word << 8 | (i < n ? static_cast<uint8_t>(bytes[at + i]) : uint8_t{0});
    for (size_t i = 0; i < 4; ++i) out.push_back(i <= n ? kDigits[word >> (18 - 6 * i) & 63] : '=');
  }
  return out;
}

}  // namespace h5neural::tool

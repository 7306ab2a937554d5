// png.h: a small image as the bytes of a PNG file (ISO/IEC 15948), not compressed: for images in reports.
// Knows nothing of what they show.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace h5neural::tool {

struct Image {
  uint32_t width = 0, height = 0;
  std::vector<uint8_t> rgb;  // 3 bytes a pixel, rows from the top
};

std::string png_of(const Image& image);
std::string base64(const std::string& bytes);

}  // namespace h5neural::tool

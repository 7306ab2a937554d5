// golden_test.cc: payloads written by earlier encoders still decode to the same bits, and a damaged one never
// decodes. Reads h5tests/golden; uses the C API only.
#define XXH_INLINE_ALL
#include <gtest/gtest.h>
#include <xxhash.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "h5neural/h5neural.h"

namespace {

using Row = std::map<std::string, std::string>;  // column of index.tsv -> text

struct Payload {
  std::string path;
  Row row;
  std::vector<uint8_t> payload;
};

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream in(line);
  for (std::string cell; std::getline(in, cell, '\t');) cells.push_back(cell);
  return cells;
}

std::vector<uint8_t> read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void read_index(const std::filesystem::path& folder, std::vector<Payload>& all) {
  std::ifstream in(folder / "index.tsv");
  std::string line;
  std::getline(in, line);
  const std::vector<std::string> names = split(line);
  while (std::getline(in, line)) {
    const std::vector<std::string> cells = split(line);
    if (cells.size() != names.size())
      throw std::runtime_error("index.tsv: a line has another number of columns");
    Row row;
    for (size_t i = 0; i < names.size(); ++i) row[names[i]] = cells[i];
    const std::filesystem::path path = folder / row["file"];
    all.push_back({path.string(), row, read_file(path)});
  }
}

// Every golden payload of every version.
std::vector<Payload> all_golden() {
  std::vector<Payload> all;
  for (const auto& entry : std::filesystem::directory_iterator(H5NEURAL_SOURCE_DIR "/h5tests/golden"))
    if (entry.is_directory() && std::filesystem::exists(entry.path() / "index.tsv"))
      read_index(entry.path(), all);
  return all;
}

std::string dims_text(const h5n_info& info) {
  std::string text = std::to_string(info.dims[0]);
  for (uint32_t a = 1; a < info.rank; ++a) text.append("x").append(std::to_string(info.dims[a]));
  return text;
}

std::string hex(uint64_t v) {
  char text[17];
  (void)std::snprintf(text, sizeof text, "%016" PRIx64, v);
  return text;
}

constexpr const char* kKinds[] = {"raw", "lossless", "walk", "constant", "repeats", "transform", "frames"};
constexpr const char* kModes[] = {"lossless", "abs", "rel", "ratio", "psnr", "nrmse", "block-nrmse"};

// Some payloads name weights that are seeds of the fuzzer.
class Golden : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* old = getenv(kPath)) old_ = old;
    setenv(kPath, H5NEURAL_SOURCE_DIR "/h5tests/fuzz/seeds/weights", 1);
  }
  void TearDown() override { old_.empty() ? unsetenv(kPath) : setenv(kPath, old_.c_str(), 1); }

 private:
  static constexpr const char* kPath = "H5NEURAL_WEIGHTS_PATH";
  std::string old_;
};

TEST_F(Golden, CoversEveryKindTypeAndByteOrder) {
  std::map<std::string, int> seen;
  for (const Payload& g : all_golden())
    ++seen[g.row.at("kind") + " " + g.row.at("type") + (g.row.at("big_endian") == "1" ? " big" : " little")];
  for (const char* kind : {"lossless", "walk", "constant", "repeats"})
    for (const char* type : {"f32", "f64"})
      for (const char* order : {"little", "big"})
        EXPECT_GT(seen[std::string(kind) + " " + type + " " + order], 0)
            << kind << " " << type << " " << order;
  EXPECT_GT(seen["raw f32 little"], 0);
}

TEST_F(Golden, HeadersSayWhatWasWritten) {
  for (const Payload& g : all_golden()) {
    SCOPED_TRACE(g.path);
    h5n_info info{};
    h5n_error error{};
    ASSERT_EQ(h5n_inspect(g.payload.data(), g.payload.size(), &info, &error), H5N_OK) << error.message;
    ASSERT_LT(info.kind, std::size(kKinds));
    ASSERT_LT(info.mode, std::size(kModes));
    EXPECT_EQ(kKinds[info.kind], g.row.at("kind"));
    EXPECT_EQ(kModes[info.mode], g.row.at("mode"));
    EXPECT_EQ(info.type == H5N_FLOAT32 ? "f32" : "f64", g.row.at("type"));
    EXPECT_EQ(std::to_string(info.big_endian), g.row.at("big_endian"));
    EXPECT_EQ(dims_text(info), g.row.at("dims"));
    EXPECT_EQ(std::to_string(info.raw_bytes), g.row.at("raw_bytes"));
    EXPECT_EQ(hex(info.model), g.row.at("model"));
    EXPECT_EQ(std::to_string(info.specials), g.row.at("specials"));
    EXPECT_LE(info.header_bytes, 64U);
    EXPECT_EQ(info.header_bytes + info.latents_bytes + info.corrections_bytes + info.specials_bytes,
              g.payload.size());
  }
}

TEST_F(Golden, DecodesToTheSameBits) {
  for (const Payload& g : all_golden()) {
    SCOPED_TRACE(g.path);
    std::vector<uint8_t> chunk(std::stoull(g.row.at("raw_bytes")));
    h5n_error error{};
    ASSERT_EQ(h5n_decode(g.payload.data(), g.payload.size(), chunk.data(), chunk.size(), &error), H5N_OK)
        << error.message;
    EXPECT_EQ(hex(XXH64(chunk.data(), chunk.size(), 0)), g.row.at("xxh64"));
  }
}

// The largest payload whose bits are all flipped: the checksum costs a pass over the payload for each.
constexpr size_t kFlippedPayload = 600;

TEST_F(Golden, AFlippedBitIsNamed) {
  size_t payloads = 0;
  for (Payload& g : all_golden()) {
    if (g.payload.size() > kFlippedPayload) continue;
    SCOPED_TRACE(g.path);
    ++payloads;
    std::vector<uint8_t> chunk(std::stoull(g.row.at("raw_bytes")));
    for (size_t bit = 0; bit < 8 * g.payload.size(); ++bit) {
      g.payload[bit / 8] ^= static_cast<uint8_t>(1U << (bit % 8));
      h5n_error error{};
      ASSERT_NE(h5n_decode(g.payload.data(), g.payload.size(), chunk.data(), chunk.size(), &error), H5N_OK)
          << "bit " << bit;
      ASSERT_NE(std::string(error.message).find("checksum"), std::string::npos)
          << "bit " << bit << ": " << error.message;
      g.payload[bit / 8] ^= static_cast<uint8_t>(1U << (bit % 8));
    }
  }
  EXPECT_GE(payloads, 10U);
}

TEST_F(Golden, ACutPayloadNeverDecodes) {
  for (const Payload& g : all_golden()) {
    SCOPED_TRACE(g.path);
    std::vector<uint8_t> chunk(std::stoull(g.row.at("raw_bytes")));
    const size_t step = std::max<size_t>(1, g.payload.size() / 200);
    for (size_t size = 0; size < g.payload.size(); size += step) {
      // A copy of its own, so that AddressSanitizer sees a read past the cut.
      const std::vector<uint8_t> cut(g.payload.begin(), g.payload.begin() + static_cast<ptrdiff_t>(size));
      h5n_error error{};
      ASSERT_NE(h5n_decode(cut.data(), cut.size(), chunk.data(), chunk.size(), &error), H5N_OK)
          << "size " << size;
      ASSERT_NE(error.message[0], '\0') << "size " << size;
    }
  }
}

}  // namespace

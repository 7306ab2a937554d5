// weights_files_test.cc: SHA-256, the container, the search for weights, and files made to do harm.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "models/factory.h"
#include "weights/carried.h"
#include "weights/places.h"
#include "weights/safetensors.h"
#include "weights/sha256.h"
#include "weights/weights.h"

namespace h5neural {
namespace {

namespace fs = std::filesystem;

ByteSpan span_of(const std::string& s) { return {reinterpret_cast<const uint8_t*>(s.data()), s.size()}; }

// Vectors of NIST: FIPS 180-4's examples, and lengths around the padding's edges checked with coreutils'
// sha256sum.
TEST(Sha256Test, KnownAnswers) {
  const std::vector<std::pair<std::string, std::string>> known = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopq"
       "rstnopqrstu",
       "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
      {std::string(55, 'a'), "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
      {std::string(56, 'a'), "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
      {std::string(63, 'a'), "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
      {std::string(64, 'a'), "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
      {std::string(1000000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}};
  for (const auto& [text, digest] : known) EXPECT_EQ(hex(sha256(span_of(text))), digest) << text.size();
  EXPECT_EQ(hex(short_hash(sha256(span_of("abc")))), "ba7816bf8f01cfea");
}

std::string file_of(const std::string& header, const std::string& data) {
  const uint64_t n = header.size();
  return std::string(reinterpret_cast<const char*>(&n), 8) + header + data;
}

TEST(Safetensors, WhatIsWrittenComesBack) {
  const std::string a = "abcdefgh", b = "xyz";
  Safetensors s;
  s.metadata = {{"key", "value \" \\ \n"}};
  s.tensors["b"] = {"I8", {3}, span_of(b)};
  s.tensors["a"] = {"I32", {2, 1}, span_of(a)};
  const Bytes file = write_safetensors(s);
  const Safetensors back = parse_safetensors(file, "test");
  EXPECT_EQ(back.metadata, s.metadata);
  ASSERT_EQ(back.tensors.size(), 2u);
  EXPECT_EQ(back.tensors.at("a").shape, (std::vector<uint64_t>{2, 1}));
  EXPECT_TRUE(
      std::equal(b.begin(), b.end(), back.tensors.at("b").bytes.begin(), back.tensors.at("b").bytes.end()));
}

struct Hostile {
  const char *what, *header, *said;
  size_t data = 4;
};

class HostileFile : public testing::TestWithParam<Hostile> {};

TEST_P(HostileFile, IsRefusedWithASentence) {
  const std::string file = file_of(GetParam().header, std::string(GetParam().data, '\1'));
  try {
    const WeightsFile w(span_of(file), sha256(span_of(file)), "test.safetensors");
    make_model(w);
    FAIL() << "accepted";
  } catch (const Failure& f) {
    EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
    EXPECT_NE(std::string(f.what()).find(GetParam().said), std::string::npos) << f.what();
  }
}

#define META R"("__metadata__":{"format":"h5neural-weights-1","name":"n","family":"swae","config":"{}"},)"
INSTANTIATE_TEST_SUITE_P(
    All, HostileFile,
    testing::Values(
        Hostile{"empty_header", "", "damaged"}, Hostile{"no_object", "3", "not an object"},
        Hostile{"nested", "{\"a\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}", "too deeply"},
        Hostile{"no_metadata", R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}})", "'format'"},
        Hostile{"metadata_of_numbers", R"({"__metadata__":{"format":1}})", "not a string", 0},
        Hostile{"newer_format", R"({"__metadata__":{"format":"h5neural-weights-9"}})", "h5neural-weights-9",
                0},
        Hostile{"gap", "{" META R"("a":{"dtype":"I8","shape":[3],"data_offsets":[1,4]}})",
                "overlap or leave gaps"},
        Hostile{
            "overlap",
            "{" META
            R"("a":{"dtype":"I8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"I8","shape":[3],"data_offsets":[1,4]}})",
            "overlap"},
        Hostile{"short_of_the_end", "{" META R"("a":{"dtype":"I8","shape":[3],"data_offsets":[0,3]}})",
                "do not fill"},
        Hostile{"beyond_the_end", "{" META R"("a":{"dtype":"I8","shape":[5],"data_offsets":[0,5]}})",
                "larger than the file"},
        Hostile{"offsets_beyond", "{" META R"("a":{"dtype":"I8","shape":[1],"data_offsets":[7,8]}})",
                "'data_offsets'"},
        Hostile{"offsets_backwards", "{" META R"("a":{"dtype":"I8","shape":[1],"data_offsets":[3,2]}})",
                "do not fit"},
        Hostile{"offsets_against_shape", "{" META R"("a":{"dtype":"I16","shape":[1],"data_offsets":[0,4]}})",
                "do not fit"},
        Hostile{"negative_extent", "{" META R"("a":{"dtype":"I8","shape":[-1],"data_offsets":[0,4]}})",
                "'shape'"},
        Hostile{"product_overflows",
                "{" META R"("a":{"dtype":"I8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})",
                "larger than the file"},
        Hostile{"rank", "{" META R"("a":{"dtype":"I8","shape":[1,1,1,1,1,1,1,1,4],"data_offsets":[0,4]}})",
                "at most 8"},
        Hostile{
            "zero_extent",
            "{" META
            R"("a":{"dtype":"I8","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}})",
            "extent is 0"},
        Hostile{"no_shape", "{" META R"("a":{"dtype":"I32","shape":[],"data_offsets":[0,4]}})", "no shape"},
        Hostile{"floats", "{" META R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "none of I8"},
        Hostile{"unknown_type", "{" META R"("a":{"dtype":"Q4","shape":[1],"data_offsets":[0,4]}})",
                "unknown"},
        Hostile{"no_form", "{" META R"("a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}})", "'form'"},
        Hostile{"unknown_family",
                R"({"__metadata__":{"format":"h5neural-weights-1","name":"n","family":"new","config":"{}"}})",
                "newer h5neural", 0},
        Hostile{
            "long_name",
            R"({"__metadata__":{"format":"h5neural-weights-1","name":"0123456789012345678901234567890123456789012345678901234567890123","family":"swae","config":"{}"}})",
            "too long", 0},
        Hostile{
            "no_program",
            R"({"__metadata__":{"format":"h5neural-weights-1","name":"n","family":"swae","config":"{\"form\":\"chunk\"}"}})",
            "is missing", 0}),
    [](const auto& i) { return std::string(i.param.what); });
#undef META

TEST(HostileFile, EveryTruncationIsRefused) {
  Safetensors s;
  const std::string a(64, 'a');
  s.metadata = {{"format", "h5neural-weights-1"}, {"name", "n"}, {"family", "swae"}, {"config", "{}"}};
  s.tensors["a"] = {"I8", {64}, span_of(a)};
  const Bytes whole = write_safetensors(s);
  EXPECT_NO_THROW(parse_safetensors(whole, "test"));
  for (size_t n = 0; n < whole.size(); ++n) {
    EXPECT_THROW(parse_safetensors(ByteSpan(whole).first(n), "test"), Failure) << n;
  }
  Bytes longer = whole;
  longer.push_back(0);
  EXPECT_THROW(parse_safetensors(longer, "test"), Failure);
  Bytes huge = whole;
  huge[7] = 0xff;  // a header of 2^63 bytes
  EXPECT_THROW(parse_safetensors(huge, "test"), Failure);
}

// A model small enough to write by hand: blocks of 2^3, one latent.
Bytes small_model(const std::string& name, const std::string& decode_weight_type = "I8") {
  static const std::string w(8, '\1'), wide(16, '\1'), b(32, '\0'), one(4, '\0');
  Safetensors s;
  s.metadata = {
      {"format", "h5neural-weights-1"},
      {"name", name},
      {"family", "swae"},
      {"config", R"({"form":"block","edge":2})"},
      {"program.encode",
       R"({"inputs":[{"shape":[8],"min":-8192,"max":8192}],"ops":[{"op":"linear","in":[0],"weight":"e","bias":"eb"}],"outputs":[1]})"},
      {"program.decode",
       R"({"inputs":[{"shape":[1],"min":-4096,"max":4096}],"ops":[{"op":"linear","in":[0],"weight":"d","bias":"db"}],"outputs":[1]})"}};
  s.tensors["e"] = {"I8", {1, 8}, span_of(w)};
  s.tensors["eb"] = {"I32", {1}, span_of(one)};
  s.tensors["d"] = {decode_weight_type, {8, 1}, span_of(decode_weight_type == "I8" ? w : wide)};
  s.tensors["db"] = {"I32", {8}, span_of(b)};
  return write_safetensors(s);
}

// A folder that H5NEURAL_WEIGHTS_PATH names while the test runs.
class WeightsSearch : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("h5neural-weights-test-" + std::to_string(getpid()));
    fs::create_directories(folder_);
    const char* old = getenv("H5NEURAL_WEIGHTS_PATH");
    old_ = old == nullptr ? "" : old;
    setenv("H5NEURAL_WEIGHTS_PATH", ("/nowhere:" + folder_.string()).c_str(), 1);
  }
  void TearDown() override {
    old_.empty() ? unsetenv("H5NEURAL_WEIGHTS_PATH") : setenv("H5NEURAL_WEIGHTS_PATH", old_.c_str(), 1);
    fs::remove_all(folder_);
  }
  uint64_t put(const std::string& file, const Bytes& bytes) const {
    std::ofstream out(folder_ / file, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return short_hash(sha256(bytes));
  }
  const WeightsEntry* listed(const std::string& file) {
    entries_ = list_weights();
    for (const auto& e : entries_) {
      if (e.source == (folder_ / file).string()) return &e;
    }
    return nullptr;
  }

  fs::path folder_;
  std::string old_;
  std::vector<WeightsEntry> entries_;
};

TEST_F(WeightsSearch, AMissNamesHashPlacesAndRemedy) {
  try {
    find_model(0x0123456789abcdefu);
    FAIL();
  } catch (const Failure& f) {
    EXPECT_EQ(f.status(), H5N_ERR_NO_MODEL);
    const std::string said = f.what();
    for (const std::string part :
         {"0123456789abcdef", "/nowhere", folder_.c_str(), "H5NEURAL_WEIGHTS_PATH", "compiled in"}) {
      EXPECT_NE(said.find(part), std::string::npos) << part << " is not in: " << said;
    }
    EXPECT_LT(said.find("weights install"), 200u) << "the remedy must survive a cut message";
  }
}

TEST_F(WeightsSearch, FindsAFileThatArrivesLater) {
  const Bytes bytes = small_model("later");
  EXPECT_THROW(find_model(short_hash(sha256(bytes))), Failure);
  const uint64_t hash = put("later.safetensors", bytes);
  const auto model = find_model(hash);
  EXPECT_EQ(model->name(), "later");
  EXPECT_EQ(model->family(), "swae");
  EXPECT_EQ(model->hash(), hash);
  EXPECT_EQ(find_model(hash), model) << "loaded twice";
  ASSERT_NE(listed("later.safetensors"), nullptr);
  EXPECT_EQ(listed("later.safetensors")->sha256, hex(sha256(bytes)));
}

TEST_F(WeightsSearch, AChangedFileIsReadAgain) {
  const uint64_t first = put("same.safetensors", small_model("first"));
  EXPECT_EQ(find_model(first)->name(), "first");
  const uint64_t second = put("same.safetensors", small_model("second one"));
  EXPECT_EQ(find_model(second)->name(), "second one");
  EXPECT_THROW(find_model(first), Failure);
}

TEST_F(WeightsSearch, ARefusedFileIsListedWithItsProblem) {
  Bytes broken = small_model("broken");
  broken.pop_back();
  const uint64_t hash = put("broken.safetensors", broken);
  const WeightsEntry* e = listed("broken.safetensors");
  ASSERT_NE(e, nullptr);
  EXPECT_NE(e->problem.find("refused"), std::string::npos) << e->problem;
  EXPECT_EQ(e->hash, hash);
  try {
    find_model(hash);
    FAIL();
  } catch (const Failure& f) {
    EXPECT_EQ(f.status(), H5N_ERR_CORRUPT);
  }
}

TEST_F(WeightsSearch, ThreadsGetTheSameModel) {
  const uint64_t hash = put("shared.safetensors", small_model("shared"));
  std::vector<std::shared_ptr<const Model>> got(8);
  std::vector<std::thread> threads;
  for (auto& g : got) threads.emplace_back([&g, hash] { g = find_model(hash); });
  for (auto& t : threads) t.join();
  for (const auto& g : got) EXPECT_EQ(g, got[0]);
}

// ---- weights inside of other files

TEST(CarriedRecord, WhatIsWrittenComesBackAndNothingElse) {
  std::vector<Carried> entries(kMostCarried);
  for (size_t i = 0; i < entries.size(); ++i) {
    entries[i] = {sha256(ByteSpan(reinterpret_cast<const uint8_t*>(&i), sizeof i)), i * 1000, UINT64_MAX - i};
  }
  for (const size_t count : {size_t{1}, size_t{9}, kMostCarried}) {
    const Bytes record = write_carried_record(std::span(entries).first(count));
    const auto back = read_carried_record(record);
    ASSERT_TRUE(back.has_value());
    ASSERT_EQ(back->size(), count);
    for (size_t i = 0; i < count; ++i) {
      EXPECT_EQ((*back)[i].sha256, entries[i].sha256);
      EXPECT_EQ((*back)[i].offset, entries[i].offset);
      EXPECT_EQ((*back)[i].length, entries[i].length);
    }
    for (size_t n = 0; n < record.size(); ++n)
      EXPECT_FALSE(read_carried_record(ByteSpan(record).first(n))) << n;
    for (size_t bit = 0; bit < 8 * record.size(); bit += 3) {
      Bytes damaged = record;
      damaged[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      EXPECT_FALSE(read_carried_record(damaged)) << bit;
    }
  }
  EXPECT_THROW(write_carried_record({}), Failure);
  entries.emplace_back();
  EXPECT_THROW(write_carried_record(entries), Failure);
}

// A file as `h5neural repack --embed` leaves it, as far as the engine looks.
Bytes carrying_file(const Bytes& weights, uint64_t offset) {
  const std::string hdf5 = "\x89HDF\r\n\x1a\n";
  Bytes file(2048);
  const Carried entry{sha256(weights), offset, weights.size()};
  const Bytes record = write_carried_record({&entry, 1});
  std::copy(record.begin(), record.end(), file.begin() + 512);
  std::copy(hdf5.begin(), hdf5.end(), file.begin() + 1024);
  file.insert(file.end(), weights.begin(), weights.end());
  return file;
}

TEST_F(WeightsSearch, FindsWeightsInsideOfAnOpenFile) {
  const Bytes weights = small_model("carried");
  const uint64_t hash = short_hash(sha256(weights));
  put("file.h5", carrying_file(weights, 2048));
  EXPECT_THROW(find_model(hash), Failure) << "the file is not open";
  const int descriptor = open((folder_ / "file.h5").c_str(), O_RDONLY);
  ASSERT_GE(descriptor, 0);
  ASSERT_NE(listed("file.h5 (inside)"), nullptr);
  const auto model = find_model(hash);
  EXPECT_EQ(model->name(), "carried");
  for (const auto& m : all_models())
    EXPECT_NE(m->hash(), hash) << "an open file must not decide what is written";
  close(descriptor);
  EXPECT_EQ(find_model(hash), model) << "loaded twice";
  EXPECT_EQ(listed("file.h5 (inside)"), nullptr);
}

TEST_F(WeightsSearch, NamesTheFileThatCarriesThemNoMore) {
  const Bytes weights = small_model("moved");
  put("file.h5", carrying_file(weights, 2047));
  const int descriptor = open((folder_ / "file.h5").c_str(), O_RDONLY);
  ASSERT_GE(descriptor, 0);
  try {
    find_model(short_hash(sha256(weights)));
    FAIL();
  } catch (const Failure& f) {
    EXPECT_EQ(f.status(), H5N_ERR_NO_MODEL);
    EXPECT_NE(std::string(f.what()).find("weights install " + (folder_ / "file.h5").string()),
              std::string::npos)
        << f.what();
  }
  close(descriptor);
}

// Any byte of a valid file overwritten: refused, or a model whose programs are proved. Never a crash.
TEST(HostileFile, AnyByteMayBeWrong) {
  const Bytes whole = small_model("bytes");
  size_t refused = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const uint8_t v : {0, 1, 0x7f, 0xff, int{'"'}, int{'9'}}) {
      Bytes bad = whole;
      bad[at] = v;
      try {
        make_model(WeightsFile(bad, sha256(bad), "test"));
      } catch (const Failure&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, whole.size());
}

}  // namespace
}  // namespace h5neural

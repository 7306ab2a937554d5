// links.h: ways by which data travels, and the time it takes over them as it is and compressed. Arithmetic
// only: knows no HDF5, no engine, and no clock.
//
// The question and its first form, an autoencoder's latents against raw fields over each interconnect of a
// GPU cluster, are those of the SWAE work on numerical relativity; here all speeds of computing are measured.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace h5neural::tool {

struct Link {
  std::string name;
  std::string basis;       // "nominal", "measured" or "given"
  double bytes_per_s = 0;  // of the data carried, one direction
  std::string source;      // where the number comes from
  // A store is written, and read when all is written: it has two speeds, and bytes_per_s is that of both.
  struct Store {
    double write = 0, read = 0;  // bytes/s
  };
  std::optional<Store> store;
};

// Links of public standards, fastest first: line rate, less what line codes and packet headers take.
std::vector<Link> nominal_links();
// A store of these speeds, in bytes/s.
Link store_link(const std::string& name, double write, double read, const std::string& source);
// "NAME=GB/s" for each. Throws ToolError for what is no such thing, and for names that are taken.
void add_given_links(const std::vector<std::string>& texts, std::vector<Link>& links);

// What is to be moved, and how fast the codec is at it. Speeds in bytes of raw data per second, all cores
// together.
struct Work {
  double raw_bytes = 0, ratio = 1, encode = 0, decode = 0;
  double steps = 1;  // chunks that each core handles one after the other, 1 or more
};

// Seconds. `serial`: everything is encoded, then sent, then decoded. `overlapped`: chunk by chunk, three
// stages at work at once, so that the slowest counts, and the two others once, for the first chunk.
struct Times {
  double raw = 0, encode = 0, transfer = 0, decode = 0, serial = 0, overlapped = 0;
};
Times times_over(const Link& link, const Work& work);

// The speed of a link in bytes/s below which compressing takes less time than sending raw; 0: at no speed.
// For links that are no stores.
double break_even_serial(const Work& work);
double break_even_overlapped(const Work& work);

}  // namespace h5neural::tool

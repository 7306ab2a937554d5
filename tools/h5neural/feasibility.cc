// feasibility.cc: `h5neural feasibility`: whether compressing pays on the way over a link: encoding, sending
// less and decoding against sending raw, from speeds measured here and now.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "commands.h"
#include "engine_speed.h"
#include "h5neural/h5neural.h"
#include "links.h"
#include "machine_speed.h"
#include "recode.h"
#include "request.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr double kBusy = 0.9;  // below this share of the processors' time, other programs disturbed
constexpr double kMega = 1e6, kGiga = 1e9;

struct Options {
  std::string in, chunk, disk;
  Request request;
  std::vector<unsigned> efforts{0, 5};
  std::vector<std::string> links;
  unsigned cores = 0;  // 0: all
  uint64_t sample_mib = 8;
  bool json = false, csv = false;
};

// One dataset, one bound: everything that was measured, and what follows.
struct Report {
  std::string dataset, type, bound, processor;
  Sample sample;
  unsigned machine_cores = 1, cores = 1;
  std::vector<EngineSpeed> speeds;
  std::vector<Link> links;
  std::vector<std::string> notes;

  double ratio(const EngineSpeed& s) const {
    return static_cast<double>(sample.sample_bytes) /
           static_cast<double>(std::max<uint64_t>(s.payload_bytes, 1));
  }
  Work work(const EngineSpeed& s) const {
    const uint64_t steps = (sample.chunks + s.cores - 1) / s.cores;
    return {static_cast<double>(sample.raw_bytes), ratio(s), s.encode, s.decode, static_cast<double>(steps)};
  }
};

// ---- measuring

Dataset open_input(hid_t file, const Target& target, const std::string& text) {
  if (target.dataset.empty()) {
    fail("say which dataset: {}:/dataset; `h5neural info {}` lists them", text, text);
  }
  Dataset d = open_dataset(file, list_datasets(file, target).front());
  const std::string why = why_not_served(d);
  if (!why.empty()) fail("{} cannot be compressed: {}", text, why);
  return d;
}

Extents chunk_for(const Dataset& d, const std::string& text) {
  const Extents asked = parse_extents("--chunk", text);
  if (!asked.empty() && asked.size() != d.extents.size()) {
    fail("--chunk {} has {} axes and {} has {}; give one number for each axis", text, asked.size(), d.path,
         d.extents.size());
  }
  return choose_chunk(d, asked);
}

// A core without a chunk of its own does nothing.
unsigned cores_for(const Options& o, Report& r) {
  r.machine_cores = usable_cores();
  if (o.cores > r.machine_cores) {
    fail("--cores {}: this process may use {} here; give 1 to {}, more would not be measured but guessed",
         o.cores, r.machine_cores, r.machine_cores);
  }
  const unsigned asked = o.cores == 0 ? r.machine_cores : o.cores;
  const auto cores = static_cast<unsigned>(std::min<uint64_t>(asked, r.sample.chunks));
  if (cores < asked) {
    r.notes.push_back(fmt::format("{} of {} cores are used: the dataset has {} chunks; --chunk makes more",
                                  cores, asked, r.sample.chunks));
  }
  return cores;
}

void measure_links(const Options& o, Report& r) {
  const auto measured = [&r](const std::string& name, double speed, const std::string& how) {
    r.links.push_back({name, "measured", speed, how, {}});
  };
  measured("memory, 1 core", memory_copy_speed(1), "memcpy of 64 MiB");
  if (r.cores > 1) {
    measured(fmt::format("memory, {} cores", r.cores), memory_copy_speed(r.cores),
             "memcpy of 64 MiB by each");
  }
  try {
    measured("loopback socket", loopback_speed(), "TCP over 127.0.0.1, 256 MiB in blocks of 1 MiB");
  } catch (const ToolError& e) {
    r.notes.push_back(fmt::format("the loopback socket was not measured: {}", e.what()));
  }
  if (o.disk.empty()) return;
  const DiskSpeed disk = disk_speed(o.disk);
  r.links.push_back(
      store_link("disk", disk.write, disk.read,
                 fmt::format("256 MiB written to {} until fsync ends, then read; {:.0f} % of it came "
                             "from memory",
                             o.disk, disk.cached * 100)));
  if (disk.cached > 0.01) {
    r.notes.push_back(fmt::format(
        "the system kept {:.0f} % of the file on {} in memory, so its reading speed is not the disk's",
        disk.cached * 100, o.disk));
  }
}

void measure_speeds(const Options& o, Report& r) {
  for (const unsigned effort : o.efforts) {
    Request request = o.request;
    request.use_effort(effort);
    const h5n_params asked = request.params();
    for (const unsigned cores : r.cores > 1 ? std::vector{1U, r.cores} : std::vector{1U}) {
      if (!o.json && !o.csv) fmt::print(stderr, "measuring effort {}, cores {}\n", effort, cores);
      r.speeds.push_back(measure_engine(r.sample, asked, cores));
      if (r.speeds.back().cpu_share >= kBusy) continue;
      r.notes.push_back(
          fmt::format("effort {}, cores {}: other programs ran too, and encoding got {:.0f} % of its cores; "
                      "measure again on a quiet machine",
                      effort, cores, r.speeds.back().cpu_share * 100));
    }
  }
}

Report measure(const Options& o) {
  const Target target = parse_target(o.in);
  const Handle file = open_file(target.file);
  const Dataset d = open_input(file, target, o.in);
  Report r;
  r.dataset = o.in;
  r.type = fmt::format("{} {}", d.type_text, extents_text(d.extents));
  r.bound = bound_text(o.request.mode(), o.request.bound());
  r.processor = processor_name();
  r.sample = take_sample(d, chunk_for(d, o.chunk), o.sample_mib * kMiB);
  r.cores = cores_for(o, r);
  if (d.ours() != nullptr)
    r.notes.push_back(
        fmt::format("{} is compressed by h5neural already: these are values with an error", d.path));
  measure_links(o, r);
  const std::vector<Link> nominal = nominal_links();
  r.links.insert(r.links.end(), nominal.begin(), nominal.end());
  add_given_links(o.links, r.links);
  measure_speeds(o, r);  // last: it takes long
  return r;
}

// ---- printing

std::string seconds_text(double s) {
  if (s < 1e-3) return fmt::format("{:.3g} us", s * 1e6);
  if (s < 1) return fmt::format("{:.3g} ms", s * 1e3);
  return s < 1000 ? fmt::format("{:.3g} s", s) : fmt::format("{:.0f} s", s);
}

std::string speed_text(double bytes_per_s) {
  return bytes_per_s > 0 ? fmt::format("{:.4g}", bytes_per_s / kGiga) : "never";
}

std::string gain_text(double gain) { return fmt::format("{:.3g}{}", gain, gain > 1 ? "" : " no"); }

void print_measured(const Report& r) {
  fmt::print("{}: {}, chunks {}, {:.4g} MB; {}\n", r.dataset, r.type, extents_text(r.sample.chunk),
             static_cast<double>(r.sample.raw_bytes) / kMega, r.bound);
  fmt::print("\nmeasured here, on {} ({} cores), on {} of {} chunks, {:.4g} MB:\n", r.processor,
             r.machine_cores, r.sample.values.size(), r.sample.chunks,
             static_cast<double>(r.sample.sample_bytes) / kMega);
  fmt::print("{:>6} {:>5} {:>8} {:>12} {:>12}   compressing pays on links below, GB/s\n", "effort", "cores",
             "ratio", "encode MB/s", "decode MB/s");
  for (const EngineSpeed& s : r.speeds) {
    const Work w = r.work(s);
    fmt::print("{:>6} {:>5} {:>8.2f} {:>12.4g} {:>12.4g}   {} one after the other, {} overlapped\n", s.effort,
               s.cores, r.ratio(s), s.encode / kMega, s.decode / kMega, speed_text(break_even_serial(w)),
               speed_text(break_even_overlapped(w)));
  }
}

void print_times(const Report& r, const EngineSpeed& s) {
  const Work w = r.work(s);
  std::vector<std::string> models;
  for (const auto& [name, chunks] : s.models) models.push_back(fmt::format("{} in {}", name, chunks));
  fmt::print("\neffort {}, {} core{}: encode {}, decode {}; models: {}\n", s.effort, s.cores,
             s.cores > 1 ? "s" : "", seconds_text(w.raw_bytes / w.encode),
             seconds_text(w.raw_bytes / w.decode), fmt::join(models, ", "));
  fmt::print("{:20} {:9} {:>9} {:>10} {:>11} {:>10} {:>9} {:>11} {:>9}\n", "link", "speed is", "GB/s", "raw",
             "compressed", "serial", "gain", "overlapped", "gain");
  for (const Link& link : r.links) {
    const Times t = times_over(link, w);
    fmt::print("{:20} {:9} {:>9.4g} {:>10} {:>11} {:>10} {:>9} {:>11} {:>9}\n", link.name, link.basis,
               link.bytes_per_s / kGiga, seconds_text(t.raw), seconds_text(t.transfer),
               seconds_text(t.serial), gain_text(t.raw / t.serial), seconds_text(t.overlapped),
               gain_text(t.raw / t.overlapped));
  }
}

void print_text(const Report& r) {
  print_measured(r);
  for (const EngineSpeed& s : r.speeds) print_times(r, s);
  fmt::print(
      "\nmeasured: on this machine, now, with whatever else ran. nominal: computed from standards, no link "
      "was\n"
      "tried; latency and sharing are left out, so real links are slower and compressing pays more. given: "
      "by\n"
      "--link. Encoding and decoding run on the CPU at both ends, which is taken to be like this one. "
      "Weights of\n"
      "models are taken to be at the other end. serial: encode all, send all, decode all. overlapped: chunk "
      "by\n"
      "chunk, all three at once.\n");
  for (const Link& link : r.links) fmt::print("  {}: {}\n", link.name, link.source);
}

nlohmann::json speed_json(const Report& r, const EngineSpeed& s) {
  const Work w = r.work(s);
  return {{"effort", s.effort},
          {"cores", s.cores},
          {"ratio", w.ratio},
          {"models", s.models},
          {"payload_bytes", s.payload_bytes},
          {"encode_bytes_per_s", s.encode},
          {"decode_bytes_per_s", s.decode},
          {"cpu_share", s.cpu_share},
          {"chunks_per_core", w.steps},
          {"break_even_serial_bytes_per_s", break_even_serial(w)},
          {"break_even_overlapped_bytes_per_s", break_even_overlapped(w)}};
}

nlohmann::json link_json(const Link& l) {
  nlohmann::json j{
      {"name", l.name}, {"basis", l.basis}, {"bytes_per_s", l.bytes_per_s}, {"source", l.source}};
  if (l.store) j.update({{"write_bytes_per_s", l.store->write}, {"read_bytes_per_s", l.store->read}});
  return j;
}

nlohmann::json times_json(const Link& link, const EngineSpeed& s, const Times& t) {
  return {{"link", link.name},
          {"basis", link.basis},
          {"effort", s.effort},
          {"cores", s.cores},
          {"raw_s", t.raw},
          {"encode_s", t.encode},
          {"transfer_s", t.transfer},
          {"decode_s", t.decode},
          {"serial_s", t.serial},
          {"overlapped_s", t.overlapped},
          {"gain_serial", t.raw / t.serial},
          {"gain_overlapped", t.raw / t.overlapped}};
}

void print_json(const Report& r) {
  nlohmann::json speeds = nlohmann::json::array(), links = speeds, times = speeds;
  for (const EngineSpeed& s : r.speeds) speeds.push_back(speed_json(r, s));
  for (const Link& l : r.links) links.push_back(link_json(l));
  for (const EngineSpeed& s : r.speeds) {
    for (const Link& l : r.links) times.push_back(times_json(l, s, times_over(l, r.work(s))));
  }
  fmt::print("{}\n", nlohmann::json{{"dataset", r.dataset},
                                    {"bound", r.bound},
                                    {"raw_bytes", r.sample.raw_bytes},
                                    {"chunk", r.sample.chunk},
                                    {"chunks", r.sample.chunks},
                                    {"sample_chunks", r.sample.values.size()},
                                    {"sample_bytes", r.sample.sample_bytes},
                                    {"processor", r.processor},
                                    {"machine_cores", r.machine_cores},
                                    {"measured", speeds},
                                    {"links", links},
                                    {"times", times},
                                    {"notes", r.notes}}
                         .dump(2));
}

// A field of a CSV line (RFC 4180).
std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\n") == text.npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

void print_csv(const Report& r) {
  fmt::print(
      "link,basis,bytes_per_s,effort,cores,ratio,encode_bytes_per_s,decode_bytes_per_s,raw_s,encode_s,"
      "transfer_s,"
      "decode_s,serial_s,overlapped_s,gain_serial,gain_overlapped\n");
  for (const EngineSpeed& s : r.speeds) {
    for (const Link& l : r.links) {
      const Times t = times_over(l, r.work(s));
      fmt::print("{},{},{},{},{},{}\n", quoted(l.name), l.basis, l.bytes_per_s, s.effort, s.cores,
                 fmt::join(std::vector{r.ratio(s), s.encode, s.decode, t.raw, t.encode, t.transfer, t.decode,
                                       t.serial, t.overlapped, t.raw / t.serial, t.raw / t.overlapped},
                           ","));
    }
  }
}

int run(const Options& given) {
  Options o = given;
  start_hdf5();
  (void)o.request.words();  // a bound or a model that is not served: said before anything is measured
  std::sort(o.efforts.begin(), o.efforts.end());
  o.efforts.erase(std::unique(o.efforts.begin(), o.efforts.end()), o.efforts.end());
  const Report r = measure(o);
  if (o.json) {
    print_json(r);
  } else if (o.csv) {
    print_csv(r);
  } else {
    print_text(r);
  }
  for (const std::string& note : r.notes) fmt::print(stderr, "{}\n", note);
  return kFine;
}

}  // namespace

Command add_feasibility(CLI::App& app) {
  auto* const sub = app.add_subcommand("feasibility",
                                       "Whether compressing pays over a link: encode, send less and decode "
                                       "against sending raw, by measured speeds");
  auto o = std::make_shared<Options>();
  sub->add_option("IN", o->in, "FILE:/dataset")->required();
  o->request.declare_without_effort(*sub);
  sub->add_option("--efforts", o->efforts, "Efforts to measure, 0 (fast) to 9 (small)")
      ->delimiter(',')
      ->check(CLI::Range(0, 9))
      ->capture_default_str();
  sub->add_option("--chunk", o->chunk,
                  "Chunks of these extents (default: the dataset's own, else up to 1 MiB)")
      ->type_name("Z,Y,X");
  sub->add_option("--cores", o->cores, "Cores to measure with, beside one (default: all that it may use)")
      ->check(CLI::Range(1, 4096));
  sub->add_option("--sample", o->sample_mib, "MiB of the dataset to measure on, in chunks spread over it")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  sub->add_option("--link", o->links, "One more link, by its speed for data in one direction")
      ->type_name("NAME=GB/s");
  sub->add_option("--path", o->disk, "Measure the disk of this folder too (writes 256 MiB, leaves nothing)")
      ->type_name("FOLDER");
  auto* const json = sub->add_flag("--json", o->json, "Everything as JSON");
  sub->add_flag("--csv", o->csv, "The times as CSV")->excludes(json);
  return {sub, [o] { return run(*o); }};
}

}  // namespace h5neural::tool

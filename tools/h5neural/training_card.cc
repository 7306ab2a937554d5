// training_card.cc: the card of weights and the figures that it shares with the report; see
// training_report.h.
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "request.h"
#include "tool_error.h"
#include "training_report.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMostTested = 16;

// What the family's own card says from its results on.
std::string own_card(const std::string& weights) {
  std::ifstream in(fs::path(weights).replace_extension(".md"));
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  for (const char* heading : {"## Result", "## Choice"}) {
    if (const size_t at = text.find(heading); at != text.npos) return "\n" + text.substr(at);
  }
  return {};
}

std::string test_table(const Training& t) {
  if (t.test.empty()) return "There are no test chunks.\n";
  std::string out =
      "| bound | payload B without a model | with | times smaller | weights paid back after "
      "|\n|---|---|---|---|---|\n";
  for (const TestRow& r : t.test) {
    out += fmt::format(
        "| {:.4g} | {:.1f} | {:.1f} | {:.2f} | {} |\n", r.bound, r.without, r.with, r.without / r.with,
        r.with < r.without ? fmt::format("{:.0f} chunks", std::ceil(static_cast<double>(t.best().bytes) /
                                                                    (r.without - r.with)))
                           : "never");
  }
  return out;
}

std::string families_table(const Training& t) {
  std::string out =
      "| family | weights B | payload B of a validation chunk | with the weights' share | seconds "
      "|\n|---|---|---|---|---|\n";
  out += fmt::format("| none | 0 | {0:.1f} | {0:.1f} | - |\n", t.learned.without);
  for (const Candidate& c : t.learned.candidates)
    out += fmt::format("| {} | {} | {:.1f} | {:.1f} | {:.0f} |\n", c.family, c.bytes, c.payload, c.total,
                       c.seconds);
  for (const std::string& text : t.learned.not_tried) out += fmt::format("\nNot tried: {}.\n", text);
  return out;
}

}  // namespace

std::vector<TestRow> measure_test(const TrainingData& data, const WriterSetting& setting, uint64_t hash) {
  std::vector<TestRow> rows;
  if (data.count(Part::kTest) == 0) return rows;
  for (const double times : {10.0, 3.0, 1.0, 0.3, 0.1}) {
    WriterSetting s = setting;
    s.bound = s.mode == H5N_PSNR ? s.bound - 20 * std::log10(times) : s.bound * times;
    if (s.bound <= 0) continue;
    const auto without = payload_bytes(data, Part::kTest, kMostTested, s, H5N_MODEL_NONE);
    const auto with = payload_bytes(data, Part::kTest, kMostTested, s, hash);
    rows.push_back({s.bound, mean_of(without), mean_of_smaller(with, without)});
  }
  return rows;
}

void write_card(const Training& t, const std::string& out) {
  const std::string path = fs::path(out).replace_extension(".md");
  std::ofstream card(path);
  const Candidate& best = t.best();
  card << fmt::format("# {}\n\nFamily {}. Written by h5neural train; format: docs/weights-format.md.\n\n",
                      t.request.name, best.family)
       << "| | |\n|---|---|\n"
       << fmt::format("| file | {}, {} bytes |\n| SHA-256 | {} |\n", fs::path(out).filename().string(),
                      best.bytes, best.sha256)
       << fmt::format("| data | {} |\n| SHA-256 of the samples | {} |\n", about(t.data),
                      t.learned.data_sha256)
       << fmt::format(
              "| split | {} chunks to learn from, {} for validation, {} for the test; {}; seed {} |\n",
              t.data.count(Part::kLearn), t.data.count(Part::kValidation), t.data.count(Part::kTest),
              t.data.split(), t.request.seed)
       << fmt::format("| bound | {} |\n| learned in | {:.0f} s |\n",
                      bound_text(t.request.setting.mode, t.request.setting.bound), t.learned.seconds)
       << fmt::format("\n## Command\n\n    {}\n", t.request.command)
       << "\n## Test chunks, as the writer writes them (never learned from nor chosen by)\n\n"
       << test_table(t)
       << fmt::format("\n## What was tried ({} validation chunks; weights spread over {} chunks)\n\n",
                      t.learned.measured, t.learned.spread)
       << families_table(t) << own_card(best.file);
  card.close();
  if (!card) fail("{} cannot be written; is the disk full?", path);
}

}  // namespace h5neural::tool

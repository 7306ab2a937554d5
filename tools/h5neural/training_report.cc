// training_report.cc: the report of a training as one HTML page; see training_report.h.
#include "training_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "chart.h"
#include "h5neural/h5neural.h"
#include "png.h"
#include "request.h"
#include "tool_error.h"

namespace h5neural::tool {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStyle =
    "body{font:15px/1.45 sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse}td,th{border-bottom:1px solid #ccc;padding:.2em .7em;text-align:right}"
    "td:first-child,th:first-child{text-align:left}pre{background:#f4f4f4;padding:.7em;white-space:pre-wrap}"
    "svg text{font:12px sans-serif}svg .grid{stroke:#ddd}figure{display:inline-block;margin:0 1em 1em 0}"
    "img{image-rendering:pixelated;width:280px}figcaption{font-size:13px;max-width:280px}";

// ---- slices

// A chunk of the test, written and read, as doubles.
struct Shown {
  std::vector<double> original, base, decoded;
  uint32_t kind_of_base = H5N_SHOWN_ALL;
};

std::vector<double> doubles(const std::vector<uint8_t>& bytes, uint32_t type) {
  std::vector<double> out(bytes.size() / (type == H5N_FLOAT32 ? sizeof(float) : sizeof(double)));
  for (size_t i = 0; i < out.size(); ++i) {
    if (type == H5N_FLOAT32) {
      float v = 0;
      std::memcpy(&v, bytes.data() + i * sizeof v, sizeof v);
      out[i] = v;
    } else {
      std::memcpy(&out[i], bytes.data() + i * sizeof(double), sizeof(double));
    }
  }
  return out;
}

Shown show_chunk(const Training& t) {
  const TrainingData::Chunk c = t.data.chunk(Part::kTest, t.data.count(Part::kTest) / 2);
  const h5n_params params = params_for(*c.source, t.request.setting, t.best().hash);
  void* payload = nullptr;
  size_t size = 0;
  h5n_error error{};
  Shown s;
  std::vector<uint8_t> base(c.values.size()), decoded(c.values.size());
  bool fine = h5n_encode(&params, c.values.data(), c.values.size(), &payload, &size, &error) == H5N_OK;
  fine = fine && h5n_preview(payload, size, base.data(), base.size(), &s.kind_of_base, &error) == H5N_OK;
  fine = fine && h5n_decode(payload, size, decoded.data(), decoded.size(), &error) == H5N_OK;
  h5n_free(payload);
  if (!fine) fail("{}", error.message);
  s.original = doubles(c.values, params.type);
  s.base = doubles(base, params.type);
  s.decoded = doubles(decoded, params.type);
  return s;
}

// Colours of a number from 0 to 1: dark blue to yellow (a few stops of viridis), and blue, white, red.
constexpr std::array<std::array<double, 3>, 5> kSequential{
    {{68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {94, 201, 98}, {253, 231, 37}}};
constexpr std::array<std::array<double, 3>, 3> kDiverging{{{33, 75, 160}, {245, 245, 245}, {178, 24, 43}}};

template <size_t N>
void colour(const std::array<std::array<double, 3>, N>& stops, double v, std::vector<uint8_t>& rgb) {
  const double at = std::clamp(v, 0.0, 1.0) * (N - 1);
  const auto k = std::min(static_cast<size_t>(at), N - 2);
  for (size_t i = 0; i < 3; ++i)
    rgb.push_back(static_cast<uint8_t>(
        std::lround(stops[k][i] + (at - static_cast<double>(k)) * (stops[k + 1][i] - stops[k][i]))));
}

// The middle of a chunk [.., height, width]; every n-th point where it is large.
template <size_t N>
std::string slice(const std::vector<double>& values, const Extents& shape, double low, double high,
                  const std::array<std::array<double, 3>, N>& stops, const std::string& caption) {
  constexpr size_t kMostPixels = 400;
  const size_t width = shape.back(), height = shape.size() > 1 ? shape[shape.size() - 2] : 1;
  const size_t step = 1 + std::max(width, height) / kMostPixels;
  const size_t slices = values.size() / (width * height), first = slices / 2 * width * height;
  Image image;
  image.width = static_cast<uint32_t>((width + step - 1) / step);
  image.height = static_cast<uint32_t>((height + step - 1) / step);
  for (size_t y = 0; y < height; y += step) {
    for (size_t x = 0; x < width; x += step)
      colour(stops, (values[first + y * width + x] - low) / (high > low ? high - low : 1), image.rgb);
  }
  return fmt::format(
      "<figure><img alt=\"{0}\" src=\"data:image/png;base64,{1}\"><figcaption>{0}</figcaption></figure>\n",
      html_text(caption), base64(png_of(image)));
}

std::string slices(const Training& t) {
  if (t.data.count(Part::kTest) == 0) return "<p>There are no test chunks.</p>\n";
  const Shown s = show_chunk(t);
  const auto [low, high] = std::minmax_element(s.original.begin(), s.original.end());
  std::vector<double> error(s.original.size());
  double largest = 0;
  for (size_t i = 0; i < error.size(); ++i) {
    error[i] = s.decoded[i] - s.original[i];
    largest = std::max(largest, std::abs(error[i]));
  }
  const char* const base = s.kind_of_base == H5N_SHOWN_BASE     ? "base: what the model alone makes of it"
                           : s.kind_of_base == H5N_SHOWN_COARSE ? "coarse levels (this chunk takes no model)"
                                                                : "as it is read (this chunk has no base)";
  const Extents& shape = t.data.sample();
  return slice(s.original, shape, *low, *high, kSequential,
               fmt::format("original, {:.4g} to {:.4g}", *low, *high)) +
         slice(s.base, shape, *low, *high, kSequential, base) +
         slice(error, shape, -largest, largest, kDiverging,
               fmt::format("error after the corrections, at most {:.4g}", largest));
}

// ---- curves

// Rows "| seconds | step | stage | training | validation |" of a family, one series a stage.
std::string curve(const Candidate& c) {
  std::ifstream in(fs::path(c.file).replace_extension(".rows"));
  Chart chart{"seconds", "loss (of each stage its own)", false, true, {}};
  std::vector<Series> learned;
  for (std::string row; std::getline(in, row);) {
    std::vector<std::string> cells;
    std::istringstream cut(row);
    for (std::string cell; std::getline(cut, cell, '|');) cells.push_back(cell);
    if (cells.size() < 6) continue;
    const auto number = [&cells](size_t i) { return std::strtod(cells[i].c_str(), nullptr); };
    const std::string stage = cells[3].substr(1, cells[3].size() - 2);
    const bool has_training = cells[4] != " - ";
    const std::string name = has_training ? stage + ", validation" : "payload with the weights' share, bytes";
    if (chart.series.empty() || chart.series.back().name != name) {
      chart.series.push_back({name, {}});
      if (has_training) learned.push_back({stage + ", training", {}});
    }
    chart.series.back().points.emplace_back(number(1), number(5));
    if (has_training) learned.back().points.emplace_back(number(1), number(4));
  }
  if (chart.series.empty()) return {};
  chart.series.insert(chart.series.end(), learned.begin(), learned.end());
  if (learned.empty()) chart.y = "bytes of a validation chunk";
  return fmt::format("<h3>{}</h3>\n{}", html_text(c.family), svg_of(chart));
}

const char* bound_axis(uint32_t mode) {
  if (mode == H5N_PSNR) return "PSNR, dB";
  return mode == H5N_ABS     ? "absolute bound"
         : mode == H5N_REL   ? "bound relative to a chunk's range"
         : mode == H5N_NRMSE ? "NRMSE"
                             : "NRMSE of each patch";
}

std::string ratios(const Training& t) {
  if (t.test.empty()) return {};
  Chart chart{bound_axis(t.request.setting.mode),
              "times smaller than raw",
              t.request.setting.mode != H5N_PSNR,
              true,
              {{"with " + t.best().family, {}}, {"without a model", {}}}};
  const auto raw = static_cast<double>(t.data.raw_bytes());
  for (const TestRow& r : t.test) {
    chart.series[0].points.emplace_back(r.bound, raw / r.with);
    chart.series[1].points.emplace_back(r.bound, raw / r.without);
  }
  return svg_of(chart);
}

std::string row(const std::vector<std::string>& cells, const char* tag = "td") {
  std::string out = "<tr>";
  for (const std::string& c : cells) out += fmt::format("<{0}>{1}</{0}>", tag, html_text(c));
  return out + "</tr>\n";
}

std::string families_of(const Training& t) {
  std::string out = "<table>" + row({"family", "weights, bytes", "payload of a validation chunk",
                                     "with the weights' share", "times smaller than none", "seconds"},
                                    "th");
  out += row({"none", "0", fmt::format("{:.1f}", t.learned.without), fmt::format("{:.1f}", t.learned.without),
              "1.00", "-"});
  for (const Candidate& c : t.learned.candidates) {
    out += row({c.family, fmt::format("{}", c.bytes), fmt::format("{:.1f}", c.payload),
                fmt::format("{:.1f}", c.total), fmt::format("{:.2f}", t.learned.without / c.total),
                fmt::format("{:.0f}", c.seconds)});
  }
  out += "</table>\n";
  for (const std::string& text : t.learned.not_tried)
    out += fmt::format("<p>Not tried: {}.</p>\n", html_text(text));
  return out;
}

std::string tests_of(const Training& t) {
  std::string out = "<table>" + row({"bound", "without a model", "with", "times smaller"}, "th");
  for (const TestRow& r : t.test) {
    out += row({fmt::format("{:.4g}", r.bound), fmt::format("{:.1f} B", r.without),
                fmt::format("{:.1f} B", r.with), fmt::format("{:.2f}", r.without / r.with)});
  }
  return out + "</table>\n";
}

}  // namespace

void write_report(const Training& t, const std::string& path) {
  std::ofstream out(path);
  out << "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>"
      << html_text(t.request.name) << "</title><style>" << kStyle << "</style></head><body>\n<h1>"
      << html_text(t.request.name) << "</h1>\n<p>" << html_text(about(t.data)) << "</p>\n<p>"
      << fmt::format("{} chunks to learn from, {} for validation, {} for the test; {}. Bound: {}. {:.0f} s.",
                     t.data.count(Part::kLearn), t.data.count(Part::kValidation), t.data.count(Part::kTest),
                     t.data.split(), bound_text(t.request.setting.mode, t.request.setting.bound),
                     t.learned.seconds)
      << "</p>\n<pre>" << html_text(t.request.command) << "</pre>\n<h2>What was tried</h2>\n<p>"
      << fmt::format(
             "Mean bytes of {} validation chunks as the writer writes them; weights spread over {} chunks.",
             t.learned.measured, t.learned.spread)
      << "</p>\n"
      << families_of(t)
      << "<h2>Ratio against bound</h2>\n<p>Test chunks, never learned from nor chosen by, as "
      << "the writer writes them; weights not counted.</p>\n"
      << ratios(t) << tests_of(t) << "<h2>One test chunk</h2>\n<p>Its middle slice.</p>\n"
      << slices(t) << "<h2>Curves</h2>\n";
  for (const Candidate& c : t.learned.candidates) out << curve(c);
  out << "</body></html>\n";
  out.close();
  if (!out) fail("{} cannot be written; is its folder there?", path);
}

}  // namespace h5neural::tool

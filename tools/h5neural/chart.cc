// chart.cc: see chart.h.
#include "chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace h5neural::tool {
namespace {

constexpr double kWidth = 640, kHeight = 360, kLeft = 70, kRight = 15, kTop = 15, kBottom = 45, kLine = 16;
constexpr std::array kColours{"#1b6ca8", "#c8553d", "#4a8c3f", "#8a5fa8", "#a8862b", "#555555"};

// One axis: from values to places.
class Axis {
 public:
  Axis(bool log, double from, double to) : log_(log), from_(from), to_(to) {}

  bool shows(double v) const { return std::isfinite(v) && (!log_ || v > 0); }
  void take(double v) {
    if (!shows(v)) return;
    low_ = std::min(low_, mapped(v));
    high_ = std::max(high_, mapped(v));
  }
  void settle() {
    if (!(low_ <= high_)) low_ = 0, high_ = 1;
    const double margin = high_ > low_ ? 0.05 * (high_ - low_) : 0.5;
    low_ -= margin;
    high_ += margin;
  }
  double place(double v) const { return from_ + (mapped(v) - low_) / (high_ - low_) * (to_ - from_); }
  // Round numbers along it: 1, 2 or 5 times powers of ten.
  std::vector<double> ticks() const {
    std::vector<double> out;
    if (log_ && high_ - low_ > 1) {
      for (int e = static_cast<int>(std::ceil(low_)); e <= high_; ++e) out.push_back(std::pow(10.0, e));
      return out;
    }
    const double low = log_ ? std::pow(10.0, low_) : low_, high = log_ ? std::pow(10.0, high_) : high_;
    const double power = std::pow(10.0, std::floor(std::log10(high - low)));
    const double times = (high - low) / power;
    const double step = times > 5 ? 2 * power : times > 2 ? power : power / 2;
    for (double v = std::ceil(low / step); v * step <= high; v += 1) out.push_back(v * step);
    return out;
  }

 private:
  double mapped(double v) const { return log_ ? std::log10(v) : v; }
  bool log_;
  double from_, to_;
  double low_ = std::numeric_limits<double>::infinity(), high_ = -low_;
};

std::string grid(const Axis& x, const Axis& y) {
  std::string out;
  for (const double v : x.ticks()) {
    out += fmt::format(
        "<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/>"
        "<text x=\"{0:.1f}\" y=\"{3}\" text-anchor=\"middle\">{4:.4g}</text>\n",
        x.place(v), kTop, kHeight - kBottom, kHeight - kBottom + 16, v);
  }
  for (const double v : y.ticks()) {
    out += fmt::format(
        "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>"
        "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:.4g}</text>\n",
        kLeft, kWidth - kRight, y.place(v), kLeft - 6, y.place(v) + 4, v);
  }
  return out;
}

std::string line(const Series& s, const char* colour, const Axis& x, const Axis& y) {
  std::string points, dots;
  for (const auto& [a, b] : s.points) {
    if (!x.shows(a) || !y.shows(b)) continue;
    points += fmt::format("{:.1f},{:.1f} ", x.place(a), y.place(b));
    dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2\" fill=\"{}\"/>", x.place(a), y.place(b),
                        colour);
  }
  return fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>{}\n", points,
                     colour, dots);
}

}  // namespace

std::string html_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string svg_of(const Chart& chart) {
  Axis x(chart.log_x, kLeft, kWidth - kRight), y(chart.log_y, kHeight - kBottom, kTop);
  for (const Series& s : chart.series) {
    for (const auto& [a, b] : s.points) {
      if (!x.shows(a) || !y.shows(b)) continue;
      x.take(a);
      y.take(b);
    }
  }
  x.settle();
  y.settle();
  std::string out = fmt::format("<svg viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\">\n",
                                kWidth, kHeight + kLine * static_cast<double>(chart.series.size())) +
                    grid(x, y);
  double legend = kHeight + kLine - 4;  // below, where no line is
  for (size_t k = 0; k < chart.series.size(); ++k) {
    const char* const colour = kColours[k % kColours.size()];
    out += line(chart.series[k], colour, x, y);
    out += fmt::format("<text x=\"{}\" y=\"{}\" fill=\"{}\">{}</text>\n", kLeft, legend, colour,
                       html_text(chart.series[k].name));
    legend += kLine;
  }
  out += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                     (kLeft + kWidth - kRight) / 2, kHeight - 8, html_text(chart.x));
  out += fmt::format(
      "<text transform=\"translate(14 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n</svg>\n",
      (kTop + kHeight - kBottom) / 2, html_text(chart.y));
  return out;
}

}  // namespace h5neural::tool

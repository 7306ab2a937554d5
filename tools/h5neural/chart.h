// chart.h: lines over two axes as an SVG picture inside of an HTML page. Knows nothing of what they mean.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace h5neural::tool {

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;
};

struct Chart {
  std::string x, y;  // what the axes show, with units
  bool log_x = false, log_y = false;
  std::vector<Series> series;
};

// Points that an axis cannot show (not finite; 0 and below on a logarithmic one) are left out.
std::string svg_of(const Chart& chart);
// With <, > and & as HTML has them.
std::string html_text(const std::string& text);

}  // namespace h5neural::tool

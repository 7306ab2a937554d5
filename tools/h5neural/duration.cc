// duration.cc: see duration.h.
#include "duration.h"

#include <cmath>
#include <cstdlib>
#include <string_view>

#include "tool_error.h"

namespace h5neural::tool {

double parse_duration(const std::string& option, const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  const std::string_view unit(end);
  const double times = unit.empty() || unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : 0;
  const double seconds = number * times;
  if (end == text.c_str() || !(seconds >= 1 && std::isfinite(seconds)))
    fail("{} {} is no time; give seconds, minutes or hours, such as 90s, 20m or 2h", option, text);
  return seconds;
}

}  // namespace h5neural::tool

// duration.h: spans of time as users type them.
#pragma once
#include <string>

namespace h5neural::tool {

// Seconds of "20m", "90s", "1.5h" or "300" (seconds), as given to `option`. Throws ToolError.
double parse_duration(const std::string& option, const std::string& text);

}  // namespace h5neural::tool

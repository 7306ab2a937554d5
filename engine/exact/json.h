// json.h: JSON from a stranger, read with care: bounded depth, no exception of the parser's own leaves, and
// each field is asked for by name and type. Knows nothing of what the fields mean.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace h5neural {

using Json = nlohmann::json;

// Throws Failure(H5N_ERR_CORRUPT) naming `what` when `text` is not one JSON object at most 16 levels deep.
Json parse_json_object(std::string_view text, const std::string& what);

// A field of an object. Each throws Failure(H5N_ERR_CORRUPT), naming `what` and the key, when it is missing,
// of another type, or out of range.
const Json& json_field(const Json& object, const char* key, const std::string& what);
int64_t json_int(const Json& object, const char* key, int64_t lo, int64_t hi, const std::string& what);
std::string json_string(const Json& object, const char* key, const std::string& what);
std::vector<int64_t> json_ints(const Json& object, const char* key, size_t most, int64_t lo, int64_t hi,
                               const std::string& what);
const Json& json_array(const Json& object, const char* key, size_t most, const std::string& what);

}  // namespace h5neural

// json.cc: see json.h.
#include "exact/json.h"

#include "support/failure.h"

namespace h5neural {
namespace {

constexpr int kDepth = 16;

[[noreturn]] void refuse(const std::string& what, const std::string& problem) {
  throw Failure(H5N_ERR_CORRUPT, "h5neural: " + what + " is refused: " + problem +
                                     "; get the weights file again from where it came");
}

std::string in_quotes(std::string_view key) {
  std::string q(1, '\'');
  return q.append(key).append(1, '\'');
}

int64_t integer(const Json& j, int64_t lo, int64_t hi, const std::string& what, const std::string& key) {
  const bool fits = j.is_number_integer() && (!j.is_number_unsigned() || j.get<uint64_t>() <= INT64_MAX);
  if (!fits || j.get<int64_t>() < lo || j.get<int64_t>() > hi) {
    refuse(what,
           in_quotes(key) + " is not an integer from " + std::to_string(lo) + " to " + std::to_string(hi));
  }
  return j.get<int64_t>();
}

}  // namespace

Json parse_json_object(std::string_view text, const std::string& what) {
  Json j;
  try {
    j = Json::parse(text.begin(), text.end(), [&](int depth, Json::parse_event_t, Json&) {
      if (depth > kDepth) refuse(what, "its JSON is nested too deeply");
      return true;
    });
  } catch (const Json::exception&) {
    refuse(what, "its JSON is damaged");
  }
  if (!j.is_object()) refuse(what, "its JSON is not an object");
  return j;
}

const Json& json_field(const Json& object, const char* key, const std::string& what) {
  if (!object.is_object()) refuse(what, "an object was expected around " + in_quotes(key));
  const auto it = object.find(key);
  if (it == object.end()) refuse(what, in_quotes(key) + " is missing");
  return *it;
}

int64_t json_int(const Json& object, const char* key, int64_t lo, int64_t hi, const std::string& what) {
  return integer(json_field(object, key, what), lo, hi, what, key);
}

std::string json_string(const Json& object, const char* key, const std::string& what) {
  const Json& j = json_field(object, key, what);
  if (!j.is_string()) refuse(what, in_quotes(key) + " is not a string");
  return j.get<std::string>();
}

const Json& json_array(const Json& object, const char* key, size_t most, const std::string& what) {
  const Json& j = json_field(object, key, what);
  if (!j.is_array() || j.size() > most) {
    refuse(what, in_quotes(key) + " is not an array of at most " + std::to_string(most));
  }
  return j;
}

std::vector<int64_t> json_ints(const Json& object, const char* key, size_t most, int64_t lo, int64_t hi,
                               const std::string& what) {
  std::vector<int64_t> v;
  for (const Json& e : json_array(object, key, most, what)) v.push_back(integer(e, lo, hi, what, key));
  return v;
}

}  // namespace h5neural

#include "fields.h"

#include <utility>

#include <fmt/core.h>

#include "api_error.h"

namespace pith::server {

Fields::Fields(const json::Document& object, std::string path) : object_(object), path_(std::move(path)) {
  if (object.is_object()) return;
  if (path_.empty()) throw ApiError(400, "the body: must be a JSON object");
  path_.pop_back();  // the full stop
  throw refused(path_, "must be an object");
}

const json::Document* Fields::find(const char* name) const {
  const json::Document* found = object_.find(name);
  return found == nullptr || found->is_null() ? nullptr : found;
}

const json::Document& Fields::at(const char* name) const {
  const json::Document* found = find(name);
  if (found == nullptr) throw refused(name_of(name), "is missing");
  return *found;
}

std::optional<bool> Fields::boolean(const char* name) const {
  const json::Document* found = find(name);
  if (found == nullptr) return {};
  if (!found->is_boolean()) throw refused(name_of(name), "must be true or false");
  return found->boolean();
}

std::optional<int64_t> Fields::integer(const char* name) const {
  const json::Document* found = find(name);
  if (found == nullptr) return {};
  if (!found->is_integer()) throw refused(name_of(name), "must be an integer of 64 bits");
  return found->is_natural() ? int64_t(found->natural()) : found->integer();
}

std::optional<uint32_t> Fields::natural(const char* name, uint32_t least, uint32_t most) const {
  const json::Document* found = find(name);
  if (found == nullptr) return {};
  if (!found->is_natural() || found->natural() < least || found->natural() > most)
    throw refused(name_of(name), fmt::format("must be an integer within {} .. {}", least, most));
  return uint32_t(found->natural());
}

std::optional<double> Fields::number(const char* name, double least, double most, bool excludes_least) const {
  const json::Document* found = find(name);
  if (found == nullptr) return {};
  const bool is_number = found->is_integer() || found->is_real();
  const double value = is_number ? found->number() : 0;
  // Written so that NaN fails.
  if (!is_number || !(value >= least && value <= most) || (excludes_least && value == least))
    throw refused(name_of(name),
                  fmt::format("must be a number within {}{} .. {}", least, excludes_least ? " (excluded)" : "", most));
  return value;
}

std::optional<std::string> Fields::string(const char* name) const {
  const json::Document* found = find(name);
  if (found == nullptr) return {};
  if (!found->is_string()) throw refused(name_of(name), "must be a string");
  return found->string();
}

}  // namespace pith::server

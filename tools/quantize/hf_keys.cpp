#include "hf_keys.h"

#include <fmt/core.h>

namespace pith::quantize {

HfKeys::HfKeys(json::Document object, std::string prefix) : object_(std::move(object)), prefix_(std::move(prefix)) {
  if (!object_.is_object()) refuse("", "is not an object of keys");
}

void HfKeys::refuse(std::string_view name, const std::string& why) const {
  const std::string key = prefix_ + std::string(name);
  throw std::runtime_error(fmt::format("key {}: {}", json::quoted(key), why));
}

const json::Document* HfKeys::find(std::string_view name) {
  pass_over(name);
  const json::Document* found = object_.find(name);
  return found == nullptr || found->is_null() ? nullptr : found;
}

const json::Document& HfKeys::required(std::string_view name) {
  const json::Document* found = find(name);
  if (found == nullptr) refuse(name, "missing");
  return *found;
}

double HfKeys::number(std::string_view name, std::optional<double> otherwise) {
  const json::Document* found = otherwise ? find(name) : &required(name);
  if (found == nullptr) return *otherwise;
  if (!found->is_real() && !found->is_integer()) refuse(name, "is not a number");
  return found->number();
}

uint64_t HfKeys::natural(std::string_view name, std::optional<uint64_t> otherwise) {
  const json::Document* found = otherwise ? find(name) : &required(name);
  if (found == nullptr) return *otherwise;
  if (!found->is_natural() || found->natural() > uint64_t(1) << 53) refuse(name, "is not a natural number up to 2^53");
  return found->natural();
}

bool HfKeys::boolean(std::string_view name, bool otherwise) {
  const json::Document* found = find(name);
  if (found != nullptr && !found->is_boolean()) refuse(name, "is neither true nor false");
  return found == nullptr ? otherwise : found->boolean();
}

std::string HfKeys::string(std::string_view name, std::string_view otherwise) {
  const json::Document* found = find(name);
  if (found != nullptr && !found->is_string()) refuse(name, "is not a string");
  return found == nullptr ? std::string(otherwise) : found->string();
}

std::vector<double> HfKeys::numbers(std::string_view name) {
  const json::Document& list = required(name);
  if (!list.is_array()) refuse(name, "is not an array of numbers");
  std::vector<double> out;
  for (const json::Document& element : list.elements()) {
    if (!element.is_real() && !element.is_integer()) refuse(name, "is not an array of numbers");
    out.push_back(element.number());
  }
  return out;
}

std::vector<const json::Document::Member*> HfKeys::unread() const {
  std::vector<const json::Document::Member*> out;
  for (const json::Document::Member& member : object_.members()) {
    if (!member.second.is_null() && !read_.contains(member.first)) out.push_back(&member);
  }
  return out;
}

}  // namespace pith::quantize

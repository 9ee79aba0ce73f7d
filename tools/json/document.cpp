#include "document.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace pith::json {
namespace {

using Json = nlohmann::ordered_json;

[[noreturn]] void refuse(const char* expected) { throw Error(std::string("is not ") + expected); }

Json json_of(const Document& document) {
  if (document.is_null()) return nullptr;
  if (document.is_boolean()) return document.boolean();
  if (document.is_natural()) return document.natural();
  if (document.is_integer()) return document.integer();
  if (document.is_real()) return document.number();
  if (document.is_string()) return document.string();
  Json out = document.is_array() ? Json::array() : Json::object();
  if (document.is_array()) {
    for (const Document& element : document.elements()) out.push_back(json_of(element));
  } else {
    for (const auto& [key, value] : document.members()) out[key] = json_of(value);
  }
  return out;
}

Document document_of(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean: return json.get<bool>();
    case Json::value_t::number_integer: return json.get<int64_t>();
    case Json::value_t::number_unsigned: return json.get<uint64_t>();
    case Json::value_t::number_float: return json.get<double>();
    case Json::value_t::string: return json.get<std::string>();
    case Json::value_t::array: {
      Document out = Document::array();
      for (const Json& element : json) out.push_back(document_of(element));
      return out;
    }
    case Json::value_t::object: {
      Document out = Document::object();
      for (const auto& [key, value] : json.items()) out[key] = document_of(value);
      return out;
    }
    default: return {};
  }
}

}  // namespace

Document::Document(std::initializer_list<Document> list) {
  const bool is_object = std::all_of(list.begin(), list.end(), [](const Document& e) {
    return e.is_array() && e.elements().size() == 2 && e.elements()[0].is_string();
  });
  if (!is_object) {
    value_ = std::vector<Document>(list);
    return;
  }
  std::vector<Member> members;
  for (const Document& e : list) members.emplace_back(e.elements()[0].string(), e.elements()[1]);
  value_ = std::move(members);
}

Document Document::parse(std::string_view text) {
  try {
    return document_of(Json::parse(text.begin(), text.end()));
  } catch (const nlohmann::json::exception& error) {
    throw Error(error.what());
  }
}

bool Document::boolean() const {
  if (!is_boolean()) refuse("true or false");
  return std::get<bool>(value_);
}

double Document::number() const {
  if (is_real()) return std::get<double>(value_);
  if (!is_integer()) refuse("a number");
  return is_natural() ? double(std::get<uint64_t>(value_)) : double(std::get<int64_t>(value_));
}

int64_t Document::integer() const {
  if (!is_integer()) refuse("an integer");
  return is_natural() ? int64_t(std::get<uint64_t>(value_)) : std::get<int64_t>(value_);
}

uint64_t Document::natural() const {
  if (!is_natural()) refuse("a natural number");
  return std::get<uint64_t>(value_);
}

const std::string& Document::string() const {
  if (!is_string()) refuse("a string");
  return std::get<std::string>(value_);
}

const std::vector<Document>& Document::elements() const {
  if (!is_array()) refuse("an array");
  return std::get<std::vector<Document>>(value_);
}

const std::vector<Document::Member>& Document::members() const {
  if (!is_object()) refuse("an object");
  return std::get<std::vector<Member>>(value_);
}

const Document& Document::operator[](size_t index) const {
  if (index >= elements().size()) throw Error("has no element " + std::to_string(index));
  return elements()[index];
}

const Document* Document::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  const auto found = std::find_if(members().begin(), members().end(), [&](const Member& m) { return m.first == key; });
  return found == members().end() ? nullptr : &found->second;
}

const Document& Document::operator[](std::string_view key) const {
  const Document* found = find(key);
  if (found == nullptr) throw Error("has no \"" + std::string(key) + "\"");
  return *found;
}

Document& Document::operator[](const std::string& key) {
  if (is_null()) *this = object();
  if (find(key) == nullptr) {
    members();  // refuses what is no object
    std::get<std::vector<Member>>(value_).emplace_back(key, Document());
  }
  return *const_cast<Document*>(find(key));
}

void Document::remove(std::string_view key) {
  if (is_object())
    std::erase_if(std::get<std::vector<Member>>(value_), [&](const Member& m) { return m.first == key; });
}

void Document::push_back(Document element) {
  if (is_null()) *this = array();
  elements();  // refuses what is no array
  std::get<std::vector<Document>>(value_).push_back(std::move(element));
}

std::string Document::dump(int indent) const {
  return json_of(*this).dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace pith::json

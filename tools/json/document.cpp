#include "document.h"

#include <algorithm>
#include <optional>

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

// Makes a Document of the parser's events: without recursion, and in linear time for objects of any size.
class Builder {
 public:
  Document document;  // complete, once the parser has seen the end
  std::string error;  // what stopped the parser

  bool null() { return add({}); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(int64_t value) { return add(value); }
  bool number_unsigned(uint64_t value) { return add(value); }
  bool number_float(double value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }  // JSON has none
  bool start_object(size_t) { return open(); }
  bool start_array(size_t) { return open(); }
  bool key(std::string& name) {
    levels_.back().key = std::move(name);
    return true;
  }
  bool end_object() {
    std::vector<Document::Member> members = std::move(levels_.back().members);
    levels_.pop_back();
    if (const std::string* twice = repeated_key(members))
      return fail("the member " + json::quoted(*twice) + " is there twice");
    return add(Document::of_members(std::move(members)));
  }
  bool end_array() {
    std::vector<Document> elements = std::move(levels_.back().elements);
    levels_.pop_back();
    return add(Document::of_elements(std::move(elements)));
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& what) { return fail(what.what()); }

 private:
  struct Level {  // an array or an object that is still open
    std::vector<Document> elements;
    std::vector<Document::Member> members;
    std::optional<std::string> key;  // of an object: of the member that comes next
  };

  bool fail(std::string why) {
    error = std::move(why);
    return false;
  }
  bool open() {
    if (levels_.size() == Document::kMaxDepth)
      return fail("more than " + std::to_string(Document::kMaxDepth) + " levels");
    levels_.emplace_back();
    return true;
  }
  bool add(Document value) {
    if (++n_values_ > Document::kMaxValues)
      return fail("more than " + std::to_string(Document::kMaxValues) + " values");
    if (levels_.empty()) document = std::move(value);
    else if (levels_.back().key) levels_.back().members.emplace_back(std::move(*levels_.back().key), std::move(value));
    else levels_.back().elements.push_back(std::move(value));
    return true;
  }
  static const std::string* repeated_key(const std::vector<Document::Member>& members) {
    std::vector<const std::string*> keys;
    for (const Document::Member& member : members) keys.push_back(&member.first);
    const auto before = [](const std::string* a, const std::string* b) { return *a < *b; };
    std::sort(keys.begin(), keys.end(), before);
    const auto same = [](const std::string* a, const std::string* b) { return *a == *b; };
    const auto found = std::adjacent_find(keys.begin(), keys.end(), same);
    return found == keys.end() ? nullptr : *found;
  }

  std::vector<Level> levels_;
  size_t n_values_ = 0;
};

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
  Builder builder;
  if (Json::sax_parse(text.begin(), text.end(), &builder)) return std::move(builder.document);
  for (char& c : builder.error) c = c >= ' ' && c <= '~' ? c : '?';  // the parser quotes bytes of the text
  throw Error(builder.error);
}

Document Document::of_elements(std::vector<Document> elements) {
  Document out;
  out.value_ = std::move(elements);
  return out;
}

Document Document::of_members(std::vector<Member> members) {
  Document out;
  out.value_ = std::move(members);
  return out;
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

void Document::add(std::string key, Document value) {
  if (is_null()) *this = object();
  members();  // refuses what is no object
  std::get<std::vector<Member>>(value_).emplace_back(std::move(key), std::move(value));
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

std::string quoted(std::string_view text) {
  constexpr size_t kShown = 120;
  return Json(text.substr(0, kShown)).dump(-1, ' ', true, Json::error_handler_t::replace) +
         (text.size() > kShown ? "..." : "");
}

}  // namespace pith::json

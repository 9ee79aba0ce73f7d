// JSON documents as the tools make and read them. The library under it, whose header takes longer to compile than any of our
// own files, is known to document.cpp alone.
#ifndef PITH_JSON_DOCUMENT_H
#define PITH_JSON_DOCUMENT_H

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pith::json {

// Text that is no JSON, or a value that is not what is asked for.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A value of JSON. An object keeps its members in the order in which they came. Lists in braces are arrays, but for those
// whose every element is a pair that begins with a string: they are objects.
class Document {
 public:
  using Member = std::pair<std::string, Document>;

  Document() = default;  // null
  Document(bool value) : value_(value) {}
  Document(std::signed_integral auto value) : value_(int64_t(value)) {}
  Document(std::unsigned_integral auto value) : value_(uint64_t(value)) {}
  Document(double value) : value_(value) {}
  Document(const char* text) : value_(std::string(text)) {}
  Document(std::string_view text) : value_(std::string(text)) {}
  Document(std::string text) : value_(std::move(text)) {}
  Document(std::initializer_list<Document> list);
  template <typename T>
  Document(const std::vector<T>& list) : value_(std::vector<Document>(list.begin(), list.end())) {}
  Document(const std::map<std::string, std::string>& object)
      : value_(std::vector<Member>(object.begin(), object.end())) {}

  static Document array() { return Document(std::vector<Document>()); }
  static Document object() { return Document(std::map<std::string, std::string>()); }
  static Document of_elements(std::vector<Document> elements);  // an array
  // An object; no two members have the same key.
  static Document of_members(std::vector<Member> members);
  // Throws Error, which says where it is not JSON; also for a member that is there twice, and for more levels or values
  // than these (text that others wrote may be made to exhaust stack and memory).
  static Document parse(std::string_view text);
  static constexpr size_t kMaxDepth = 256, kMaxValues = size_t(1) << 23;

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_boolean() const { return std::holds_alternative<bool>(value_); }
  bool is_integer() const { return is_natural() || std::holds_alternative<int64_t>(value_); }
  bool is_natural() const {
    return std::holds_alternative<uint64_t>(value_);
  }  // as those that are parsed are, unless < 0
  bool is_real() const { return std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<std::vector<Document>>(value_); }
  bool is_object() const { return std::holds_alternative<std::vector<Member>>(value_); }

  // The value; throws Error where it is another kind. Numbers become each other.
  bool boolean() const;
  double number() const;
  int64_t integer() const;
  uint64_t natural() const;
  const std::string& string() const;
  const std::vector<Document>& elements() const;  // of an array
  const std::vector<Member>& members() const;     // of an object

  // The element, or the member; throws where there is none.
  const Document& operator[](size_t index) const;
  const Document& operator[](std::string_view key) const;
  const Document* find(std::string_view key) const;  // NULL: no such member, or no object
  // The member; made, if there is none. An object, or null, which becomes one.
  Document& operator[](const std::string& key);
  // A member more, which is known not to be there: nothing is searched. An object, or null.
  void add(std::string key, Document value);
  void remove(std::string_view key);
  // An array, or null, which becomes one.
  void push_back(Document element);

  bool operator==(const Document& other) const = default;

  // As text: indented by `indent` spaces a level, or on one line if that is negative. Bytes that are not UTF-8 become U+FFFD.
  std::string dump(int indent = -1) const;
  // A string as it is; any other value as dump() has it.
  std::string shown() const { return is_string() ? string() : dump(); }

 private:
  std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string, std::vector<Document>, std::vector<Member>>
      value_;
};

// Text of others for a sentence: in quotation marks, escaped as JSON in ASCII, cut if it is long.
std::string quoted(std::string_view text);

}  // namespace pith::json

#endif

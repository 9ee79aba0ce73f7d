// A JSON document as a list of its values, in their order: a small strict reader (RFC 8259) that allocates nothing and
// does not recurse. Strings stay where they are, with their escapes; whoever compares them unescapes them as it goes.
#ifndef PITH_GRAMMAR_JSON_TAPE_H
#define PITH_GRAMMAR_JSON_TAPE_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ground/arena.h"
#include "pith/pith.h"

namespace pith::internal {

// The characters of a string as it stands between its quotes, one by one.
class JsonCharacters {
 public:
  explicit JsonCharacters(std::string_view escaped) : rest_(escaped) {}
  bool next(uint32_t* character);  // false: at the end, or (unchecked text) at what is no character

  bool is_at_end() const { return rest_.empty(); }

 private:
  bool next_escape(uint32_t* character);
  bool next_hex(uint32_t* unit);

  std::string_view rest_;
};

bool json_equal(std::string_view escaped, std::string_view other_escaped);
bool json_equals(std::string_view escaped, std::string_view text);         // text: as it is, in UTF-8
bool json_less(std::string_view escaped, std::string_view other_escaped);  // by characters

enum class JsonType : uint8_t { null, false_value, true_value, number, string, array, object };

struct JsonValue {
  JsonType type;
  uint32_t parent;        // of the root: itself
  uint32_t end;           // the value behind this one and all within it
  uint32_t key_hash;      // of the unescaped key
  std::string_view key;   // of a member of an object, with its escapes
  std::string_view text;  // string: with its escapes; otherwise as it stands

  bool is_container() const { return type == JsonType::array || type == JsonType::object; }
};

class JsonTape {
 public:
  static constexpr uint32_t kMaxDepth = 128, kMaxMembers = 1024;  // values within values; members of one object

  // A value has two bytes at least, or one and is open when the text breaks off.
  static size_t max_values(size_t text_bytes) { return text_bytes / 2 + kMaxDepth + 2; }
  void lay_out(size_t text_bytes, Arena* arena) { values_ = arena->take<JsonValue>(max_values(text_bytes)); }

  // `what`: the document in errors. Value 0 is the root.
  pith_status read(std::string_view text, const char* what, pith_error* error);

  const JsonValue& operator[](uint32_t i) const { return values_[i]; }
  // The members of an object, the elements of an array: for (i = first(of); i != end(of); i = next(i)).
  uint32_t first(uint32_t of) const { return of + 1; }
  uint32_t end(uint32_t of) const { return values_[of].end; }
  uint32_t next(uint32_t i) const { return values_[i].end; }
  uint32_t find(uint32_t object, std::string_view key) const;  // 0: no such member, or no object
  uint32_t find_escaped(uint32_t object, std::string_view escaped_key) const;
  uint32_t count(uint32_t of) const;

 private:
  struct Cursor;
  pith_status read_value(Cursor* c, uint32_t parent, std::string_view key, pith_error* error);
  pith_status read_members(Cursor* c, pith_error* error);
  pith_status check_key(uint32_t value, const Cursor& c, pith_error* error) const;

  JsonValue* values_ = nullptr;
  uint32_t n_values_ = 0;
};

}  // namespace pith::internal

#endif

// JSON Schema (2020-12's words, and those of earlier drafts that mean the same) to programs. docs/grammar.md says what
// is held; what is not is refused by its JSON pointer.
//
// A rule stands for the documents that fit several subschemas at once, its parts: one to begin with; `$ref` and `allOf`
// add theirs, of `anyOf` and `oneOf` each branch makes a rule of its own, and where objects or arrays of several parts
// meet, so do the subschemas of what is in them. Equal lists of parts are one rule, so that recursive schemas end.
// Rules are written one after the other and call those that are not written yet: nothing recurses.
#ifndef PITH_GRAMMAR_SCHEMA_COMPILER_H
#define PITH_GRAMMAR_SCHEMA_COMPILER_H

#include "grammar/json_tape.h"
#include "grammar/number_range.h"
#include "grammar/program_writer.h"
#include "grammar/rule_names.h"
#include "ground/status.h"
#include "pith/pith.h"

namespace pith::internal {

class SchemaCompiler {
 public:
  // The rules of any JSON, as GBNF, which come first.
  static std::string_view common_rules();

  void lay_out(size_t text_bytes, const Program& program, Arena* arena);
  // Behind the common rules, which `names` has. Sets the program's root.
  pith_status compile(std::string_view text, Program* program, RuleNames* names, ProgramWriter* writer,
                      pith_error* error);
  // Where the subschema of a rule is, for errors.
  pith_status refuse_rule(uint32_t rule, pith_status status, const char* why, pith_error* error) const;

 private:
  static constexpr uint32_t kMaxParts = 16;

  // A subschema, and which of its words were taken apart already.
  struct Part {
    uint32_t value;
    uint32_t done;  // Done, added up
    bool operator==(const Part& o) const { return value == o.value && done == o.done; }
  };
  enum Done : uint32_t { kRef = 1, kAllOf = 2, kAnyOf = 4, kOneOf = 8 };
  struct Parts {
    Part list[kMaxParts];
    uint8_t from[kMaxParts];  // the part that has brought this one; itself: none
    uint32_t count = 0;
    bool fits_nothing = false;
  };
  // What a rule that is not a common one is written from.
  struct Source {
    uint32_t first, count, depth;  // of parts_, or of names_
    bool is_key;  // the rest of a key that is none of these names, which begin alike for `depth` characters
  };
  enum Type : uint32_t {
    kNull = 1,
    kBoolean = 2,
    kNumber = 4,
    kInteger = 8,
    kString = 16,
    kArray = 32,
    kObject = 64,
    kAll = 127
  };
  // What the parts say together about values that are no containers.
  struct Facts {
    uint32_t types = kAll;
    uint32_t values[kMaxParts];  // enum and const
    uint32_t n_values = 0;
    uint32_t other = 0;  // a word that says more than a type or values
    Bounds integers, bounds;
    uint32_t fraction_bound = 0;  // a bound that is no integer
    uint32_t least_length = 0, most_length = ProgramWriter::kUnbounded, length = 0;
    uint32_t least_items = 0, most_items = ProgramWriter::kUnbounded;
    uint32_t pattern = 0, format = 0;
  };
  struct Property {
    std::string_view key;  // with its escapes
    bool is_required;
  };

  template <typename... Pieces>
  pith_status refuse(uint32_t value, pith_status status, pith_error* error, const Pieces&... pieces) const;
  size_t write_pointer(uint32_t value, char* out, size_t capacity) const;

  // Rules and their parts (schema_compiler.cpp).
  pith_status take_apart(Parts* parts, pith_error* error);
  pith_status check_words(uint32_t schema, pith_error* error) const;
  pith_status add_part(Parts* parts, uint32_t value, uint32_t from, uint32_t place, pith_error* error) const;
  pith_status find_target(uint32_t reference, uint32_t* out, pith_error* error) const;
  bool says_something(const Part& part) const;
  // The rule of these parts; kNone: nothing fits, or there is no room.
  pith_status find_rule(Parts* parts, uint32_t* rule, pith_error* error);
  uint32_t add_source(const Source& source, uint32_t origin);
  pith_status write_rule(uint32_t rule, pith_error* error);
  pith_status write_branches(const Parts& parts, uint32_t index, const char* word, uint32_t done, pith_error* error);
  void put_call(uint32_t rule);  // kNone: nothing fits

  // What values they let through (schema_values.cpp).
  pith_status write_values(const Parts& parts, pith_error* error);
  pith_status read_facts(const Parts& parts, Facts* facts, pith_error* error) const;
  pith_status read_word(uint32_t word, Facts* facts, pith_error* error) const;
  pith_status read_types(uint32_t word, uint32_t* types, pith_error* error) const;
  pith_status read_bound(uint32_t word, Facts* facts, pith_error* error) const;
  pith_status read_count(uint32_t word, uint32_t* out, pith_error* error) const;
  uint32_t type_of(uint32_t value) const;
  pith_status write_list(const Facts& facts, pith_error* error);
  pith_status is_listed(uint32_t value, uint32_t list, bool* out, pith_error* error) const;
  pith_status write_string(const Facts& facts, pith_error* error);
  pith_status write_pattern(uint32_t word, std::string_view pattern, bool is_escaped, pith_error* error);
  pith_status write_number(const Facts& facts, pith_error* error);

  // Containers (schema_containers.cpp).
  pith_status write_object(const Parts& parts, pith_error* error);
  pith_status find_properties(const Parts& parts, uint32_t* first, uint32_t* count, pith_error* error);
  pith_status add_property(std::string_view key, bool is_required, uint32_t first, pith_error* error);
  pith_status find_value_rule(const Parts& parts, const std::string_view* key, uint32_t* rule, pith_error* error);
  pith_status write_members(const Parts& parts, uint32_t first, uint32_t count, pith_error* error);
  pith_status find_additional(const Parts& parts, uint32_t first, uint32_t count, bool* is_open, uint32_t* key_rule,
                              uint32_t* value_rule, pith_error* error);
  pith_status write_key_rest(const Source& source, pith_error* error);
  pith_status write_array(const Parts& parts, const Facts& facts, pith_error* error);
  pith_status find_item_rule(const Parts& parts, uint32_t index, uint32_t* rule, pith_error* error);
  uint32_t prefix_of(const Part& part) const;
  uint32_t rest_of(const Part& part) const;

  JsonTape tape_;
  Program* program_ = nullptr;
  ProgramWriter* writer_ = nullptr;
  uint32_t n_common_ = 0;  // rules in front of those of subschemas
  uint32_t ws_ = 0, any_ = 0, object_ = 0, array_ = 0, string_ = 0, char_ = 0, number_ = 0, integer_ = 0, key_end_ = 0,
           wide_ = 0;
  uint32_t n_parts_ = 0, max_parts_ = 0, n_properties_ = 0, slot_mask_ = 0;
  Source* sources_ = nullptr;       // [max_rules]
  Part* parts_ = nullptr;           // [max_parts]: of all rules
  uint32_t* slots_ = nullptr;       // hash table of rules by their parts, kNone = empty; [slot_mask + 1]
  Property* properties_ = nullptr;  // [max_rules]: of all objects that were written
  uint32_t* pattern_ = nullptr;     // [PatternCompiler::kMaxCharacters]
};

template <typename... Pieces>
pith_status SchemaCompiler::refuse(uint32_t value, pith_status status, pith_error* error,
                                   const Pieces&... pieces) const {
  char pointer[120];
  const size_t n = write_pointer(value, pointer, sizeof pointer);
  return fail(error, status, "schema: at \"#", std::string_view(pointer, n), "\": ", pieces...);
}

}  // namespace pith::internal

#endif

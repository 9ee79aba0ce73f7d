// The words of JSON Schema, and what pointers to its parts look like.
#ifndef PITH_GRAMMAR_SCHEMA_WORDS_H
#define PITH_GRAMMAR_SCHEMA_WORDS_H

#include <string_view>

#include "grammar/json_tape.h"

namespace pith::internal {

enum class SchemaWord : uint8_t {
  unknown,
  annotation,  // says nothing about what fits
  held,
  false_or_zero,  // held where it is false or 0, which says nothing
  true_or_empty   // where it is true or {}
};
SchemaWord find_word(std::string_view escaped_key);

// %XX of a URI, in place; returns the new length.
size_t unescape_percents(char* text, size_t n);
// ~0 and ~1 of a JSON pointer, likewise.
size_t unescape_tildes(char* text, size_t n);
// The member or element of this name or number; 0: none.
uint32_t step_into(const JsonTape& tape, uint32_t value, std::string_view token);

}  // namespace pith::internal

#endif

// Text of JSON in programs: characters as a string of JSON spells them, each in one way. What may stand as it is does.
#ifndef PITH_GRAMMAR_JSON_TEXT_H
#define PITH_GRAMMAR_JSON_TEXT_H

#include <string_view>

#include "grammar/json_tape.h"
#include "grammar/program_writer.h"

namespace pith::internal {

void put_json_character(ProgramWriter* writer, uint32_t character);
bool put_json_characters(ProgramWriter* writer, const CharacterSet& set);  // one of them; false: too many ranges
void put_json_string(ProgramWriter* writer, std::string_view escaped);     // with its quotes
// A value as JSON without blanks; integers without fraction and exponent.
void put_json_value(ProgramWriter* writer, const JsonTape& tape, uint32_t value);

// Characters that stand in a string as they are.
CharacterSet plain_json_characters();

}  // namespace pith::internal

#endif

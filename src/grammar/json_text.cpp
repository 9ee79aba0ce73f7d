#include "grammar/json_text.h"

#include "grammar/number_range.h"

namespace pith::internal {
namespace {

// The letter of the short escape of a character that must be escaped; 0: it is written as \u00XX.
char short_escape(uint32_t character) {
  switch (character) {
    case '"': return '"';
    case '\\': return '\\';
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return 0;
  }
}

// An integer without a fraction and exponent, any other number as it stands.
void put_json_number(ProgramWriter* writer, std::string_view text) {
  Decimal number;
  if (!read_decimal(text, &number) || !number.is_integer) return writer->put_text(text);
  char digits[20];
  size_t at = sizeof digits;
  int64_t rest = number.floor < 0 ? -number.floor : number.floor;
  do digits[--at] = char('0' + rest % 10);
  while ((rest /= 10) > 0);
  if (number.floor < 0) digits[--at] = '-';
  writer->put_text({digits + at, sizeof digits - at});
}

bool is_escaped(uint32_t character) { return character < 0x20 || character == '"' || character == '\\'; }

}  // namespace

CharacterSet plain_json_characters() {
  CharacterSet set;
  set.add(0x20, kMaxCharacter);
  set.remove('"', '"');
  set.remove('\\', '\\');
  return set;
}

void put_json_character(ProgramWriter* writer, uint32_t character) {
  if (!is_escaped(character)) return writer->put_character(character);
  writer->put_text("\\");
  if (const char letter = short_escape(character); letter != 0) return writer->put_text({&letter, 1});
  const char* hex = "0123456789abcdef";
  const char digits[] = {hex[character >> 4], hex[character & 15]};
  writer->put_text("u00");
  writer->put_text({digits, 2});
}

bool put_json_characters(ProgramWriter* writer, const CharacterSet& set) {
  CharacterSet plain = set;
  plain.keep(0x20, kMaxCharacter);
  plain.remove('"', '"');
  plain.remove('\\', '\\');
  if (plain.is_full()) return false;
  ProgramWriter::Alternatives either = writer->begin_alternatives();
  writer->put_characters(plain);
  for (uint32_t c = 0; c <= '\\'; ++c) {
    if (!is_escaped(c) || !set.has(c)) continue;
    writer->next_alternative(&either);
    put_json_character(writer, c);
  }
  writer->end_alternatives(either);
  return true;
}

void put_json_string(ProgramWriter* writer, std::string_view escaped) {
  writer->put_text("\"");
  uint32_t c = 0;
  for (JsonCharacters characters(escaped); characters.next(&c);) put_json_character(writer, c);
  writer->put_text("\"");
}

void put_json_value(ProgramWriter* writer, const JsonTape& tape, uint32_t value) {
  // The values are in the order of their text; a container closes where its last one ends.
  uint32_t open = value;
  for (uint32_t i = value; i != tape.end(value);) {
    const JsonValue& v = tape[i];
    if (i != value && i != tape.first(v.parent)) writer->put_text(",");
    if (i != value && tape[v.parent].type == JsonType::object) {
      put_json_string(writer, v.key);
      writer->put_text(":");
    }
    if (v.type == JsonType::string) put_json_string(writer, v.text);
    else if (v.type == JsonType::number) put_json_number(writer, v.text);
    else if (!v.is_container()) writer->put_text(v.text);
    else writer->put_text(v.type == JsonType::object ? "{" : "[");
    if (v.is_container()) open = i;
    ++i;
    while (tape[open].is_container() && tape.end(open) == i) {
      writer->put_text(tape[open].type == JsonType::object ? "}" : "]");
      if (open == value) return;
      open = tape[open].parent;
    }
  }
}

}  // namespace pith::internal

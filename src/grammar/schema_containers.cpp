// SchemaCompiler: objects and arrays. What stands in them are rules of their own.
#include <algorithm>

#include "grammar/json_text.h"
#include "grammar/schema_compiler.h"
#include "ground/status.h"

namespace pith::internal {

// ---- Objects

pith_status SchemaCompiler::write_object(const Parts& parts, pith_error* error) {
  uint32_t first = 0, count = 0;
  PITH_TRY(find_properties(parts, &first, &count, error));
  return write_members(parts, first, count, error);
}

// All that any part names, in the order of the schema; then those that are required alone.
pith_status SchemaCompiler::find_properties(const Parts& parts, uint32_t* first, uint32_t* count, pith_error* error) {
  *first = n_properties_;
  for (uint32_t i = 0; i < parts.count; ++i) {
    const uint32_t properties = tape_.find(parts.list[i].value, "properties");
    if (properties == 0) continue;
    if (tape_[properties].type != JsonType::object)
      return refuse(properties, PITH_E_GRAMMAR, error, "not an object of schemas");
    for (uint32_t p = tape_.first(properties); p != tape_.end(properties); p = tape_.next(p))
      PITH_TRY(add_property(tape_[p].key, false, *first, error));
  }
  for (uint32_t i = 0; i < parts.count; ++i) {
    const uint32_t required = tape_.find(parts.list[i].value, "required");
    if (required == 0) continue;
    if (tape_[required].type != JsonType::array)
      return refuse(required, PITH_E_GRAMMAR, error, "not an array of names");
    for (uint32_t r = tape_.first(required); r != tape_.end(required); r = tape_.next(r)) {
      if (tape_[r].type != JsonType::string) return refuse(r, PITH_E_GRAMMAR, error, "not a name");
      PITH_TRY(add_property(tape_[r].text, true, *first, error));
    }
  }
  *count = n_properties_ - *first;
  return PITH_OK;
}

// One among those from `first` on, once.
pith_status SchemaCompiler::add_property(std::string_view key, bool is_required, uint32_t first, pith_error* error) {
  for (uint32_t i = first; i < n_properties_; ++i) {
    if (!json_equal(properties_[i].key, key)) continue;
    properties_[i].is_required = properties_[i].is_required || is_required;
    return PITH_OK;
  }
  if (n_properties_ == program_->max_rules || n_properties_ - first == JsonTape::kMaxMembers)
    return refuse(0, PITH_E_LIMIT, error, "too many properties; raise max_states");
  properties_[n_properties_++] = {key, is_required};
  return PITH_OK;
}

// The rule of a property's value; `key` NULL: of one that no part names. kNone: nothing fits.
pith_status SchemaCompiler::find_value_rule(const Parts& parts, const std::string_view* key, uint32_t* rule,
                                            pith_error* error) {
  Parts value;
  for (uint32_t i = 0; i < parts.count; ++i) {
    const uint32_t schema = parts.list[i].value, properties = tape_.find(schema, "properties");
    uint32_t own = key == nullptr || properties == 0 ? 0 : tape_.find_escaped(properties, *key);
    if (own == 0) own = tape_.find(schema, "additionalProperties");
    if (own != 0) PITH_TRY(add_part(&value, own, value.count, value.count, error));
  }
  return find_rule(&value, rule, error);
}

// Two tracks: with no member so far, and with one at least, which a comma follows. They meet where a member is written.
pith_status SchemaCompiler::write_members(const Parts& parts, uint32_t first, uint32_t count, pith_error* error) {
  ProgramWriter& w = *writer_;
  bool is_open = false;
  uint32_t key_rule = kNone, open_rule = kNone;
  PITH_TRY(find_additional(parts, first, count, &is_open, &key_rule, &open_rule, error));
  w.put_text("{");
  w.put_call(ws_);
  uint32_t empty_split = kNone;                     // whose second way goes on with no member so far
  uint32_t skip_split = kNone, member_end = kNone;  // which go on with some
  bool may_be_empty = true;
  const auto join = [&] {
    if (skip_split != kNone) w.set_split(skip_split, w.here());
    if (member_end != kNone) w.set_jump(member_end, w.here());
    skip_split = member_end = kNone;
  };
  for (uint32_t i = first; i < first + count && !w.is_full(); ++i) {
    const Property property = properties_[i];
    uint32_t enter = kNone;  // from the first track into the member
    if (may_be_empty) {
      if (empty_split != kNone) w.set_split(empty_split, w.here());
      empty_split = kNone;
      if (property.is_required) enter = w.put_jump(0);
      else enter = empty_split = w.put_split(0, 0);
      may_be_empty = !property.is_required;
    }
    join();
    if (!property.is_required) skip_split = w.put_split(w.here() + 1, 0);
    w.put_text(",");
    w.put_call(ws_);
    if (enter != kNone) w.set_jump(enter, w.here());
    put_json_string(&w, property.key);
    w.put_text(":");
    w.put_call(ws_);
    uint32_t value_rule = kNone;
    PITH_TRY(find_value_rule(parts, &property.key, &value_rule, error));
    put_call(value_rule);
    member_end = w.put_jump(0);
  }
  uint32_t enter = kNone, leave = kNone;  // from the first track into an unnamed member, and out
  if (may_be_empty) {
    if (empty_split != kNone) w.set_split(empty_split, w.here());
    if (is_open) enter = leave = w.put_split(0, 0);
    else leave = w.put_jump(0);
  }
  join();
  if (is_open) {
    const uint32_t again = w.put_split(w.here() + 1, 0);
    w.put_text(",");
    w.put_call(ws_);
    if (enter != kNone) w.set_jump(enter, w.here());
    if (key_rule != string_) w.put_text("\"");
    put_call(key_rule);
    w.put_text(":");
    w.put_call(ws_);
    put_call(open_rule);
    w.put_jump(again);
    w.set_split(again, w.here());
  }
  w.put_call(ws_);
  if (leave != kNone && is_open) w.set_split(leave, w.here());
  else if (leave != kNone) w.set_jump(leave, w.here());
  w.put_text("}");
  return PITH_OK;
}

// Members that no part names: whether there may be any, the rule of a key (behind its first quote, unless it is that of
// strings), and that of a value.
pith_status SchemaCompiler::find_additional(const Parts& parts, uint32_t first, uint32_t count, bool* is_open,
                                            uint32_t* key_rule, uint32_t* value_rule, pith_error* error) {
  bool has_names = false, is_said = false;
  for (uint32_t i = 0; i < parts.count; ++i) {
    has_names = has_names || tape_.find(parts.list[i].value, "properties") != 0;
    is_said = is_said || tape_.find(parts.list[i].value, "additionalProperties") != 0;
  }
  *is_open = false;
  if (has_names && !is_said) return PITH_OK;
  PITH_TRY(find_value_rule(parts, nullptr, value_rule, error));
  *is_open = *value_rule != kNone;
  *key_rule = string_;
  if (!*is_open || count == 0) return PITH_OK;
  // Keys are written as they stand: a name that needs an escape is none of them.
  const CharacterSet plain = plain_json_characters();
  const uint32_t begin = n_properties_;
  for (uint32_t i = first; i < first + count; ++i) {
    bool is_plain = true;
    uint32_t c = 0;
    for (JsonCharacters characters(properties_[i].key); characters.next(&c);) is_plain = is_plain && plain.has(c);
    if (is_plain) PITH_TRY(add_property(properties_[i].key, false, begin, error));
  }
  std::sort(properties_ + begin, properties_ + n_properties_,
            [](const Property& a, const Property& b) { return json_less(a.key, b.key); });
  *key_rule = add_source({begin, n_properties_ - begin, 0, true}, parts.list[0].value);
  return PITH_OK;
}

// What may follow the characters that these names begin with, so that the key is none of them; with the closing quote.
pith_status SchemaCompiler::write_key_rest(const Source& source, pith_error* error) {
  ProgramWriter& w = *writer_;
  const auto character_of = [&](uint32_t name, uint32_t* c) {  // at `depth`; false: it ends before
    JsonCharacters characters(properties_[name].key);
    for (uint32_t i = 0; i <= source.depth; ++i) {
      if (!characters.next(c)) return false;
    }
    return true;
  };
  const uint32_t end = source.first + source.count;
  uint32_t c = 0, name = source.first;
  ProgramWriter::Alternatives either = w.begin_alternatives();
  if (name < end && !character_of(name, &c)) ++name;  // the shortest is one of the names itself
  else {
    w.put_text("\"");
    w.next_alternative(&either);
  }
  CharacterSet others = plain_json_characters();
  bool is_ascii = true;
  for (uint32_t i = name; i < end; ++i) {
    if (!character_of(i, &c)) continue;
    others.remove(c, c);
    is_ascii = is_ascii && c < 0x80;
  }
  if (others.is_full()) return refuse(0, PITH_E_LIMIT, error, "too many properties beside additionalProperties");
  ProgramWriter::Alternatives other = w.begin_alternatives();
  if (is_ascii) {  // what is beyond is the same everywhere
    others.keep(0, 0x7f);
    w.put_call(wide_);
    w.next_alternative(&other);
  }
  w.put_characters(others);
  w.end_alternatives(other);
  w.put_call(key_end_);
  while (name < end && !w.is_full()) {
    uint32_t next = name, own = 0;
    (void)character_of(name, &c);
    while (next < end && character_of(next, &own) && own == c) ++next;
    w.next_alternative(&either);
    w.put_character(c);
    put_call(add_source({name, next - name, source.depth + 1, true}, 0));
    name = next;
  }
  w.end_alternatives(either);
  return PITH_OK;
}

// ---- Arrays

// The array of the first elements' schemas, and the schema of the others; 0: none.
uint32_t SchemaCompiler::prefix_of(const Part& part) const {
  const uint32_t prefix = tape_.find(part.value, "prefixItems"), items = tape_.find(part.value, "items");
  return prefix != 0 ? prefix : items != 0 && tape_[items].type == JsonType::array ? items : 0;
}

uint32_t SchemaCompiler::rest_of(const Part& part) const {
  const uint32_t items = tape_.find(part.value, "items");
  return items != 0 && tape_[items].type == JsonType::array ? tape_.find(part.value, "additionalItems") : items;
}

pith_status SchemaCompiler::find_item_rule(const Parts& parts, uint32_t index, uint32_t* rule, pith_error* error) {
  Parts item;
  for (uint32_t i = 0; i < parts.count; ++i) {
    const uint32_t prefix = prefix_of(parts.list[i]);
    uint32_t own = 0, left = index;
    if (prefix != 0) {
      for (uint32_t v = tape_.first(prefix); v != tape_.end(prefix) && own == 0; v = tape_.next(v), --left) {
        if (left == 0) own = v;
      }
    }
    if (own == 0) own = rest_of(parts.list[i]);
    if (own != 0) PITH_TRY(add_part(&item, own, item.count, item.count, error));
  }
  return find_rule(&item, rule, error);
}

pith_status SchemaCompiler::write_array(const Parts& parts, const Facts& facts, pith_error* error) {
  ProgramWriter& w = *writer_;
  uint32_t n_prefix = 0, rule = kNone;
  for (uint32_t i = 0; i < parts.count; ++i) {
    const uint32_t prefix = prefix_of(parts.list[i]);
    if (prefix == 0) continue;
    if (tape_[prefix].type != JsonType::array) return refuse(prefix, PITH_E_GRAMMAR, error, "not an array of schemas");
    n_prefix = std::max(n_prefix, tape_.count(prefix));
  }
  const uint32_t least = facts.least_items, most = facts.most_items;
  if (least > most) {
    w.put_fail();
    return PITH_OK;
  }
  const uint32_t n_single = most == ProgramWriter::kUnbounded ? std::max(least, n_prefix) : most;
  w.put_text("[");
  w.put_call(ws_);
  uint32_t empty = kNone, pending = kNone;  // splits whose second ways end the array: with nothing in it; a list
  const auto may_end = [&](bool is_empty) {
    if (is_empty) empty = w.put_split(w.here() + 1, 0);
    else pending = w.put_split(w.here() + 1, pending);
  };
  PITH_TRY(find_item_rule(parts, 0, &rule, error));
  for (uint32_t i = 0; i < n_single && !w.is_full(); ++i) {
    if (i > 0 && i <= n_prefix) PITH_TRY(find_item_rule(parts, i, &rule, error));
    if (i >= least) may_end(i == 0);
    if (i > 0) w.put_text(",");
    if (i > 0) w.put_call(ws_);
    put_call(rule);
  }
  if (most == ProgramWriter::kUnbounded) {
    PITH_TRY(find_item_rule(parts, n_single, &rule, error));
    if (n_single == 0) {
      may_end(true);
      put_call(rule);
    }
    const uint32_t again = w.here();
    may_end(false);
    w.put_text(",");
    w.put_call(ws_);
    put_call(rule);
    w.put_jump(again);
  }
  while (pending != kNone && !w.is_full()) {
    const uint32_t next = program_->code[pending].b;
    w.set_split(pending, w.here());
    pending = next;
  }
  if (most > 0) w.put_call(ws_);
  if (empty != kNone) w.set_split(empty, w.here());
  w.put_text("]");
  return PITH_OK;
}

}  // namespace pith::internal

#include "cache/token_groups.h"

#include <cassert>
#include <initializer_list>

namespace pith::internal {
namespace {

// The owner of a row that load() has not met yet.
constexpr int32_t kUnseenRow = INT32_MIN;

// States are strings of 32-bit little-endian words.
constexpr size_t kWord = 4;

struct Writer {
  void put(int32_t value) {
    for (size_t i = 0; i < kWord; ++i) out[n++] = uint8_t(uint32_t(value) >> (8 * i));
  }
  uint8_t* out;
  size_t n = 0;
};

struct Reader {
  // The next word, if there is one in [0, limit).
  bool get(int32_t limit, int32_t* value) {
    if (n < kWord) return false;
    const uint32_t word = uint32_t(in[0]) | uint32_t(in[1]) << 8 | uint32_t(in[2]) << 16 | uint32_t(in[3]) << 24;
    in += kWord;
    n -= kWord;
    *value = int32_t(word);
    return *value >= 0 && *value < limit;
  }
  bool expect(int32_t value) {
    int32_t got;
    return get(INT32_MAX, &got) && got == value;
  }
  const uint8_t* in;
  size_t n;
};

}  // namespace

void TokenGroups::lay_out(int32_t vocab_size, int32_t capacity, int32_t n_rows, RowUse use, Arena* arena) {
  vocab_size_ = vocab_size;
  capacity_ = capacity;
  n_rows_ = n_rows;
  keeps_keys_ = use == RowUse::gates_and_keys;
  const size_t tokens = size_t(capacity), rows = size_t(n_rows);
  group_of_id_ = arena->take<int32_t>(size_t(vocab_size));
  for (int32_t** array : {&group_of_slot_, &slot_next_, &slot_prev_, &row_of_slot_, &group_id_, &kind_, &count_,
                          &gate_row_, &first_slot_, &last_slot_, &group_next_, &group_prev_})
    *array = arena->take<int32_t>(tokens);
  row_owner_ = arena->take<int32_t>(rows);
  free_rows_ = arena->take<int32_t>(rows);
  // At most one group of keys turns into a gate: 3 writes for each of its rows (owner, slot, stack). Everything else is
  // bounded: a list changes 4 fields on entry and 2 on leaving, a slot 8 and 6, a group is opened and closed by 12, a
  // row changes hands by 4. The old token needs less than 30 of these, demotion 12, the new token 40, and promotion 10
  // + 4 kMaxPromoted.
  log_size_ = int32_t(3 * (n_rows < capacity ? n_rows : capacity)) + 100 + 4 * kMaxPromoted;
  log_ = arena->take<OldValue>(size_t(log_size_));
  if (arena->is_measuring()) return;
  for (int32_t i = 0; i < vocab_size; ++i) group_of_id_[i] = -1;
  for (int32_t g = 0; g < capacity; ++g) count_[g] = 0;
  clear();
}

void TokenGroups::clear() {
  forget_all();
  n_free_ = n_rows_;
  for (int32_t row = 0; row < n_rows_; ++row) {
    row_owner_[row] = kFreeRow;
    free_rows_[row] = n_rows_ - 1 - row;  // row 0 on top
  }
}

void TokenGroups::copy_from(const TokenGroups& other) {
  const auto copy = [](int32_t* to, const int32_t* from, int32_t n) {
    for (int32_t i = 0; i < n; ++i) to[i] = from[i];
  };
  copy(group_of_id_, other.group_of_id_, vocab_size_);
  int32_t* TokenGroups::*const arrays[] = {
      &TokenGroups::group_of_slot_, &TokenGroups::slot_next_, &TokenGroups::slot_prev_,  &TokenGroups::row_of_slot_,
      &TokenGroups::group_id_,      &TokenGroups::kind_,      &TokenGroups::count_,      &TokenGroups::gate_row_,
      &TokenGroups::first_slot_,    &TokenGroups::last_slot_, &TokenGroups::group_next_, &TokenGroups::group_prev_};
  for (int32_t* TokenGroups::*const array : arrays) copy(this->*array, other.*array, capacity_);
  copy(row_owner_, other.row_owner_, n_rows_);
  copy(free_rows_, other.free_rows_, n_rows_);
  copy(heads_, other.heads_, kKinds * kClasses);
  unused_group_ = other.unused_group_;
  n_free_ = other.n_free_;
  n_used_ = other.n_used_;
  n_log_ = n_conversions_ = n_key_writes_ = 0;
}

// All but the rows.
void TokenGroups::forget_all() {
  for (int32_t g = 0; g < capacity_; ++g) {
    if (count_[g] > 0) group_of_id_[group_id_[g]] = -1;
  }
  for (int32_t i = 0; i < capacity_; ++i) {
    group_of_slot_[i] = slot_next_[i] = slot_prev_[i] = row_of_slot_[i] = -1;
    group_id_[i] = gate_row_[i] = first_slot_[i] = last_slot_[i] = group_prev_[i] = -1;
    kind_[i] = int32_t(GroupKind::none);
    count_[i] = 0;
    group_next_[i] = i + 1 < capacity_ ? i + 1 : -1;
  }
  for (int32_t& head : heads_) head = -1;
  unused_group_ = 0;
  n_used_ = n_free_ = n_log_ = n_conversions_ = n_key_writes_ = 0;
}

// ---- fields, lists and rows: every write of replace() is one of set() ----------------------------------------------

void TokenGroups::set(int32_t* field, int32_t value) {
  if (*field == value) return;
  assert(n_log_ < log_size_);
  log_[n_log_++] = {field, *field};
  *field = value;
}

void TokenGroups::undo() {
  while (n_log_ > 0) {
    --n_log_;
    *log_[n_log_].field = log_[n_log_].value;
  }
}

// Keeps the group on the list of its kind and size; one of no tokens is on none.
void TokenGroups::set_shape(int32_t group, GroupKind kind, int32_t count) {
  const int32_t from = list_of(kind_[group], count_[group]), to = list_of(int32_t(kind), count);
  set(&kind_[group], int32_t(kind));
  set(&count_[group], count);
  if (from == to) return;
  if (from >= 0) {
    const int32_t before = group_prev_[group], after = group_next_[group];
    set(before < 0 ? &heads_[from] : &group_next_[before], after);
    if (after >= 0) set(&group_prev_[after], before);
  }
  if (to < 0) return;
  const int32_t after = heads_[to];
  set(&group_prev_[group], -1);
  set(&group_next_[group], after);
  if (after >= 0) set(&group_prev_[after], group);
  set(&heads_[to], group);
}

int32_t TokenGroups::first_from(int32_t kind, int32_t size_class) const {
  for (int32_t c = size_class; c < kClasses; ++c) {
    if (heads_[kind * kClasses + c] >= 0) return heads_[kind * kClasses + c];
  }
  return -1;
}

int32_t TokenGroups::next_group(int32_t group) const {
  return group_next_[group] >= 0 ? group_next_[group] : first_from(kind_[group], class_of(count_[group]) + 1);
}

// Of two or more tokens; -1: there is none but `except`.
int32_t TokenGroups::largest_keys(int32_t except) const {
  for (int32_t c = kClasses - 1; c >= class_of(2); --c) {
    const int32_t g = heads_[int32_t(GroupKind::keys) * kClasses + c];
    if (g >= 0 && g != except) return g;
    if (g >= 0 && group_next_[g] >= 0) return group_next_[g];
  }
  return -1;
}

void TokenGroups::free_row(int32_t row) {
  set(&row_owner_[row], kFreeRow);
  set(&free_rows_[n_free_], row);
  set(&n_free_, n_free_ + 1);
}

int32_t TokenGroups::take_row() {
  assert(n_free_ > 0);
  set(&n_free_, n_free_ - 1);
  return free_rows_[n_free_];
}

void TokenGroups::own_keys(int32_t slot, int32_t row) {
  set(&row_of_slot_[slot], row);
  set(&row_owner_[row], slot);
}

void TokenGroups::own_gate(int32_t group, int32_t row) {
  set(&gate_row_[group], row);
  set(&row_owner_[row], kGateRow - group);
}

// ---- tokens and groups ----------------------------------------------------------------------------------------------

// Of no tokens yet, and of kind none.
int32_t TokenGroups::open_group(int32_t id) {
  const int32_t group = unused_group_;
  assert(group >= 0);
  set(&unused_group_, group_next_[group]);
  set(&group_id_[group], id);
  set(&group_of_id_[id], group);
  return group;
}

void TokenGroups::close_group(int32_t group) {
  if (kind_[group] == int32_t(GroupKind::gate)) free_row(gate_row_[group]);
  set(&gate_row_[group], -1);
  set(&kind_[group], int32_t(GroupKind::none));
  set(&group_of_id_[group_id_[group]], -1);
  set(&group_next_[group], unused_group_);
  set(&unused_group_, group);
}

void TokenGroups::append(int32_t slot, int32_t group) {
  const int32_t last = last_slot_[group];
  set(last < 0 ? &first_slot_[group] : &slot_next_[last], slot);
  set(&slot_prev_[slot], last);
  set(&slot_next_[slot], -1);
  set(&last_slot_[group], slot);
  set(&group_of_slot_[slot], group);
  set(&n_used_, n_used_ + 1);
  set_shape(group, GroupKind(kind_[group]), count_[group] + 1);
}

void TokenGroups::take_out(int32_t slot) {
  const int32_t group = group_of_slot_[slot], before = slot_prev_[slot], after = slot_next_[slot];
  set(before < 0 ? &first_slot_[group] : &slot_next_[before], after);
  set(after < 0 ? &last_slot_[group] : &slot_prev_[after], before);
  if (row_of_slot_[slot] >= 0) free_row(row_of_slot_[slot]);
  set(&row_of_slot_[slot], -1);
  set(&group_of_slot_[slot], -1);
  set(&n_used_, n_used_ - 1);
  set_shape(group, GroupKind(kind_[group]), count_[group] - 1);
  if (count_[group] == 0) close_group(group);
}

// ---- who holds rows -------------------------------------------------------------------------------------------------

// Begins the conversion of a group, which has its gate row by now if it is to have one.
Conversion& TokenGroups::convert(int32_t group, int32_t gate_from) {
  assert(n_conversions_ < kMaxConversions);
  const int32_t gate_to = gate_row_[group] == gate_from ? -1 : gate_row_[group];
  return conversions_[n_conversions_++] = {group_id_[group], gate_from, gate_to, n_key_writes_, 0};
}

// As part of the last conversion.
void TokenGroups::write_keys(int32_t slot, int32_t row) {
  assert(n_key_writes_ < kMaxKeyWrites);
  own_keys(slot, row);
  key_writes_[n_key_writes_++] = {slot, row};
  ++conversions_[n_conversions_ - 1].n_keys;
}

// As part of the last conversion. The row of the gate becomes that of the first token.
void TokenGroups::gate_to_keys(int32_t group) {
  const int32_t gate_row = gate_row_[group], first = first_slot_[group];
  conversions_[n_conversions_ - 1].gate_to = -1;
  set(&gate_row_[group], -1);
  for (int32_t slot = first; slot >= 0; slot = slot_next_[slot])
    write_keys(slot, slot == first ? gate_row : take_row());
  set_shape(group, GroupKind::keys, count_[group]);
}

// The row of the first token becomes that of the gate.
void TokenGroups::keys_to_gate(int32_t group) {
  const int32_t first = first_slot_[group];
  int32_t n_free = n_free_;  // written once: a group of keys may be large
  for (int32_t slot = slot_next_[first]; slot >= 0; slot = slot_next_[slot]) {
    set(&row_owner_[row_of_slot_[slot]], kFreeRow);
    set(&free_rows_[n_free++], row_of_slot_[slot]);
    set(&row_of_slot_[slot], -1);
  }
  set(&n_free_, n_free);
  own_gate(group, row_of_slot_[first]);
  set(&row_of_slot_[first], -1);
  set_shape(group, GroupKind::gate, count_[group]);
}

bool TokenGroups::demote_largest(int32_t except, int32_t min_count) {
  const int32_t group = largest_keys(except);
  if (group < 0 || count_[group] < min_count) return false;
  keys_to_gate(group);
  convert(group, -1);
  return true;
}

// The group of the id, of the kind that it will have with one token more; if it is keys, a row is free.
int32_t TokenGroups::make_room(int32_t id) {
  int32_t group = group_of_id_[id];
  if (group < 0) {
    if (n_free_ == 0) demote_largest(-1, 2);
    group = open_group(id);
    if (n_free_ > 0 && keeps_keys_) set_shape(group, GroupKind::keys, 0);
  } else if (kind_[group] == int32_t(GroupKind::keys) && n_free_ == 0) {
    if (!demote_largest(group, count_[group] + 2)) keys_to_gate(group);
  }
  if (kind_[group] == int32_t(GroupKind::none) && n_free_ > 0) {
    own_gate(group, take_row());
    set_shape(group, GroupKind::gate, count_[group]);
  }
  return group;
}

void TokenGroups::replace(int32_t slot, int32_t id) {
  assert(slot >= 0 && slot < capacity_ && id >= 0 && id < vocab_size_);
  n_log_ = n_conversions_ = n_key_writes_ = 0;
  const int32_t known = group_of_id_[id], gate_from = known < 0 ? -1 : gate_row_[known];
  if (is_used(slot)) {
    const int32_t left = group_of_slot_[slot];
    take_out(slot);
    if (keeps_keys_ && left != known && kind_[left] == int32_t(GroupKind::gate) && count_[left] == 1) {
      convert(left, gate_row_[left]);
      gate_to_keys(left);
    }
  }
  const int32_t group = make_room(id);
  append(slot, group);
  convert(group, gate_from).is_current = true;
  if (kind_[group] == int32_t(GroupKind::keys)) write_keys(slot, take_row());
  promote(group);
}

// One group at most gets rows that are still free. Those of keys for a gate group are worth the least: they are kept
// for coming tokens while the ring fills, and afterwards given only where many are left, or the next token would take
// them back.
void TokenGroups::promote(int32_t current) {
  if (n_free_ == 0) return;
  int32_t group = first_group(GroupKind::none);
  if (group < 0) {
    group = first_group(GroupKind::gate);
    if (!keeps_keys_ || n_used_ < capacity_ || group < 0 || count_[group] > kMaxPromoted || n_free_ < 2 * count_[group])
      return;
    if (group != current) convert(group, gate_row_[group]);
    gate_to_keys(group);
    return;
  }
  assert(group != current);
  const bool is_keys = keeps_keys_ && count_[group] == 1;
  const int32_t row = take_row();
  if (!is_keys) own_gate(group, row);
  convert(group, -1);
  if (is_keys) write_keys(first_slot_[group], row);
  set_shape(group, is_keys ? GroupKind::keys : GroupKind::gate, count_[group]);
}

void TokenGroups::remove(int32_t slot) {
  n_log_ = 0;
  take_out(slot);
  n_log_ = 0;  // not to be undone
}

// ---- state ----------------------------------------------------------------------------------------------------------
//
// vocab_size, capacity, n_rows, keeps_keys, the number of groups of every kind; the groups, in the order of
// first_group(): id, number of tokens, row of the gate if it has one, slot by slot, each followed by its row if it has
// one; the free rows, from the bottom of the stack.

size_t TokenGroups::state_bytes() const {
  return kWord * (4 + size_t(kKinds) + 3 * size_t(capacity_) + size_t(n_rows_));
}

size_t TokenGroups::save(uint8_t* out) const {
  Writer writer{out};
  for (const int32_t value : {vocab_size_, capacity_, n_rows_, int32_t(keeps_keys_)}) writer.put(value);
  for (int32_t kind = 0; kind < kKinds; ++kind) {
    int32_t n_groups = 0;
    for (int32_t g = first_group(GroupKind(kind)); g >= 0; g = next_group(g)) ++n_groups;
    writer.put(n_groups);
  }
  for (int32_t kind = 0; kind < kKinds; ++kind) {
    for (int32_t g = first_group(GroupKind(kind)); g >= 0; g = next_group(g)) {
      writer.put(group_id_[g]);
      writer.put(count_[g]);
      if (gate_row_[g] >= 0) writer.put(gate_row_[g]);
      for (int32_t slot = first_slot_[g]; slot >= 0; slot = slot_next_[slot]) {
        writer.put(slot);
        if (row_of_slot_[slot] >= 0) writer.put(row_of_slot_[slot]);
      }
    }
  }
  for (int32_t i = 0; i < n_free_; ++i) writer.put(free_rows_[i]);
  return writer.n;
}

bool TokenGroups::load(const uint8_t* in, size_t n) {
  forget_all();
  for (int32_t row = 0; row < n_rows_; ++row) row_owner_[row] = kUnseenRow;
  if (load_groups(in, n)) return true;
  clear();
  return false;
}

// Into an object without tokens and with all rows unseen. Whenever it stops, every group with tokens has an id, and
// that id this group: forget_all() relies on it.
bool TokenGroups::load_groups(const uint8_t* in, size_t n) {
  Reader reader{in, n};
  if (!reader.expect(vocab_size_) || !reader.expect(capacity_) || !reader.expect(n_rows_) ||
      !reader.expect(int32_t(keeps_keys_)))
    return false;
  int32_t n_groups[kKinds];
  for (int32_t& n_of_kind : n_groups) {
    if (!reader.get(INT32_MAX, &n_of_kind)) return false;
  }
  if (!keeps_keys_ && n_groups[int32_t(GroupKind::keys)] > 0) return false;
  int32_t n_seen = 0;  // rows
  for (int32_t kind = 0; kind < kKinds; ++kind) {
    int32_t before = -1;  // the group before this one
    for (int32_t i = 0; i < n_groups[kind]; ++i) {
      int32_t id, count;
      if (!reader.get(vocab_size_, &id) || group_of_id_[id] >= 0) return false;
      if (!reader.get(capacity_ - n_used_ + 1, &count) || count == 0) return false;
      if (before >= 0 && class_of(count) < class_of(count_[before])) return false;
      const int32_t group = unused_group_;  // there is one: every group so far has a token, and another token has room
      unused_group_ = group_next_[group];
      group_id_[group] = id;
      group_of_id_[id] = group;
      kind_[group] = kind;
      count_[group] = count;
      const bool is_head = before < 0 || class_of(count) != class_of(count_[before]);
      group_prev_[group] = is_head ? -1 : before;
      group_next_[group] = -1;
      (is_head ? heads_[list_of(kind, count)] : group_next_[before]) = group;
      before = group;
      if (kind == int32_t(GroupKind::gate)) {
        int32_t row;
        if (!reader.get(n_rows_, &row) || row_owner_[row] != kUnseenRow) return false;
        row_owner_[row] = kGateRow - group;
        gate_row_[group] = row;
        ++n_seen;
      }
      for (int32_t j = 0; j < count; ++j) {
        int32_t slot, row;
        if (!reader.get(capacity_, &slot) || is_used(slot)) return false;
        const int32_t last = last_slot_[group];
        (last < 0 ? first_slot_[group] : slot_next_[last]) = slot;
        slot_prev_[slot] = last;
        last_slot_[group] = slot;
        group_of_slot_[slot] = group;
        ++n_used_;
        if (kind != int32_t(GroupKind::keys)) continue;
        if (!reader.get(n_rows_, &row) || row_owner_[row] != kUnseenRow) return false;
        row_owner_[row] = slot;
        row_of_slot_[slot] = row;
        ++n_seen;
      }
    }
  }
  for (; n_seen < n_rows_; ++n_seen) {
    int32_t row;
    if (!reader.get(n_rows_, &row) || row_owner_[row] != kUnseenRow) return false;
    row_owner_[row] = kFreeRow;
    free_rows_[n_free_++] = row;
  }
  return reader.n == 0;
}

}  // namespace pith::internal

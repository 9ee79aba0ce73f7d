// The cached tokens (slots of the ring) grouped by token id, and which groups hold rows of a bounded pool. Decided from
// ids alone, once per token for all layers.
//
//   kind   rows of the pool                                  what a row saves, multiply-adds per step and layer
//   keys   one per token: its keys and values, materialised  of a hapax: 491k (u and gate) against none
//   gate   one: the gate, absorbed into the query            393k (the gate) against none
//   none   none: the gate is computed anew in every step     gate -> keys, n tokens: 98k / (n - 1)
//
// In the paper's shape (n_h = 12, d_n = d_v = 64, r = 64, d_e = 256) u = W_UKV c costs n_h (d_n + d_v) r = 98k and g =
// W_UE E[id] costs n_h (d_n + d_v) d_e = 393k. A hapax, an id that is cached once, needs both for a single token, so
// that its row saves most. One row for a gate saves 393k however many tokens share it, for absorption costs another 98k
// a group, whatever its size. Giving the n tokens of a gate group a row each saves that 98k for n - 1 more rows. These
// proportions are those of other shapes too, as d_e > r.
//
// So rows go to hapaxes first, then to gates, then to the tokens of small groups; where no row is left, the largest
// group of keys gives its own back but one: it loses least per row. A replace() takes bounded time but for that: it
// walks the group, whose every row was taken by a token of its own, so that the time per token is bounded on average.
#ifndef PITH_CACHE_TOKEN_GROUPS_H
#define PITH_CACHE_TOKEN_GROUPS_H

#include <cstddef>
#include <cstdint>

#include "ground/arena.h"

namespace pith::internal {

enum class GroupKind : uint8_t { keys, gate, none };
enum class RowUse : uint8_t { gates, gates_and_keys };  // what groups may hold rows for

constexpr int32_t kFreeRow = -1, kGateRow = -2;  // of row_slot()

struct KeyWrite {
  int32_t slot, row;
};

// How the rows of one group change. Every layer carries its conversions out for itself, in order: take the gate of `id`
// from row gate_from before writing anything, or compute it where that is -1 and something below or the current token
// needs it; write it to row gate_to unless that is -1; write keys and values of n_keys tokens.
struct Conversion {
  int32_t id, gate_from, gate_to;
  int32_t first_key, n_keys;  // of key_write()
  bool is_current = false;    // of the token just added
};

class TokenGroups {
 public:
  // Gate groups of more tokens never become keys: too many keys to compute at once, for too little.
  static constexpr int32_t kMaxPromoted = 8;
  static constexpr int32_t kMaxConversions = 4;  // what is left of the old token's group, demoted, current, promoted
  static constexpr int32_t kMaxKeyWrites = 2 + kMaxPromoted;  // in the same order: 1, 0, 1, kMaxPromoted

  TokenGroups() = default;
  TokenGroups(const TokenGroups&) = delete;  // undo() writes to where replace() did
  TokenGroups& operator=(const TokenGroups&) = delete;

  // capacity >= 1, n_rows >= 0.
  void lay_out(int32_t vocab_size, int32_t capacity, int32_t n_rows, RowUse use, Arena* arena);
  void clear();  // no token cached, all rows free

  // The token of `id` goes into `slot`; what was there leaves. One conversion is of the token just added, even if it
  // changes nothing; those that free rows for it come before, a promotion after it. No conversion writes a row that a
  // later one reads.
  void replace(int32_t slot, int32_t id);
  // Takes the last replace() back, if nothing else happened since. Its conversions stay readable: they name the rows
  // whose contents may be lost.
  void undo();
  void copy_from(const TokenGroups& other);  // laid out alike
  void remove(int32_t slot);                 // the token leaves; what remains of its group keeps its kind

  // Of the last replace().
  int32_t n_conversions() const { return n_conversions_; }
  const Conversion& conversion(int32_t i) const { return conversions_[i]; }
  const KeyWrite& key_write(int32_t i) const { return key_writes_[i]; }

  bool is_used(int32_t slot) const { return group_of_slot_[slot] >= 0; }
  int32_t id(int32_t slot) const { return group_id_[group_of_slot_[slot]]; }  // of a used slot
  int32_t group_of(int32_t slot) const { return group_of_slot_[slot]; }       // -1: not used
  int32_t row_of(int32_t slot) const { return row_of_slot_[slot]; }           // of its keys; -1: none
  int32_t next_slot(int32_t slot) const { return slot_next_[slot]; }          // of the same group; -1: the last

  int32_t n_rows() const { return n_rows_; }
  int32_t n_free_rows() const { return n_free_; }
  // Whose keys the row holds; kFreeRow, or kGateRow.
  int32_t row_slot(int32_t row) const { return row_owner_[row] > kGateRow ? row_owner_[row] : kGateRow; }
  int32_t row_gate_id(int32_t row) const { return group_id_[kGateRow - row_owner_[row]]; }  // of a kGateRow

  // for (g = first_group(kind); g >= 0; g = next_group(g)): in ascending order of tokens, all from 32 taken as equal.
  int32_t first_group(GroupKind kind) const { return first_from(int32_t(kind), 0); }
  int32_t next_group(int32_t group) const;
  GroupKind group_kind(int32_t group) const { return GroupKind(kind_[group]); }
  int32_t group_id(int32_t group) const { return group_id_[group]; }
  int32_t group_count(int32_t group) const { return count_[group]; }        // tokens, >= 1
  int32_t group_gate_row(int32_t group) const { return gate_row_[group]; }  // -1 unless the kind is gate
  int32_t gate_row_of(int32_t id) const {
    return group_of_id_[id] < 0 ? -1 : gate_row_[group_of_id_[id]];
  }  // of any id
  int32_t group_first_slot(int32_t group) const { return first_slot_[group]; }

  // State: all that decides future behaviour, as a string of bytes that an object of the same shape can take over
  // (where groups may have other numbers).
  size_t state_bytes() const;  // upper bound, from the shape alone
  size_t save(uint8_t* out) const;
  bool load(const uint8_t* in, size_t n);  // of anyone's bytes; false: not a state of this shape, and now cleared

 private:
  static constexpr int32_t kKinds = 3, kClasses = 32;  // size classes: 1, 2, ..., 31, more

  struct OldValue {
    int32_t* field;
    int32_t value;
  };

  static int32_t class_of(int32_t count) { return (count < kClasses ? count : kClasses) - 1; }
  static int32_t list_of(int32_t kind, int32_t count) { return count == 0 ? -1 : kind * kClasses + class_of(count); }
  int32_t first_from(int32_t kind, int32_t size_class) const;
  int32_t largest_keys(int32_t except) const;

  void set(int32_t* field, int32_t value);
  void set_shape(int32_t group, GroupKind kind, int32_t count);
  void free_row(int32_t row);
  int32_t take_row();
  void own_keys(int32_t slot, int32_t row);
  void own_gate(int32_t group, int32_t row);

  int32_t open_group(int32_t id);
  void close_group(int32_t group);
  void append(int32_t slot, int32_t group);
  void take_out(int32_t slot);

  Conversion& convert(int32_t group, int32_t gate_from);
  void write_keys(int32_t slot, int32_t row);
  void gate_to_keys(int32_t group);
  void keys_to_gate(int32_t group);
  bool demote_largest(int32_t except, int32_t min_count);
  int32_t make_room(int32_t id);
  void promote(int32_t current);

  void forget_all();
  bool load_groups(const uint8_t* in, size_t n);

  int32_t vocab_size_ = 0, capacity_ = 0, n_rows_ = 0;
  bool keeps_keys_ = false;

  int32_t* group_of_id_ = nullptr;  // [vocab_size]; -1: not cached

  // Of a slot: [capacity]. The slots of a group are a list, in the order in which they came.
  int32_t* group_of_slot_ = nullptr;
  int32_t* slot_next_ = nullptr;
  int32_t* slot_prev_ = nullptr;
  int32_t* row_of_slot_ = nullptr;

  // Of a group: [capacity]. The groups of one kind and one size class are a list, in which the newest comes first;
  // those of no tokens are another, through group_next_ alone.
  int32_t* group_id_ = nullptr;
  int32_t* kind_ = nullptr;
  int32_t* count_ = nullptr;  // 0: there is no such group
  int32_t* gate_row_ = nullptr;
  int32_t* first_slot_ = nullptr;
  int32_t* last_slot_ = nullptr;
  int32_t* group_next_ = nullptr;
  int32_t* group_prev_ = nullptr;
  int32_t heads_[kKinds * kClasses] = {};  // by list_of()
  int32_t unused_group_ = -1;              // first of the list

  int32_t* row_owner_ = nullptr;  // [n_rows]: its slot, kFreeRow, or kGateRow - group
  int32_t* free_rows_ = nullptr;  // [n_rows], a stack of n_free_
  int32_t n_free_ = 0;
  int32_t n_used_ = 0;  // slots

  OldValue* log_ = nullptr;  // what replace() overwrote, oldest first; lay_out() says how long it may be
  int32_t n_log_ = 0, log_size_ = 0;

  Conversion conversions_[kMaxConversions] = {};
  KeyWrite key_writes_[kMaxKeyWrites] = {};
  int32_t n_conversions_ = 0, n_key_writes_ = 0;
};

}  // namespace pith::internal

#endif

// The policy of TokenGroups once more, slowly and with the standard library, and what of the two is compared.
#ifndef PITH_TESTS_TOKEN_GROUPS_MODEL_H
#define PITH_TESTS_TOKEN_GROUPS_MODEL_H

#include <algorithm>
#include <list>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "cache/token_groups.h"

namespace pith::test::token_groups {

using namespace internal;

struct Shape {
  int vocab_size, capacity, n_rows;
  bool keeps_keys;
};

struct Change {  // a conversion with its keys
  int id, gate_from, gate_to;
  bool is_current;
  std::vector<std::pair<int, int>> keys;  // slot, row
  bool operator==(const Change&) const = default;
};

inline std::vector<Change> changes_of(const TokenGroups& groups) {
  std::vector<Change> out;
  for (int i = 0; i < groups.n_conversions(); ++i) {
    const Conversion& c = groups.conversion(i);
    out.push_back({c.id, c.gate_from, c.gate_to, c.is_current, {}});
    for (int k = 0; k < c.n_keys; ++k) {
      const KeyWrite& key = groups.key_write(c.first_key + k);
      out.back().keys.push_back({key.slot, key.row});
    }
  }
  return out;
}

struct View {  // a group
  GroupKind kind;
  int id, gate_row;
  std::vector<std::pair<int, int>> tokens;  // slot, row
  bool operator==(const View&) const = default;
};

inline std::vector<View> view_of(const TokenGroups& groups) {
  std::vector<View> out;
  for (const GroupKind kind : {GroupKind::keys, GroupKind::gate, GroupKind::none}) {
    for (int g = groups.first_group(kind); g >= 0; g = groups.next_group(g)) {
      out.push_back({groups.group_kind(g), groups.group_id(g), groups.group_gate_row(g), {}});
      for (int slot = groups.group_first_slot(g); slot >= 0; slot = groups.next_slot(slot))
        out.back().tokens.push_back({slot, groups.row_of(slot)});
    }
  }
  return out;
}

enum Event {  // what a trace has brought about
  left_to_keys,
  other_demoted,
  self_demoted,
  promoted_to_keys,
  none_to_keys,
  none_to_gate,
  self_promoted,
  gate_reused,
  self_to_gate,
  n_events
};

struct Model {
  struct Group {
    GroupKind kind;
    std::list<int> slots;
    int gate = -1;
  };
  using Order = std::map<std::pair<int, int>, std::list<int>>;  // ids by (kind, size class), the newest first

  explicit Model(const Shape& with) : shape(with) {
    for (int row = shape.n_rows; row-- > 0;) free.push_back(row);
  }

  std::pair<int, int> place(int id) const {
    const Group& group = groups.at(id);
    return {int(group.kind), std::min(int(group.slots.size()), 32)};
  }
  void leave_list(std::pair<int, int> from, int id) { order[from].remove(id); }
  // Runs f, which changes the group of the id, and moves it to the list where it belongs then.
  template <typename F>
  void change(int id, F f) {
    const auto from = place(id);
    f(groups.at(id));
    const auto to = place(id);
    if (from == to) return;
    leave_list(from, id);
    if (to.second > 0) order[to].push_front(id);
  }
  int take() {
    const int row = free.back();
    free.pop_back();
    return row;
  }
  void give_back(int row) { free.push_back(row); }

  void take_out(int slot) {
    const int id = id_of.at(slot);
    change(id, [&](Group& group) { group.slots.remove(slot); });
    id_of.erase(slot);
    if (row_of.count(slot)) give_back(row_of.at(slot));
    row_of.erase(slot);
    if (!groups.at(id).slots.empty()) return;
    if (groups.at(id).gate >= 0) give_back(groups.at(id).gate);
    groups.erase(id);
  }

  // All tokens get rows, the first that of the gate.
  void all_keys(int id, Change* to) {
    change(id, [&](Group& group) {
      for (const int slot : group.slots) {
        row_of[slot] = slot == group.slots.front() && group.gate >= 0 ? group.gate : take();
        to->keys.push_back({slot, row_of[slot]});
      }
      group.gate = -1;
      group.kind = GroupKind::keys;
    });
    to->gate_to = -1;
  }
  void one_gate(int id) {
    change(id, [&](Group& group) {
      for (const int slot : group.slots) {
        if (slot == group.slots.front()) group.gate = row_of.at(slot);
        else give_back(row_of.at(slot));
        row_of.erase(slot);
      }
      group.kind = GroupKind::gate;
    });
  }
  // The id of the largest class of keys groups from 2 tokens on, not this one.
  std::optional<int> largest(int except) const {
    for (auto it = order.rbegin(); it != order.rend(); ++it) {
      if (it->first.first != int(GroupKind::keys) || it->first.second < 2) continue;
      for (const int id : it->second) {
        if (id != except) return id;
      }
    }
    return {};
  }
  std::optional<int> smallest(GroupKind kind) const {
    for (const auto& [at, ids] : order) {
      if (at.first == int(kind) && !ids.empty()) return ids.front();
    }
    return {};
  }
  size_t count(int id) const { return groups.at(id).slots.size(); }

  void demote(int id) {
    one_gate(id);
    changes.push_back({id, -1, groups.at(id).gate, false, {}});
    ++events[other_demoted];
  }

  void replace(int slot, int id) {
    changes.clear();
    Change own{id, groups.count(id) ? groups.at(id).gate : -1, -1, true, {}};
    if (id_of.count(slot)) {
      const int old = id_of.at(slot);
      take_out(slot);
      if (old != id && groups.count(old) && groups.at(old).kind == GroupKind::gate && count(old) == 1 &&
          shape.keeps_keys) {
        Change left{old, groups.at(old).gate, -1, false, {}};
        all_keys(old, &left);
        changes.push_back(left);
        ++events[left_to_keys];
      }
    }
    const bool is_new = !groups.count(id);
    if (is_new) {
      if (free.empty() && largest(id)) demote(*largest(id));
      const GroupKind kind = free.empty() ? GroupKind::none : shape.keeps_keys ? GroupKind::keys : GroupKind::gate;
      groups[id] = Group{kind, {}, kind == GroupKind::gate ? take() : -1};
      if (groups.at(id).gate != own.gate_from) own.gate_to = groups.at(id).gate;
      events[gate_reused] += own.gate_from >= 0;
    } else if (groups.at(id).kind == GroupKind::keys && free.empty()) {
      const auto other = largest(id);
      if (other && count(*other) > count(id) + 1) {
        demote(*other);
      } else {
        one_gate(id);
        own.gate_to = groups.at(id).gate;
        ++events[self_demoted];
      }
    } else if (groups.at(id).kind == GroupKind::none && !free.empty()) {
      own.gate_to = take();
      change(id, [&](Group& group) { group.kind = GroupKind::gate, group.gate = own.gate_to; });
      ++events[self_to_gate];
    }
    change(id, [&](Group& group) { group.slots.push_back(slot); });
    id_of[slot] = id;
    if (groups.at(id).kind == GroupKind::keys) {
      row_of[slot] = take();
      own.keys.push_back({slot, row_of[slot]});
    }
    changes.push_back(own);
    promote(id);
  }

  void promote(int current) {
    if (free.empty()) return;
    if (const auto none = smallest(GroupKind::none)) {
      changes.push_back({*none, -1, -1, false, {}});
      if (shape.keeps_keys && count(*none) == 1) {
        all_keys(*none, &changes.back());
        ++events[none_to_keys];
      } else {
        const int row = changes.back().gate_to = take();
        change(*none, [&](Group& group) { group.kind = GroupKind::gate, group.gate = row; });
        ++events[none_to_gate];
      }
      return;
    }
    const auto gate = smallest(GroupKind::gate);
    if (!gate || !shape.keeps_keys || int(id_of.size()) < shape.capacity) return;
    if (count(*gate) > 8 || free.size() < 2 * count(*gate)) return;
    if (*gate != current) changes.push_back({*gate, groups.at(*gate).gate, -1, false, {}});
    all_keys(*gate, &changes.back());
    ++events[*gate == current ? self_promoted : promoted_to_keys];
  }

  std::vector<View> view() const {
    std::vector<View> out;
    for (const auto& [at, ids] : order) {
      for (const int id : ids) {
        const Group& group = groups.at(id);
        out.push_back({group.kind, id, group.gate, {}});
        for (const int slot : group.slots)
          out.back().tokens.push_back({slot, row_of.count(slot) ? row_of.at(slot) : -1});
      }
    }
    return out;
  }

  Shape shape;
  std::map<int, Group> groups;  // by id
  Order order;
  std::map<int, int> id_of, row_of;  // by slot
  std::vector<int> free;
  std::vector<Change> changes;
  int events[n_events] = {};
};

}  // namespace pith::test::token_groups

#endif

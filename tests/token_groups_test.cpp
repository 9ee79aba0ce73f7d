// Which groups of tokens hold rows: against a slow model of the same policy, against a simulated pool that carries the
// conversions out, and whether undo() and saved states keep everything.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "token_groups_model.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test::token_groups;  // other tests have a Model and a Shape too

namespace {

using Bytes = std::vector<uint8_t>;
using Engine = std::mt19937_64;

int below(Engine& engine, int n) { return int(engine() % uint64_t(n)); }

// TokenGroups in memory of exactly its size, which was not zero.
class Groups {
 public:
  explicit Groups(const Shape& with) : shape(with), groups_(new TokenGroups) {
    Arena measure;
    lay_out(&measure);
    memory_.reset(static_cast<uint8_t*>(std::aligned_alloc(kAlignment, measure.used())));
    std::memset(memory_.get(), 0xa5, measure.used());
    Arena arena(memory_.get());
    lay_out(&arena);
    REQUIRE(arena.used() == measure.used());
  }
  TokenGroups* operator->() { return groups_.get(); }
  const TokenGroups* operator->() const { return groups_.get(); }
  operator const TokenGroups&() const { return *groups_; }
  Bytes state() const {
    Bytes out(groups_->state_bytes());
    out.resize(groups_->save(out.data()));
    return out;
  }
  const Shape shape;

 private:
  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  void lay_out(Arena* arena) {
    groups_->lay_out(shape.vocab_size, shape.capacity, shape.n_rows,
                     shape.keeps_keys ? RowUse::gates_and_keys : RowUse::gates, arena);
  }
  std::unique_ptr<uint8_t, Free> memory_;
  std::unique_ptr<TokenGroups> groups_;
};

// ---- without the model ----------------------------------------------------------------------------------------------

#define HOLDS(condition) \
  if (!(condition)) return #condition

// Everything that holds whatever the policy; the first breach, or NULL.
const char* breach(const Groups& groups) {
  const auto [vocab_size, capacity, n_rows, keeps_keys] = groups.shape;
  std::vector<int> owners(size_t(n_rows), 0), uses(size_t(capacity), 0), group_uses(size_t(capacity), 0);
  std::vector<bool> ids(size_t(vocab_size), false);
  for (const GroupKind kind : {GroupKind::keys, GroupKind::gate, GroupKind::none}) {
    int count_before = 0;
    for (int g = groups->first_group(kind); g >= 0; g = groups->next_group(g)) {
      HOLDS(g < capacity && group_uses[size_t(g)]++ == 0);
      HOLDS(groups->group_kind(g) == kind && (keeps_keys || kind != GroupKind::keys));
      const int id = groups->group_id(g), gate_row = groups->group_gate_row(g);
      HOLDS(id >= 0 && id < vocab_size && !ids[size_t(id)]);
      ids[size_t(id)] = true;
      HOLDS((gate_row >= 0) == (kind == GroupKind::gate));
      if (gate_row >= 0) {
        HOLDS(gate_row < n_rows && groups->row_slot(gate_row) == kGateRow && groups->row_gate_id(gate_row) == id);
        ++owners[size_t(gate_row)];
      }
      int n = 0;
      for (int slot = groups->group_first_slot(g); slot >= 0; slot = groups->next_slot(slot), ++n) {
        HOLDS(slot < capacity && uses[size_t(slot)]++ == 0);
        HOLDS(groups->is_used(slot) && groups->group_of(slot) == g && groups->id(slot) == id);
        const int row = groups->row_of(slot);
        HOLDS((row >= 0) == (kind == GroupKind::keys));
        if (row < 0) continue;
        HOLDS(row < n_rows && groups->row_slot(row) == slot);
        ++owners[size_t(row)];
      }
      HOLDS(n == groups->group_count(g) && n > 0);
      HOLDS(std::min(n, 32) >= count_before);
      count_before = std::min(n, 32);
    }
  }
  int n_free = 0;
  for (int row = 0; row < n_rows; ++row) {
    const bool is_free = groups->row_slot(row) == kFreeRow;
    HOLDS(owners[size_t(row)] == (is_free ? 0 : 1));
    n_free += is_free;
  }
  HOLDS(n_free == groups->n_free_rows() && groups->n_rows() == n_rows);
  for (int slot = 0; slot < capacity; ++slot) {
    HOLDS(uses[size_t(slot)] == (groups->is_used(slot) ? 1 : 0));
    HOLDS(groups->is_used(slot) || (groups->group_of(slot) == -1 && groups->row_of(slot) == -1));
  }
  return nullptr;
}

// What a layer's rows hold, by whoever carries the conversions out.
class Pool {
 public:
  explicit Pool(const Shape& shape) : rows_(size_t(shape.n_rows)), generation_(size_t(shape.capacity), 0) {}
  explicit Pool(const Groups& groups) : Pool(groups.shape) {
    for (int row = 0; row < groups->n_rows(); ++row) rebuild(groups, row);
  }

  // After replace(slot, ...); false: a conversion reads a gate that is not there.
  bool follow(const Groups& groups, int slot) {
    ++generation_[size_t(slot)];
    for (const Change& change : changes_of(groups)) {
      const Content gate{'g', change.id, 0};
      if (change.gate_from >= 0 && rows_[size_t(change.gate_from)] != gate) return false;
      if (change.gate_to >= 0) rows_[size_t(change.gate_to)] = gate;
      for (const auto& [key_slot, row] : change.keys) rows_[size_t(row)] = keys(key_slot);
    }
    return true;
  }
  // After undo() of replace(slot, ...): what was overwritten is rebuilt.
  void follow_undo(const Groups& groups, int slot) {
    --generation_[size_t(slot)];
    for (const Change& change : changes_of(groups)) {
      if (change.gate_to >= 0) rebuild(groups, change.gate_to);
      for (const auto& [key_slot, row] : change.keys) rebuild(groups, row);
    }
  }
  bool is_as_owned(const Groups& groups) const {
    for (int row = 0; row < groups->n_rows(); ++row) {
      if (groups->row_slot(row) != kFreeRow && rows_[size_t(row)] != owned(groups, row)) return false;
    }
    return true;
  }

 private:
  using Content = std::tuple<char, int, int>;  // ('g', id, 0) or ('k', slot, generation of the slot)
  Content keys(int slot) const { return {'k', slot, generation_[size_t(slot)]}; }
  Content owned(const Groups& groups, int row) const {
    const int slot = groups->row_slot(row);
    return slot == kGateRow ? Content{'g', groups->row_gate_id(row), 0} : keys(slot);
  }
  void rebuild(const Groups& groups, int row) {
    if (groups->row_slot(row) != kFreeRow) rows_[size_t(row)] = owned(groups, row);
  }
  std::vector<Content> rows_;
  std::vector<int> generation_;
};

// ---- traces ---------------------------------------------------------------------------------------------------------

enum class Trace { distinct, equal, zipf, text, alternating };
constexpr Trace kTraces[] = {Trace::distinct, Trace::equal, Trace::zipf, Trace::text, Trace::alternating};

class Ids {
 public:
  Ids(Trace trace, const Shape& shape, Engine* engine) : trace_(trace), shape_(shape), engine_(*engine) {
    double sum = 0;
    for (int i = 0; i < shape.vocab_size; ++i) cumulative_.push_back(sum += 1.0 / (i + 1));
  }
  int next() {
    ++n_;
    if (trace_ == Trace::distinct) return n_ % shape_.vocab_size;
    if (trace_ == Trace::equal) return 7 % shape_.vocab_size;
    if (trace_ == Trace::zipf) return zipf();
    if (trace_ == Trace::text) {  // half are repeats of the last 100
      recent_.push_back(recent_.empty() || engine_() % 2 == 0 ? below(engine_, shape_.vocab_size)
                                                              : recent_[engine_() % recent_.size()]);
      if (recent_.size() > 100) recent_.erase(recent_.begin());
      return recent_.back();
    }
    // Phases of a few ids that grow large groups, and of hapaxes that take their rows.
    if (left_-- <= 0) {
      left_ = below(engine_, shape_.capacity + 2);
      n_ids_ = engine_() % 2 == 0 ? shape_.vocab_size : 1 + below(engine_, 4);
      first_ = below(engine_, shape_.vocab_size);
    }
    return (first_ + n_ % n_ids_) % shape_.vocab_size;
  }

 private:
  int zipf() {
    const double at = std::uniform_real_distribution<double>(0, cumulative_.back())(engine_);
    return int(std::lower_bound(cumulative_.begin(), cumulative_.end(), at) - cumulative_.begin());
  }
  Trace trace_;
  Shape shape_;
  Engine& engine_;
  std::vector<double> cumulative_;
  std::vector<int> recent_;
  int n_ = 0, left_ = 0, n_ids_ = 1, first_ = 0;
};

// The ring that calls: the first n_keep slots are never replaced, and the newest tokens may be taken away again.
class Ring {
 public:
  Ring(int capacity, int n_keep) : capacity_(capacity), n_keep_(n_keep) {}
  int slot() const { return slot_of(n_tokens_); }
  void advance() { ++n_tokens_; }
  // The slot of the newest token, if it is still the token that was put there.
  std::optional<int> retreat(const TokenGroups& groups) {
    if (n_tokens_ == 0 || !groups.is_used(slot_of(n_tokens_ - 1))) return {};
    return slot_of(--n_tokens_);
  }

 private:
  int slot_of(int position) const {
    return position < capacity_ ? position : n_keep_ + (position - n_keep_) % (capacity_ - n_keep_);
  }
  int capacity_, n_keep_, n_tokens_ = 0;
};

Shape random_shape(Engine& engine) {
  const int capacity = engine() % 8 == 0 ? 1 + below(engine, 3) : 1 + below(engine, 1 << (2 + engine() % 7)) % 200;
  const int n_rows = below(engine, 2 * capacity + 1) / (1 + below(engine, 3));
  return {1 + below(engine, 3 * capacity + 2), capacity, n_rows, engine() % 4 != 0};
}

// The groups, the model and a pool in step, everything compared after everything.
struct Checked {
  explicit Checked(const Shape& shape) : groups(shape), model(shape), pool(shape) { check(); }

  void replace(int slot, int id) {
    model.replace(slot, id);
    groups->replace(slot, id);
    REQUIRE(changes_of(groups) == model.changes);
    REQUIRE(pool.follow(groups, slot));
    check();
  }
  void replace_and_undo(int slot, int id) {
    const Bytes before = groups.state();
    const std::vector<int> numbers = group_numbers();
    groups->replace(slot, id);
    REQUIRE(pool.follow(groups, slot));
    REQUIRE(pool.is_as_owned(groups));
    groups->undo();
    REQUIRE(groups.state() == before);
    REQUIRE(group_numbers() == numbers);
    pool.follow_undo(groups, slot);
    check();
  }
  void remove(int slot) {
    model.take_out(slot);
    groups->remove(slot);
    check();
  }

  Groups groups;
  Model model;
  Pool pool;

 private:
  void check() const {
    REQUIRE(breach(groups) == nullptr);
    REQUIRE(view_of(groups) == model.view());
    REQUIRE(groups->n_free_rows() == int(model.free.size()));
    REQUIRE(pool.is_as_owned(groups));
  }
  std::vector<int> group_numbers() const {
    std::vector<int> out;
    for (int slot = 0; slot < groups.shape.capacity; ++slot) out.push_back(groups->group_of(slot));
    return out;
  }
};

}  // namespace

TEST_CASE("groups follow the model of the policy, and rows hold what their owners say, with undo and removals") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  Engine engine(seed);
  int events[n_events] = {};
  for (int round = 0; round < 500; ++round) {
    CAPTURE(round);
    const Shape shape = random_shape(engine);
    CAPTURE(shape.vocab_size);
    CAPTURE(shape.capacity);
    CAPTURE(shape.n_rows);
    CAPTURE(shape.keeps_keys);
    Ids ids(kTraces[round % 5], shape, &engine);
    Ring ring(shape.capacity, engine() % 2 == 0 ? 0 : below(engine, shape.capacity));
    Checked checked(shape);
    const auto next_id = [&] {  // in every other round mostly of gate groups: they leave rows free
      int group = checked.groups->first_group(GroupKind::gate);
      if (group < 0 || round % 2 == 0 || engine() % 4 == 0) return ids.next();
      while (engine() % 4 != 0 && checked.groups->next_group(group) >= 0) group = checked.groups->next_group(group);
      return checked.groups->group_id(group);
    };
    const int undo_every = 1 + below(engine, 6), remove_every = engine() % 2 == 0 ? 1 << 30 : 5 + below(engine, 100);
    const int n_steps = 100 + 3 * shape.capacity;
    for (int step = 0; step < n_steps; ++step) {
      CAPTURE(step);
      if (step % undo_every == 0) checked.replace_and_undo(ring.slot(), next_id());
      checked.replace(ring.slot(), next_id());
      ring.advance();
      if (step % remove_every != 0) continue;
      for (int n = 1 + below(engine, 1 + below(engine, shape.capacity)); n > 0; --n) {
        if (const auto newest = ring.retreat(checked.groups)) checked.remove(*newest);
      }
    }
    for (int i = 0; i < n_events; ++i) events[i] += checked.model.events[i];
  }
  // Positive control: all that can happen did, but for what a case of its own brings about.
  for (int i = 0; i < n_events; ++i) {
    CAPTURE(i);
    CHECK((events[i] > 0 || i == self_promoted));
  }
}

// Ids by letter, slots from 0 on.
void put(Checked* checked, int first_slot, const char* ids) {
  for (int slot = first_slot; *ids != 0; ++ids) checked->replace(slot++, *ids);
}

TEST_CASE("rows go to hapaxes, then to gates, and come back from the largest group of keys") {
  Checked c({128, 10, 8, true});
  const auto last = [&] { return changes_of(c.groups).back(); };
  put(&c, 0, "aabbcdef");
  CHECK(c.groups->n_free_rows() == 0);
  CHECK(last() == Change{'f', -1, -1, true, {{7, 7}}});
  c.replace(8, 'g');  // b, the newest pair, keeps the row of its first token, and g gets the other
  CHECK(changes_of(c.groups) == std::vector<Change>{{'b', -1, 2, false, {}}, {'g', -1, -1, true, {{8, 3}}}});
  c.replace(9, 'h');
  CHECK(c.groups->first_group(GroupKind::none) == -1);
  c.replace_and_undo(0, 'i');  // a of one token becomes keys, no row is left, and i gets none
  c.replace_and_undo(4, 'b');  // the row of c is free now, but two of them are not
  CHECK(last() == Change{'b', 2, -1, true, {}});

  // Six rows are free and the ring fills up with a, until b of three tokens can have them all.
  for (int slot = 10; slot-- > 4;) c.remove(slot);
  put(&c, 4, "aaaaa");
  CHECK(c.groups->n_free_rows() == 6);
  CHECK(changes_of(c.groups) == std::vector<Change>{{'a', 0, -1, true, {}}});
  c.replace(9, 'b');
  CHECK(c.model.events[self_promoted] == 1);
  REQUIRE(c.groups->n_conversions() == 1);
  CHECK(last().gate_from == 2);
  CHECK(last().keys.size() == 3);
  CHECK(last().keys[0] == std::pair(2, 2));
  CHECK(c.groups->n_free_rows() == 4);
}

TEST_CASE("a gate group of up to 8 tokens gets rows for its keys where twice as many are free") {
  for (const int n_tokens : {8, 9}) {
    CAPTURE(n_tokens);
    Checked c({128, 24 + n_tokens + 2, 24, true});
    std::string ids;
    for (int i = 0; i < 24; ++i) ids += char('A' + i);  // every row is a hapax's
    put(&c, 0, (ids + std::string(size_t(n_tokens), 'z') + "yy").c_str());
    for (int slot = 0; slot < 21; ++slot) c.remove(slot);
    for (int slot = 0; slot < 21; ++slot) {  // the ring fills up; y and z get a gate each, and 19 rows stay free
      CHECK(c.groups->group_kind(c.groups->group_of(24)) != GroupKind::keys);
      c.replace(slot, 'y');
    }
    CHECK((c.groups->group_kind(c.groups->group_of(24)) == GroupKind::keys) == (n_tokens == 8));
  }
}

TEST_CASE("the largest group of keys is another one than that which grows, though it be the first of its list") {
  Checked c({128, 100, 73, true});
  put(&c, 0, (std::string(20, 'a') + std::string(40, 'b') + std::string(13, 'a')).c_str());
  CHECK(c.groups->n_free_rows() == 0);
  c.replace(73, 'a');
  CHECK(c.groups->group_kind(c.groups->group_of(0)) == GroupKind::keys);
  CHECK(c.groups->group_kind(c.groups->group_of(20)) == GroupKind::gate);
}

TEST_CASE("without keys, rows are gates alone, and a token that replaces itself keeps its own") {
  Checked c({128, 4, 2, false});
  put(&c, 0, "abca");
  CHECK(c.groups->first_group(GroupKind::keys) == -1);
  CHECK(c.groups->group_kind(c.groups->group_of(2)) == GroupKind::none);
  c.replace(1, 'b');
  CHECK(changes_of(c.groups) == std::vector<Change>{{'b', 1, -1, true, {}}});
  c.replace(1, 'a');  // c gets the row of b
  CHECK(changes_of(c.groups) == std::vector<Change>{{'a', 0, -1, true, {}}, {'c', -1, 1, false, {}}});
}

TEST_CASE("undo takes back only what replace did, and only once") {
  Checked c({128, 4, 4, true});
  put(&c, 0, "aab");
  const Bytes before = c.groups.state();
  c.groups->replace(3, 'c');
  c.groups->undo();
  c.groups->undo();
  CHECK(c.groups.state() == before);
  c.remove(2);
  const Bytes removed = c.groups.state();
  c.groups->undo();
  CHECK(c.groups.state() == removed);
}

// ---- saved states ---------------------------------------------------------------------------------------------------

namespace {

// From memory of exactly that size.
bool load(Groups* groups, std::span<const uint8_t> state) {
  const std::unique_ptr<uint8_t[]> copy(new uint8_t[state.size()]);
  std::copy(state.begin(), state.end(), copy.get());
  return (*groups)->load(copy.get(), state.size());
}

bool is_empty(const Groups& groups) {
  bool is_used = false;
  for (int slot = 0; slot < groups.shape.capacity; ++slot) is_used |= groups->is_used(slot);
  return !is_used && view_of(groups).empty() && groups->n_free_rows() == groups.shape.n_rows &&
         breach(groups) == nullptr;
}

Groups filled(const Shape& shape, Trace trace, int n_tokens, Engine* engine) {
  Groups groups(shape);
  Ids ids(trace, shape, engine);
  for (int t = 0; t < n_tokens; ++t) groups->replace(t % shape.capacity, ids.next());
  return groups;
}

}  // namespace

TEST_CASE("a loaded state decides as the saved one would have") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  Engine engine(seed);
  for (int round = 0; round < 60; ++round) {
    CAPTURE(round);
    const Shape shape = random_shape(engine);
    const Trace trace = kTraces[round % 5];
    Groups groups = filled(shape, trace, below(engine, 4 * shape.capacity), &engine);
    for (int n = below(engine, 4); n > 0; --n) {
      const int slot = below(engine, shape.capacity);
      if (groups->is_used(slot)) groups->remove(slot);
    }
    const Bytes state = groups.state();
    CHECK(state.size() <= groups->state_bytes());
    Groups other = filled(shape, trace, below(engine, 2 * shape.capacity), &engine);
    REQUIRE(load(&other, state));
    REQUIRE(breach(other) == nullptr);
    REQUIRE(other.state() == state);
    Ids ids(trace, shape, &engine);
    Pool pool(other);
    for (int step = 0; step < 500; ++step) {
      CAPTURE(step);
      const int slot = engine() % 4 == 0 ? below(engine, shape.capacity) : step % shape.capacity, id = ids.next();
      groups->replace(slot, id);
      other->replace(slot, id);
      REQUIRE(changes_of(groups) == changes_of(other));
      REQUIRE(view_of(groups) == view_of(other));
      REQUIRE(pool.follow(other, slot));
      REQUIRE(pool.is_as_owned(other));
    }
    CHECK(groups.state() == other.state());
    groups->clear();
    CHECK(is_empty(groups));
    CHECK(groups.state() == Groups(shape).state());
  }
}

TEST_CASE("states of other shapes, shortened and lengthened ones are refused") {
  Engine engine(1);
  const Shape shape{50, 40, 30, true};
  Bytes state = filled(shape, Trace::text, 100, &engine).state();
  for (const Shape& other :
       {Shape{51, 40, 30, true}, Shape{50, 41, 30, true}, Shape{50, 40, 31, true}, Shape{50, 40, 30, false}}) {
    Groups groups = filled(other, Trace::zipf, 60, &engine);
    CHECK_FALSE(load(&groups, state));
    CHECK(is_empty(groups));
  }
  Groups groups(shape);
  for (size_t n = 0; n < state.size(); ++n) {
    CAPTURE(n);
    CHECK_FALSE(load(&groups, std::span(state).first(n)));
    CHECK(is_empty(groups));
  }
  for (size_t word = 0; word < state.size(); word += 4) {
    CAPTURE(word);
    Bytes negative = state;
    std::fill_n(negative.begin() + std::ptrdiff_t(word), 4, uint8_t(0xff));
    CHECK_FALSE(load(&groups, negative));
    CHECK(is_empty(groups));
  }
  CHECK(load(&groups, state));
  for (int n = 1; n <= 5; ++n) {
    state.push_back(0);
    CHECK_FALSE(load(&groups, state));
    CHECK(is_empty(groups));
  }
}

TEST_CASE("states that replace() never leaves are taken if they are sound") {
  const Shape shape{4, 3, 7, true};
  const auto load_words = [&](Groups* groups, std::vector<uint8_t> words, uint8_t n_groups = 2) {
    words.insert(words.begin(), {4, 3, 7, 1, 0, 0, n_groups});  // the shape; groups of kind none
    for (uint8_t row = 0; row < 7; ++row) words.push_back(row);
    Bytes state;
    for (const uint8_t word : words) state.insert(state.end(), {word, 0, 0, 0});
    return load(groups, state);
  };
  Groups groups(shape);
  CHECK(load_words(&groups, {/*id*/ 0, /*tokens*/ 1, 0, 1, 2, 1, 2}));
  CHECK_FALSE(load_words(&groups, {1, 2, 1, 2, 0, 1, 0}));                    // larger ones first
  CHECK_FALSE(load_words(&groups, {0, 3, 0, 1, 2, 1, 1, 0}));                 // more tokens than slots
  CHECK_FALSE(load_words(&groups, {0, 1, 0, 1, 0}));                          // a group of no tokens
  CHECK_FALSE(load_words(&groups, {0, 1, 0, 1, 1, 1, 2, 1, 2, 3, 1, 0}, 4));  // more groups than slots
  CHECK(is_empty(groups));
  CHECK(load_words(&groups, {0, 1, 0, 1, 1, 1, 2, 1, 2}, 3));

  // A group of keys, a row for its token, where there are none.
  for (const int keeps_keys : {1, 0}) {
    Groups other({4, 3, 7, keeps_keys != 0});
    Bytes state;
    for (const int word : {4, 3, 7, keeps_keys, 1, 0, 0, 0, 1, 0, 6, 0, 1, 2, 3, 4, 5})
      state.insert(state.end(), {uint8_t(word), 0, 0, 0});
    CHECK(load(&other, state) == (keeps_keys != 0));
  }

  // A gate row, and at once keys: the ring is full, and of the seven rows enough are free.
  CHECK(load_words(&groups, {0, 1, 0, 1, 2, 1, 2}));
  groups->replace(0, 1);
  CHECK(changes_of(groups) == std::vector<Change>{{1, -1, -1, true, {{1, 6}, {2, 5}, {0, 4}}}});
  CHECK(breach(groups) == nullptr);
}

TEST_CASE("what a changed state decides is sound, or the state is refused") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  Engine engine(seed);
  int n_accepted = 0, n_refused = 0;
  for (int round = 0; round < 4000; ++round) {
    CAPTURE(round);
    const Shape shape{40, 1 + below(engine, 30), below(engine, 40), engine() % 4 != 0};
    Groups groups = filled(shape, kTraces[round % 5], below(engine, 3 * shape.capacity), &engine);
    Bytes state = groups.state();
    for (int n = 1 + below(engine, 3); n > 0; --n) {
      uint8_t* one = state.data() + engine() % state.size();
      uint8_t* word = state.data() + 4 * (engine() % (state.size() / 4));
      uint8_t* other = state.data() + 4 * (engine() % (state.size() / 4));
      if (round % 2 == 0) *one = uint8_t(*one ^ (1 << engine() % 8));
      else if (engine() % 2 == 0) std::swap_ranges(word, word + 4, other);
      else *word = uint8_t(engine() % 40);
    }
    if (!load(&groups, state)) {
      ++n_refused;
      CHECK(is_empty(groups));
    } else {
      ++n_accepted;
      REQUIRE(breach(groups) == nullptr);
      CHECK(groups.state() == state);
    }
    Pool pool(groups);
    Ids ids(Trace::alternating, shape, &engine);
    for (int step = 0; step < 20; ++step) {
      const int slot = below(engine, shape.capacity);
      groups->replace(slot, ids.next());
      REQUIRE(pool.follow(groups, slot));
      REQUIRE(pool.is_as_owned(groups));
      REQUIRE(breach(groups) == nullptr);
    }
  }
  CHECK(n_accepted > 100);
  CHECK(n_refused > 100);
}

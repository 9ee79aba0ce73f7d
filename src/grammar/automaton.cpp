#include "grammar/automaton.h"

#include <algorithm>
#include <cstring>

#include "ground/status.h"
#include "text/byte_hash.h"

namespace pith::internal {
namespace {

uint32_t hash_of_pair(uint32_t a, uint32_t b) { return uint32_t(mix(uint64_t(a) << 32 | b)); }

}  // namespace

void Automaton::lay_out(const Program* program, Arena* arena) {
  program_ = program;
  frames_ = arena->take<Frame>(kMaxFrames);
  frame_slots_ = arena->take<uint32_t>(2 * kMaxFrames);
  sets_ = arena->take<Set>(kMaxStates);
  set_slots_ = arena->take<uint32_t>(2 * kMaxStates);
  places_ = arena->take<Place>(kMaxPlaces);
  transitions_ = arena->take<State>(size_t(kMaxStates) * 256);
  found_ = arena->take<Place>(kMaxVisits);
  open_ = arena->take<Place>(kMaxVisits);
  visits_ = arena->take<Visit>(2 * kMaxVisits);
  moved_ = arena->take<uint32_t>(kMaxFrames);
}

void Automaton::clear() {
  n_frames_ = n_places_ = 0;
  std::fill(frame_slots_, frame_slots_ + 2 * kMaxFrames, kNone);
  std::fill(set_slots_, set_slots_ + 2 * kMaxStates, kNone);
  sets_[kDead] = {0, 0, 0, false};
  std::fill(transitions_, transitions_ + 256, kDead);
  n_sets_ = 1;
  ++n_collections_;
}

pith_status Automaton::start(pith_error* error) {
  clear();
  stamp_ = 0;
  std::memset(static_cast<void*>(visits_), 0, 2 * kMaxVisits * sizeof(Visit));
  begin_step();
  State first = kDead;
  if (close({program_->rules[program_->root].start, kNone}) != Room::enough || intern(&first) != Room::enough)
    return fail(error, PITH_E_LIMIT, "grammar: it may begin in more than ", kMaxVisits,
                " ways; make it less ambiguous");
  path_[0] = first;
  return PITH_OK;
}

void Automaton::copy(const Automaton& o) {
  std::copy(o.path_, o.path_ + kPath, path_);
  n_frames_ = o.n_frames_;
  n_sets_ = o.n_sets_;
  n_places_ = o.n_places_;
  ++n_collections_;  // masks that were remembered are those of other states
  std::copy(o.frames_, o.frames_ + n_frames_, frames_);
  std::copy(o.frame_slots_, o.frame_slots_ + 2 * kMaxFrames, frame_slots_);
  std::copy(o.sets_, o.sets_ + n_sets_, sets_);
  std::copy(o.set_slots_, o.set_slots_ + 2 * kMaxStates, set_slots_);
  std::copy(o.places_, o.places_ + n_places_, places_);
  std::copy(o.transitions_, o.transitions_ + size_t(n_sets_) * 256, transitions_);
}

void Automaton::begin_step() {
  ++stamp_;
  if (stamp_ == 0) {
    std::memset(static_cast<void*>(visits_), 0, 2 * kMaxVisits * sizeof(Visit));
    ++stamp_;
  }
  may_end_ = false;
  n_found_ = n_open_ = n_visits_ = 0;
}

// Opens a place that this step has not visited yet, if the rest of its rule fits into the depth that is left.
Automaton::Room Automaton::visit(const Place& place) {
  const uint32_t need = program_->depth[place.at];
  if (need == Program::kNever || depth_of(place.frame) + need > Program::kMaxDepth) return Room::enough;
  for (uint32_t i = hash_of_pair(place.at, place.frame);; ++i) {
    Visit& slot = visits_[i & (2 * kMaxVisits - 1)];
    if (slot.stamp == stamp_) {
      if (slot.place == place) return Room::enough;
      continue;
    }
    if (n_visits_ == kMaxVisits) return Room::never;
    slot = {place, stamp_};
    ++n_visits_;
    open_[n_open_++] = place;
    return Room::enough;
  }
}

// Finds the places at which a byte is read next, from this one on.
Automaton::Room Automaton::close(const Place& place) {
  Room room = visit(place);
  while (n_open_ > 0 && room == Room::enough) {
    const Place p = open_[--n_open_];
    const Instruction& i = program_->code[p.at];
    switch (i.op) {
      case Op::byte: found_[n_found_++] = p; break;
      case Op::split:
        room = visit({i.a, p.frame});
        if (room == Room::enough) room = visit({i.b, p.frame});
        break;
      case Op::jump: room = visit({i.a, p.frame}); break;
      case Op::tail_call: room = visit({program_->rules[i.a].start, p.frame}); break;
      case Op::call: {
        uint32_t frame = kNone;
        room = push({p.at + 1, p.frame}, &frame);
        if (room == Room::enough) room = visit({program_->rules[i.a].start, frame});
        break;
      }
      case Op::leave:
        if (p.frame == kNone) may_end_ = true;
        else room = visit({frames_[p.frame].at, frames_[p.frame].below});
        break;
      case Op::fail: break;
    }
  }
  return room;
}

// The frame that goes on at a place.
Automaton::Room Automaton::push(const Place& place, uint32_t* frame) {
  for (uint32_t i = hash_of_pair(place.at, place.frame);; ++i) {
    uint32_t& slot = frame_slots_[i & (2 * kMaxFrames - 1)];
    if (slot == kNone) {
      if (n_frames_ == kMaxFrames) return Room::none;
      frames_[n_frames_] = {place.at, place.frame, depth_of(place.frame) + 1};
      slot = *frame = n_frames_++;
      return Room::enough;
    }
    if (frames_[slot].at == place.at && frames_[slot].below == place.frame) {
      *frame = slot;
      return Room::enough;
    }
  }
}

uint32_t Automaton::hash_of(const Place* places, uint32_t n, bool may_end) const {
  uint64_t hash = may_end ? 1 : 0;
  for (uint32_t i = 0; i < n; ++i) hash = mix(hash ^ (uint64_t(places[i].at) << 32 | places[i].frame)) + i;
  return uint32_t(hash);
}

// The state of what this step has found.
Automaton::Room Automaton::intern(State* out) {
  if (n_found_ == 0 && !may_end_) {
    *out = kDead;
    return Room::enough;
  }
  std::sort(found_, found_ + n_found_);
  const uint32_t hash = hash_of(found_, n_found_, may_end_);
  uint32_t i = hash;
  for (;; ++i) {
    const uint32_t slot = set_slots_[i & (2 * kMaxStates - 1)];
    if (slot == kNone) break;
    const Set& set = sets_[slot];
    if (set.hash != hash || set.count != n_found_ || set.may_end != may_end_) continue;
    if (!std::equal(found_, found_ + n_found_, places_ + set.first)) continue;
    *out = State(slot);
    return Room::enough;
  }
  if (n_sets_ == kMaxStates || n_places_ + n_found_ > kMaxPlaces) return Room::none;
  set_slots_[i & (2 * kMaxStates - 1)] = n_sets_;
  sets_[n_sets_] = {n_places_, n_found_, hash, may_end_};
  std::copy(found_, found_ + n_found_, places_ + n_places_);
  n_places_ += n_found_;
  std::fill(transitions_ + size_t(n_sets_) * 256, transitions_ + size_t(n_sets_ + 1) * 256, kUnknown);
  *out = State(n_sets_++);
  return Room::enough;
}

Automaton::Room Automaton::find_next(State from, uint8_t byte, State* out) {
  begin_step();
  const Set set = sets_[from];
  for (uint32_t i = 0; i < set.count; ++i) {
    const Place place = places_[set.first + i];
    const Instruction& at = program_->code[place.at];
    if (byte < at.first || byte > at.last) continue;
    if (const Room room = close({place.at + 1, place.frame}); room != Room::enough) return room;
  }
  return intern(out);
}

// And of all bytes around this one that the same places read.
void Automaton::remember(State from, uint8_t byte, State next) {
  uint32_t first = 0, last = 255;
  const Set& set = sets_[from];
  for (uint32_t i = 0; i < set.count; ++i) {
    const Instruction& at = program_->code[places_[set.first + i].at];
    if (byte < at.first) last = std::min(last, uint32_t(at.first) - 1);
    else first = std::max(first, uint32_t(byte > at.last ? at.last + 1 : at.first));
    if (byte >= at.first && byte <= at.last) last = std::min(last, uint32_t(at.last));
  }
  State* row = transitions_ + size_t(from) * 256;
  std::fill(row + first, row + last + 1, next);
}

pith_status Automaton::step(uint32_t from, uint8_t byte, uint32_t to, pith_error* error) {
  State next = known(path_[from], byte);
  if (next == kUnknown) {
    Room room = find_next(path_[from], byte, &next);
    if (room == Room::none) {
      collect(from + 1);
      room = find_next(path_[from], byte, &next);
    }
    if (room != Room::enough)
      return fail(error, PITH_E_LIMIT, "grammar: this text fits it in more ways than there is room to follow at once (",
                  kMaxVisits, " places, ", kMaxFrames, " frames); make it less ambiguous");
    remember(path_[from], byte, next);
  }
  path_[to] = next;
  return PITH_OK;
}

// Keeps the states of path[0 .. n_path), under new numbers in their order, and their frames.
void Automaton::collect(uint32_t n_path) {
  State kept[kPath];
  std::copy(path_, path_ + n_path, kept);
  std::sort(kept, kept + n_path);
  const uint32_t n_kept = uint32_t(std::unique(kept, kept + n_path) - kept);
  std::fill(moved_, moved_ + n_frames_, kNone);
  uint32_t n_sets = 1, n_places = 0;
  for (uint32_t k = 0; k < n_kept; ++k) {
    if (kept[k] == kDead) continue;
    Set set = sets_[kept[k]];
    for (uint32_t i = 0; i < set.count; ++i) {
      const Place place = places_[set.first + i];
      for (uint32_t f = place.frame; f != kNone && moved_[f] == kNone; f = frames_[f].below) moved_[f] = 0;
      places_[n_places + i] = place;
    }
    set.first = n_places;
    n_places += set.count;
    sets_[n_sets++] = set;
  }
  for (uint32_t i = 0; i < n_path; ++i) {
    const State* place = std::lower_bound(kept, kept + n_kept, path_[i]);
    if (path_[i] != kDead) path_[i] = State(place - kept + (kept[0] == kDead ? 0 : 1));
  }
  keep_frames();
  std::fill(set_slots_, set_slots_ + 2 * kMaxStates, kNone);
  for (uint32_t s = 1; s < n_sets; ++s) {
    Set& set = sets_[s];
    for (uint32_t i = 0; i < set.count; ++i) {
      uint32_t& frame = places_[set.first + i].frame;  // the order of places stays: frames keep theirs
      if (frame != kNone) frame = moved_[frame];
    }
    set.hash = hash_of(places_ + set.first, set.count, set.may_end);
    uint32_t i = set.hash;
    while (set_slots_[i & (2 * kMaxStates - 1)] != kNone) ++i;
    set_slots_[i & (2 * kMaxStates - 1)] = s;
  }
  n_sets_ = n_sets;
  n_places_ = n_places;
  std::fill(transitions_ + 256, transitions_ + size_t(n_sets_) * 256, kUnknown);
  ++n_collections_;
}

// Those that are marked in moved_, which gets their new numbers.
void Automaton::keep_frames() {
  std::fill(frame_slots_, frame_slots_ + 2 * kMaxFrames, kNone);
  uint32_t n = 0;
  for (uint32_t f = 0; f < n_frames_; ++f) {
    if (moved_[f] == kNone) continue;
    Frame frame = frames_[f];
    if (frame.below != kNone) frame.below = moved_[frame.below];
    moved_[f] = n;
    frames_[n] = frame;
    uint32_t i = hash_of_pair(frame.at, frame.below);
    while (frame_slots_[i & (2 * kMaxFrames - 1)] != kNone) ++i;
    frame_slots_[i & (2 * kMaxFrames - 1)] = n++;
  }
  n_frames_ = n;
}

}  // namespace pith::internal

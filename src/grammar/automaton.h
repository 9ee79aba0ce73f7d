// The pushdown automaton of a program, made deterministic as it is used.
//
// A place is an instruction and the frames below it: where the rules that called this one go on. Frames are interned,
// so that a stack is the number of its top frame and equal stacks are equal numbers. A state is the set of places at
// which the next byte may be read, after all that needs no byte was done, and whether the text may end. Sets are
// interned too, and a table of 256 transitions per state is filled as bytes come: where a vocabulary is walked, nearly
// every step is a look into that table.
//
// What does not fit any longer is collected: the states of the present path stay, with their frames, and all else goes.
// Only if these alone are too many, or a single step meets too many places, is there PITH_E_LIMIT.
#ifndef PITH_GRAMMAR_AUTOMATON_H
#define PITH_GRAMMAR_AUTOMATON_H

#include "grammar/program.h"
#include "pith/pith.h"

namespace pith::internal {

class Automaton {
 public:
  using State = uint16_t;
  static constexpr State kDead = 0, kUnknown = UINT16_MAX;
  static constexpr uint32_t kMaxStates = 2048, kMaxFrames = 16384, kMaxPlaces = 65536;
  static constexpr uint32_t kMaxVisits = 16384;  // places that one step comes through
  static constexpr uint32_t kPath = 256;         // states of a path: before it, and after each of 255 bytes

  void lay_out(const Program* program, Arena* arena);
  pith_status start(pith_error* error);  // path[0] becomes the beginning of the root
  void copy(const Automaton& other);     // of the same program

  // The state of path[at], 0 <= at < kPath.
  State state(uint32_t at) const { return path_[at]; }
  void set(uint32_t at, State state) { path_[at] = state; }
  // path[to] becomes what path[from] is after a byte, to >= from. States may get other numbers, those of path[0 ..
  // from] with them.
  pith_status step(uint32_t from, uint8_t byte, uint32_t to, pith_error* error);
  // The same if it is known already, or kUnknown.
  State known(State state, uint8_t byte) const { return transitions_[size_t(state) * 256 + byte]; }

  bool may_end(State state) const { return sets_[state].may_end; }
  bool may_go_on(State state) const { return sets_[state].count > 0; }
  uint32_t n_collections() const { return n_collections_; }  // as long as it stays, states keep their numbers

 private:
  struct Place {
    uint32_t at, frame;  // an instruction; kNone: no frame is below
    bool operator==(const Place& o) const { return at == o.at && frame == o.frame; }
    bool operator<(const Place& o) const { return at != o.at ? at < o.at : frame < o.frame; }
  };
  struct Frame {
    uint32_t at, below, depth;
  };
  struct Set {
    uint32_t first, count, hash;
    bool may_end;
  };
  struct Visit {
    Place place;
    uint32_t stamp;
  };
  enum class Room : uint8_t { enough, none, never };

  void clear();
  void begin_step();
  Room visit(const Place& place);
  Room close(const Place& place);
  Room push(const Place& place, uint32_t* frame);
  Room intern(State* out);
  Room find_next(State from, uint8_t byte, State* out);
  void remember(State from, uint8_t byte, State next);
  uint32_t depth_of(uint32_t frame) const { return frame == kNone ? 0 : frames_[frame].depth; }
  void collect(uint32_t n_path);
  void keep_frames();
  void enter_frame(uint32_t frame);
  uint32_t hash_of(const Place* places, uint32_t n, bool may_end) const;

  const Program* program_ = nullptr;
  State path_[kPath] = {};
  uint32_t n_frames_ = 0, n_sets_ = 0, n_places_ = 0, n_collections_ = 0;
  Frame* frames_ = nullptr;          // [kMaxFrames]; a frame's number is above that of the one below it
  uint32_t* frame_slots_ = nullptr;  // [2 kMaxFrames]: hash table of frames, kNone = empty
  Set* sets_ = nullptr;              // [kMaxStates]
  uint32_t* set_slots_ = nullptr;    // [2 kMaxStates]: hash table of states, kNone = empty
  Place* places_ = nullptr;          // [kMaxPlaces]: of all sets, each in order
  State* transitions_ = nullptr;     // [kMaxStates, 256]
  // Of the present step.
  bool may_end_ = false;
  uint32_t stamp_ = 0, n_found_ = 0, n_open_ = 0, n_visits_ = 0;
  Place* found_ = nullptr;     // [kMaxVisits]
  Place* open_ = nullptr;      // [kMaxVisits]: visited, and not gone on from
  Visit* visits_ = nullptr;    // [2 kMaxVisits]: hash table of what this step has visited, by its stamp
  uint32_t* moved_ = nullptr;  // [kMaxFrames]: the new numbers of frames that a collection keeps
};

}  // namespace pith::internal

#endif

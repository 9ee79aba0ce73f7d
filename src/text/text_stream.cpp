// Bytes wait in `held` while they may still become a stop string, or are the beginning of a UTF-8 character. What can
// never become a character is shown as U+FFFD, one for every maximal subpart, as Unicode recommends.
#include "text/text_stream.h"

#include <cstring>

#include "ground/saved_state.h"

namespace pith::internal {
namespace {

constexpr size_t kReplacementBytes = 3;  // U+FFFD in UTF-8

// Between two pushes: all of a stop string but its last byte, and before it a character without its last byte.
constexpr size_t kMaxHeld = PITH_STREAM_MAX_STOP_BYTES - 1 + 3;

constexpr SavedKind kKind{"PITHTEXT", 1, "text stream", "of another stream"};

struct StateHeader {
  SavedHeader saved;
  uint32_t stopped, n_held;
};
static_assert(sizeof(StateHeader) == 48);

struct Sink {
  char* out;
  size_t used;
  void put(const char* bytes, size_t n) {
    std::memcpy(out + used, bytes, n);
    used += n;
  }
};

// The bytes of the character at the start of text [n]: its length if it is valid, the length of the maximal subpart
// that is not, and whether more bytes could still complete it.
struct Scan {
  size_t bytes;
  bool is_valid, is_partial;
};

Scan scan_character(const uint8_t* text, size_t n) {
  const uint8_t lead = text[0];
  if (lead < 0x80) return {1, true, false};
  if (lead < 0xc2 || lead > 0xf4) return {1, false, false};
  const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  // The second byte of some leads is narrower: no overlong forms, no surrogates, nothing above U+10FFFF.
  const uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  for (size_t i = 1; i < length; ++i) {
    if (i == n) return {i, false, true};
    const bool is_good = i == 1 ? text[i] >= low && text[i] <= high : (text[i] & 0xc0) == 0x80;
    if (!is_good) return {i, false, false};
  }
  return {length, true, false};
}

enum class TextAfter : uint8_t { may_come, never_comes };

// Hands out the first n held bytes; keeps a partial character at their end if more text may complete it.
void release(pith_stream* stream, size_t n, TextAfter after, Sink* sink) {
  size_t at = 0;
  while (at < n) {
    const Scan scan = scan_character(reinterpret_cast<const uint8_t*>(stream->held) + at, n - at);
    if (scan.is_partial && after == TextAfter::may_come) break;
    if (scan.is_valid) sink->put(stream->held + at, scan.bytes);
    else sink->put("\xef\xbf\xbd", kReplacementBytes);
    at += scan.bytes;
  }
  std::memmove(stream->held, stream->held + at, stream->n_held - at);
  stream->n_held -= uint32_t(at);
}

// Length of the longest end of `held` that is a whole stop string (then *found is set) or else the beginning of one.
size_t match_stops(const pith_stream& stream, bool* found) {
  size_t longest_begun = 0, longest_whole = 0;
  for (uint32_t s = 0; s < stream.n_stops; ++s) {
    const size_t size = stream.stop_bytes[s];
    for (size_t n = size < stream.n_held ? size : stream.n_held; n > 0; --n) {
      if (std::memcmp(stream.held + stream.n_held - n, stream.stops[s], n) != 0) continue;
      size_t& longest = n == size ? longest_whole : longest_begun;
      if (n > longest) longest = n;
      break;
    }
  }
  *found = longest_whole > 0;
  return *found ? longest_whole : longest_begun;
}

void push_byte(pith_stream* stream, char byte, Sink* sink) {
  stream->held[stream->n_held++] = byte;
  bool found = false;
  const size_t keep = match_stops(*stream, &found);
  release(stream, stream->n_held - keep, found ? TextAfter::never_comes : TextAfter::may_come, sink);
  if (!found) return;
  stream->stopped = 1;
  stream->n_held = 0;
}

}  // namespace

void stream_init(pith_stream* stream, const char* const* stops, size_t n_stops) {
  const uint32_t struct_size = stream->struct_size;
  *stream = pith_stream{};
  stream->struct_size = struct_size;
  stream->n_stops = uint32_t(n_stops);
  for (size_t i = 0; i < n_stops; ++i) {
    stream->stop_bytes[i] = uint32_t(std::strlen(stops[i]));
    std::memcpy(stream->stops[i], stops[i], stream->stop_bytes[i]);
  }
}

pith_status check_stream(const pith_stream& stream, pith_error* error) {
  bool is_good = stream.n_stops <= PITH_STREAM_MAX_STOPS && stream.n_held < sizeof stream.held && stream.stopped <= 1;
  for (uint32_t i = 0; is_good && i < stream.n_stops; ++i)
    is_good = stream.stop_bytes[i] > 0 && stream.stop_bytes[i] <= PITH_STREAM_MAX_STOP_BYTES;
  if (is_good) return PITH_OK;
  return fail(error, PITH_E_ARGUMENT, "argument stream: not as pith_stream_init made it; call that first");
}

size_t stream_capacity(size_t n_bytes) {
  constexpr size_t kHeld = sizeof(pith_stream::held);
  return n_bytes > SIZE_MAX / kReplacementBytes - kHeld ? SIZE_MAX : kReplacementBytes * (n_bytes + kHeld);
}

size_t stream_push(pith_stream* stream, const char* text, size_t n_bytes, char* out) {
  Sink sink{out, 0};
  for (size_t i = 0; i < n_bytes && stream->stopped == 0; ++i) push_byte(stream, text[i], &sink);
  return sink.used;
}

size_t stream_finish(pith_stream* stream, char* out) {
  Sink sink{out, 0};
  release(stream, stream->n_held, TextAfter::never_comes, &sink);
  return sink.used;
}

size_t stream_state_bytes() { return sizeof(StateHeader) + sizeof(pith_stream::held); }

size_t stream_save(const pith_stream& stream, uint8_t* out) {
  StateHeader h{};
  h.stopped = stream.stopped;
  h.n_held = stream.n_held;
  std::memcpy(out, &h, sizeof h);
  std::memcpy(out + sizeof h, stream.held, stream.n_held);
  seal_state(kKind, 0, out, sizeof h + stream.n_held);
  return sizeof h + stream.n_held;
}

pith_status stream_restore(pith_stream* stream, const uint8_t* state, size_t n, pith_error* error) {
  StateHeader h;
  PITH_TRY(check_state(kKind, 0, state, n, sizeof h, error));
  std::memcpy(&h, state, sizeof h);
  if (h.stopped > 1 || h.n_held > kMaxHeld || n != sizeof h + h.n_held)
    return fail(error, PITH_E_SAVED_VALUE, "state: no stream holds ", h.n_held, " bytes back in ", uint64_t(n));
  // Byte by byte: the stop strings may be others, and one of them among the bytes that were held back for the old ones.
  stream->stopped = h.stopped;
  stream->n_held = 0;
  for (uint32_t i = 0; i < h.n_held; ++i) {
    stream->held[stream->n_held++] = char(state[sizeof h + i]);
    bool found = false;
    const size_t keep = match_stops(*stream, &found);
    if (!found) continue;
    stream->stopped = 1;
    stream->n_held -= uint32_t(keep);
    break;
  }
  return PITH_OK;
}

}  // namespace pith::internal

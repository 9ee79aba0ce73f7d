// The text stream of the C ABI: bytes of tokens in, text that is safe to show out.
//
// Bytes wait in `held` while they may still become a stop string, or are the beginning of a UTF-8 character. What can
// never become a character is shown as U+FFFD, one for every maximal subpart, as Unicode recommends.
#include <cstring>

#include "pith/pith.h"

namespace {

constexpr size_t kReplacementBytes = 3;  // U+FFFD in UTF-8

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

// Hands out the first n held bytes; keeps a partial character at their end unless this is the end of the text.
void release(pith_stream* stream, size_t n, bool is_end, Sink* sink) {
  size_t at = 0;
  while (at < n) {
    const Scan scan = scan_character(reinterpret_cast<const uint8_t*>(stream->held) + at, n - at);
    if (scan.is_partial && !is_end) break;
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
  release(stream, stream->n_held - keep, found, sink);
  if (!found) return;
  stream->stopped = 1;
  stream->n_held = 0;
}

}  // namespace

extern "C" {

pith_status pith_stream_init(pith_stream* stream, const char* const* stops, size_t n_stops) {
  if (stream == nullptr || n_stops > PITH_STREAM_MAX_STOPS || (stops == nullptr && n_stops > 0)) return PITH_E_ARGUMENT;
  for (size_t i = 0; i < n_stops; ++i) {
    const size_t n = stops[i] == nullptr ? 0 : std::strlen(stops[i]);
    if (n == 0 || n > PITH_STREAM_MAX_STOP_BYTES) return PITH_E_ARGUMENT;
  }
  std::memset(stream, 0, sizeof *stream);
  stream->n_stops = uint32_t(n_stops);
  for (size_t i = 0; i < n_stops; ++i) {
    stream->stop_bytes[i] = uint32_t(std::strlen(stops[i]));
    std::memcpy(stream->stops[i], stops[i], stream->stop_bytes[i]);
  }
  return PITH_OK;
}

size_t pith_stream_capacity(size_t n_bytes) {
  constexpr size_t kHeld = sizeof(pith_stream::held);
  return n_bytes > SIZE_MAX / kReplacementBytes - kHeld ? SIZE_MAX : kReplacementBytes * (n_bytes + kHeld);
}

pith_status pith_stream_push(pith_stream* stream, const char* text, size_t n_bytes, char* out, size_t capacity,
                             size_t* out_bytes) {
  if (stream == nullptr || out == nullptr || out_bytes == nullptr || (text == nullptr && n_bytes > 0))
    return PITH_E_ARGUMENT;
  if (capacity < pith_stream_capacity(n_bytes)) return PITH_E_CAPACITY;
  Sink sink{out, 0};
  for (size_t i = 0; i < n_bytes && stream->stopped == 0; ++i) push_byte(stream, text[i], &sink);
  *out_bytes = sink.used;
  return PITH_OK;
}

pith_status pith_stream_finish(pith_stream* stream, char* out, size_t capacity, size_t* out_bytes) {
  if (stream == nullptr || out == nullptr || out_bytes == nullptr) return PITH_E_ARGUMENT;
  if (capacity < pith_stream_capacity(0)) return PITH_E_CAPACITY;
  Sink sink{out, 0};
  release(stream, stream->n_held, true, &sink);
  *out_bytes = sink.used;
  return PITH_OK;
}

}  // extern "C"

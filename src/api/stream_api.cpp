// The C ABI of text streams: checks arguments once per call, then hands over.
#include "api/struct_sizes.h"
#include "text/text_stream.h"

using namespace pith::internal;

namespace {

// A program's stream as this version sees it.
pith_status read_stream(const pith_stream* given, pith_stream* out, pith_error* error) {
  PITH_TRY(check_arguments({{"stream", given}}, error));
  PITH_TRY(read_struct(given, out, error));
  return check_stream(*out, error);
}

pith_status check_stops(const char* const* stops, size_t n_stops, pith_error* error) {
  if (n_stops > 0) PITH_TRY(check_arguments({{"stops", stops}}, error));
  if (n_stops > PITH_STREAM_MAX_STOPS)
    return fail(error, PITH_E_ARGUMENT, "option stop: ", uint64_t(n_stops), " strings; at most ",
                PITH_STREAM_MAX_STOPS);
  for (size_t i = 0; i < n_stops; ++i) {
    const size_t n = stops[i] == nullptr ? 0 : std::strlen(stops[i]);
    if (n == 0 || n > PITH_STREAM_MAX_STOP_BYTES)
      return fail(error, PITH_E_ARGUMENT, "option stop: string ", uint64_t(i), " has ", uint64_t(n), " bytes; 1 .. ",
                  PITH_STREAM_MAX_STOP_BYTES, " are valid");
  }
  return PITH_OK;
}

// The capacity for the output of n_bytes.
pith_status check_output(size_t n_bytes, size_t capacity, size_t* out_bytes, pith_error* error) {
  const size_t need = stream_capacity(n_bytes);
  if (capacity < need) *out_bytes = need;
  return check_capacity("the output of this call", capacity, need, error);
}

}  // namespace

extern "C" {

pith_status pith_stream_init(pith_stream* stream, const char* const* stops, size_t n_stops, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"stream", stream}}, error));
  PITH_TRY(check_struct(stream, error));
  PITH_TRY(check_stops(stops, n_stops, error));
  pith_stream made{};
  stream_init(&made, stops, n_stops);
  write_struct(made, stream);
  return PITH_OK;
}

size_t pith_stream_capacity(size_t text_bytes) { return stream_capacity(text_bytes); }

pith_status pith_stream_push(pith_stream* stream, const char* text, size_t text_bytes, char* out, size_t capacity,
                             size_t* out_bytes, pith_error* error) {
  clear(error);
  pith_stream now;
  PITH_TRY(read_stream(stream, &now, error));
  PITH_TRY(check_arguments({{"out", out}, {"out_bytes", out_bytes}}, error));
  if (text_bytes > 0) PITH_TRY(check_arguments({{"text", text}}, error));
  PITH_TRY(check_output(text_bytes, capacity, out_bytes, error));
  *out_bytes = stream_push(&now, text, text_bytes, out);
  write_struct(now, stream);
  return PITH_OK;
}

pith_status pith_stream_finish(pith_stream* stream, char* out, size_t capacity, size_t* out_bytes, pith_error* error) {
  clear(error);
  pith_stream now;
  PITH_TRY(read_stream(stream, &now, error));
  PITH_TRY(check_arguments({{"out", out}, {"out_bytes", out_bytes}}, error));
  PITH_TRY(check_output(0, capacity, out_bytes, error));
  *out_bytes = stream_finish(&now, out);
  write_struct(now, stream);
  return PITH_OK;
}

size_t pith_stream_state_bytes(const pith_stream* stream) { return stream == nullptr ? 0 : stream_state_bytes(); }

pith_status pith_stream_save(const pith_stream* stream, void* state, size_t capacity, size_t* out_bytes,
                             pith_error* error) {
  clear(error);
  pith_stream now;
  PITH_TRY(read_stream(stream, &now, error));
  PITH_TRY(check_arguments({{"state", state}, {"out_bytes", out_bytes}}, error));
  *out_bytes = stream_state_bytes();
  PITH_TRY(check_capacity("a state of a stream", capacity, *out_bytes, error));
  *out_bytes = stream_save(now, static_cast<uint8_t*>(state));
  return PITH_OK;
}

pith_status pith_stream_restore(pith_stream* stream, const void* state, size_t state_bytes, pith_error* error) {
  clear(error);
  pith_stream now;
  PITH_TRY(read_stream(stream, &now, error));
  PITH_TRY(check_arguments({{"state", state}}, error));
  PITH_TRY(stream_restore(&now, static_cast<const uint8_t*>(state), state_bytes, error));
  write_struct(now, stream);
  return PITH_OK;
}

}  // extern "C"

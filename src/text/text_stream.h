// The text stream: bytes of tokens in, text that is safe to show out. The stream is the plain struct of the C ABI.
#ifndef PITH_TEXT_TEXT_STREAM_H
#define PITH_TEXT_TEXT_STREAM_H

#include <cstddef>
#include <cstdint>

#include "pith/pith.h"

namespace pith::internal {

// `stops` [n_stops <= PITH_STREAM_MAX_STOPS] of 1 .. PITH_STREAM_MAX_STOP_BYTES bytes each.
void stream_init(pith_stream* stream, const char* const* stops, size_t n_stops);

// Whether a program's struct is one that stream_init made: all others may index beyond its arrays.
pith_status check_stream(const pith_stream& stream, pith_error* error);

// Bytes that a push of n_bytes may hand out.
size_t stream_capacity(size_t n_bytes);

// `out` [stream_capacity]; returns the bytes written.
size_t stream_push(pith_stream* stream, const char* text, size_t n_bytes, char* out);
size_t stream_finish(pith_stream* stream, char* out);

// The bytes held back, as bytes:
//   what all states begin with (ground/saved_state.h), "PITHTEXT", version 1, owner 0
//   u32 stopped | u32 n | bytes [n]
size_t stream_state_bytes();
size_t stream_save(const pith_stream& stream, uint8_t* out);  // `out` [stream_state_bytes]; returns the bytes written
pith_status stream_restore(pith_stream* stream, const uint8_t* state, size_t n, pith_error* error);

}  // namespace pith::internal

#endif

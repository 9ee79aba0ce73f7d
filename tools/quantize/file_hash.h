// Hashes of a packed file: every tensor has its own, and all that stands before the tensors has one.
#ifndef PITH_QUANTIZE_FILE_HASH_H
#define PITH_QUANTIZE_FILE_HASH_H

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace pith::quantize {

// The SHA-256, in 64 hexadecimal digits, of the bytes before the first tensor, padding included, as they are while this key
// holds 64 zeros.
constexpr std::string_view kHeaderHashKey = "pith.packed.header_sha256";

// Puts the hash into a header that has the key.
void seal_header(std::span<uint8_t> header);

// Of the header as it is; empty where it lacks the key.
std::string header_hash(std::span<const uint8_t> header);
// As it is stored; empty where the header lacks the key.
std::string stored_header_hash(std::span<const uint8_t> header);

}  // namespace pith::quantize

#endif

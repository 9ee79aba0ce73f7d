// SHA-256 by OpenSSL, as pith.packed.sha256 stores it.
#ifndef PITH_QUANTIZE_SHA256_H
#define PITH_QUANTIZE_SHA256_H

#include <cstddef>
#include <string>

namespace pith::quantize {

// 64 lower-case hex digits. Throws std::runtime_error where OpenSSL refuses.
std::string sha256_hex(const void* data, size_t bytes);

}  // namespace pith::quantize

#endif

// Bytes as text (RFC 4648).
#ifndef PITH_SERVER_BASE64_H
#define PITH_SERVER_BASE64_H

#include <cstdint>
#include <span>
#include <string>

namespace pith::server {

std::string base64(std::span<const uint8_t> bytes);

}  // namespace pith::server

#endif

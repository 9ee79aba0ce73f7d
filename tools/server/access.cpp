#include "access.h"

#include <algorithm>
#include <cstddef>

namespace pith::server {
namespace {

// Of "name", "name:port", "[::1]:port" and "::1".
std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  const size_t colon = host.find(':');
  return host.find(':', colon + 1) == std::string_view::npos || colon == std::string_view::npos ? host.substr(0, colon)
                                                                                                : host;
}

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

bool has_key(std::string_view authorization, std::string_view key) {
  constexpr std::string_view kScheme = "Bearer ";
  if (!same_name(authorization.substr(0, kScheme.size()), kScheme)) return false;
  const std::string_view given = authorization.substr(kScheme.size());
  // Every byte of what was given is looked at, whatever the others are.
  size_t different = given.size() ^ key.size();
  for (size_t i = 0; i < given.size(); ++i)
    different |= size_t(given[i] ^ (key.empty() ? '\0' : key[i % key.size()])) & 255;
  return different == 0 && !key.empty();
}

bool is_loopback(std::string_view host) {
  const std::string_view name = without_port(host);
  return same_name(name, "localhost") || name == "::1" ||
         (name.starts_with("127.") && name.find_first_not_of("0123456789.") == std::string_view::npos);
}

bool is_own_host(std::string_view header, std::string_view own) {
  return is_loopback(header) || same_name(without_port(header), without_port(own));
}

}  // namespace pith::server

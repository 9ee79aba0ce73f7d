// Who may ask.
#ifndef PITH_SERVER_ACCESS_H
#define PITH_SERVER_ACCESS_H

#include <string>
#include <string_view>

namespace pith::server {

// Whether the header "Authorization" has this key. Takes as long for a key that is nearly right as for any other.
bool has_key(std::string_view authorization, std::string_view key);

bool is_loopback(std::string_view host);  // localhost, 127.0.0.0/8, ::1

// Whether the header "Host" names this machine as `own` does, or by a loopback name. A page of a stranger whose name
// leads to 127.0.0.1 has its own name there (DNS rebinding).
bool is_own_host(std::string_view header, std::string_view own);

}  // namespace pith::server

#endif

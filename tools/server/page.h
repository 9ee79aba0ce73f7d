// The page at "/": page.html, as bytes of the program.
#ifndef PITH_SERVER_PAGE_H
#define PITH_SERVER_PAGE_H

#include <string>
#include <string_view>

namespace pith::server {

std::string_view page();
// Content-Security-Policy: nothing runs or is loaded but what is in the page, and it speaks to this server alone.
const std::string& page_policy();

}  // namespace pith::server

#endif

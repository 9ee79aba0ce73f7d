#include "grammar/string_formats.h"

#include "grammar/json_tape.h"

namespace pith::internal {
namespace {

struct Format {
  std::string_view name, pattern;
};

// RFC 3339, years 0001 to 9999, the 29th of February in leap years alone; without leap seconds.
#define PITH_DATE                                                                                                  \
  "(?:(?:[1-9]\\d{3}|0[1-9]\\d{2}|00[1-9]\\d|000[1-9])-"                                                           \
  "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))|" \
  "(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)"
#define PITH_TIME "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)"
#define PITH_LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define PITH_HOST PITH_LABEL "(?:\\." PITH_LABEL "){0,2}"
#define PITH_BYTE "(?:\\d|[1-9]\\d|1\\d\\d|2[0-4]\\d|25[0-5])"

constexpr Format kFormats[] = {
    {"date", "^" PITH_DATE "$"},
    {"time", "^" PITH_TIME "$"},
    {"date-time", "^" PITH_DATE "T" PITH_TIME "$"},
    {"uuid", "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"},
    // Of RFC 5321's what people have: words with dots between them, and a host; of RFC 1123's hosts, three labels at
    // most.
    {"email", "^[A-Za-z0-9_%+-]{1,16}(?:\\.[A-Za-z0-9_%+-]{1,15}){0,3}@" PITH_HOST "$"},
    {"hostname", "^" PITH_HOST "$"},
    {"ipv4", "^" PITH_BYTE "(?:\\." PITH_BYTE "){3}$"},
    // Of RFC 3986's, those with a host.
    {"uri",
     "^[A-Za-z][A-Za-z0-9+.-]{0,15}://" PITH_HOST
     "(?::[1-9]\\d{0,4})?(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})*)*"
     "(?:\\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*)?(?:#(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*)?$"},
};

}  // namespace

std::string_view pattern_of_format(std::string_view escaped_name) {
  for (const Format& format : kFormats) {
    if (json_equals(escaped_name, format.name)) return format.pattern;
  }
  return {};
}

}  // namespace pith::internal

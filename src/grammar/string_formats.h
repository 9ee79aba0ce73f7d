// Formats of strings that JSON Schema names, as patterns (pattern_compiler.h).
#ifndef PITH_GRAMMAR_STRING_FORMATS_H
#define PITH_GRAMMAR_STRING_FORMATS_H

#include <string_view>

namespace pith::internal {

// The pattern of a format, anchored, in ASCII; empty: it is not known.
std::string_view pattern_of_format(std::string_view escaped_name);

}  // namespace pith::internal

#endif

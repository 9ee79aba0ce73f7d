#include "shortest.h"

#include <cstdlib>

#include <fmt/core.h>

namespace pith::cli {

double shortest(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

}  // namespace pith::cli

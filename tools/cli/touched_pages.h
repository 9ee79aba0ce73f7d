// Reading a mapped model into memory before anything is timed: a first touch of a page costs a fault.
#ifndef PITH_CLI_TOUCHED_PAGES_H
#define PITH_CLI_TOUCHED_PAGES_H

#include "pith/pith.hpp"

namespace pith::cli {

// Touches every page of the tensors; of a model larger than three quarters of the machine's memory, not those of experts, which
// would drive one another out.
void touch_pages(const Model& model);

}  // namespace pith::cli

#endif

// From the caller's options to the plan of a session.
#ifndef PITH_SESSION_PLANNER_H
#define PITH_SESSION_PLANNER_H

#include "model/config.h"
#include "model/plan.h"
#include "pith/pith.h"

namespace pith::internal {

// Zero, in any option, is its default; struct_size is not looked at.
pith_status make_plan(const Config& config, const pith_session_options& options, Plan* plan, pith_error* error);

}  // namespace pith::internal

#endif

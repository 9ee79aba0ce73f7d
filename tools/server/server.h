// Runs a server until it is told to stop.
#ifndef PITH_SERVER_SERVER_H
#define PITH_SERVER_SERVER_H

#include <functional>
#include <string>

#include "served_model.h"
#include "server_options.h"

namespace pith::server {

// Takes the memory of all sessions, then listens. Returns after SIGINT or SIGTERM: the first lets answers that were
// begun or wait be finished, the second ends them. `say` takes lines about the server, `log` one per request, on any
// thread. Throws std::runtime_error where it can't begin.
void run(const ServerOptions& options, const ServedModel& served, const pith_session_options& session,
         const std::function<void(const std::string&)>& say, const std::function<void(const std::string&)>& log);

}  // namespace pith::server

#endif

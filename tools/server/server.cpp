#include "server.h"

#include <fmt/core.h>

#include "access.h"
#include "endings.h"
#include "http_service.h"
#include "listener.h"
#include "scheduler.h"
#include "session_pool.h"

namespace pith::server {
namespace {

constexpr uint32_t kSpareThreads = 16;  // for requests that need no session, or wait to be read or refused
constexpr std::chrono::milliseconds kLook{200};

class HeldEndings {
 public:
  HeldEndings() { internal::hold_endings(); }
  ~HeldEndings() { internal::let_endings_go(); }
  HeldEndings(const HeldEndings&) = delete;
  HeldEndings& operator=(const HeldEndings&) = delete;
};

std::string url_of(const std::string& host, uint16_t port) {
  const bool is_v6 = host.find(':') != std::string::npos;
  return fmt::format("http://{}{}{}:{}", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
}

std::string plan_of(const ServerOptions& options, const ServedModel& served, const pith_session_options& session) {
  const double bytes = double(Session::plan(served.model, session).session_bytes) / 1e6;
  return fmt::format("{}: {:.1f} MB of weights, {} sessions of {} tokens: {} x {:.1f} MB = {:.1f} MB, queue of {}\n",
                     served.name, double(served.model.info().weight_bytes) / 1e6, options.n_sessions, served.context,
                     options.n_sessions, bytes, bytes * options.n_sessions, options.n_queue);
}

void finish(Listener* listener, Scheduler* scheduler, const std::function<void(const std::string&)>& say) {
  listener->stop();
  if (!listener->wait_for_connections(kLook)) say("stopping: answers are being finished; once more ends them\n");
  bool is_told = false;
  while (!listener->wait_for_connections(kLook)) {
    if (is_told || !internal::has_ending_come()) continue;
    is_told = true;
    scheduler->cancel_all();
    listener->drop_connections();
  }
}

}  // namespace

void run(const ServerOptions& options, const ServedModel& served, const pith_session_options& session,
         const std::function<void(const std::string&)>& say, const std::function<void(const std::string&)>& log) {
  const HeldEndings held;
  say(plan_of(options, served, session));
  const Drafts drafts = options.speculates ? Drafts::as_they_pay : Drafts::none;
  SessionPool pool(served.model, session, options.n_sessions, drafts);
  Scheduler scheduler(&pool, options.n_sessions, options.n_queue);
  HttpService service(options, served, session.chunk, &scheduler, log);
  Listener listener(options.host, options.port, options.n_sessions + options.n_queue + kSpareThreads,
                    [&](internal::Socket socket) { service.serve(socket); });
  service.attach(listener.socket());
  if (!is_loopback(options.host) && options.api_key.empty())
    say(fmt::format("note: anybody who reaches {} may use this server: set --api-key, or PITH_API_KEY\n",
                    options.host));
  listener.start();
  say(fmt::format("listening on {}\n", url_of(options.host, listener.port())));
  internal::wait_for_ending();
  finish(&listener, &scheduler, say);
}

}  // namespace pith::server

#include "server.h"

#include <csignal>
#include <ctime>

#include <fmt/core.h>

#include "access.h"
#include "http_service.h"
#include "listener.h"
#include "scheduler.h"
#include "session_pool.h"

namespace pith::server {
namespace {

constexpr uint32_t kSpareThreads = 16;  // for requests that need no session, or wait to be read or refused
constexpr std::chrono::milliseconds kLook{200};

// SIGINT and SIGTERM wait to be asked for, in this thread and those that it makes.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~StopSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  void wait() {
    int signal = 0;
    sigwait(&set_, &signal);
  }
  bool has_come() {
    const timespec none{};
    return sigtimedwait(&set_, nullptr, &none) > 0;
  }

 private:
  sigset_t set_, before_;
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

void finish(StopSignals* signals, Listener* listener, Scheduler* scheduler,
            const std::function<void(const std::string&)>& say) {
  listener->stop();
  if (!listener->wait_for_connections(kLook)) say("stopping: answers are being finished; once more ends them\n");
  bool is_told = false;
  while (!listener->wait_for_connections(kLook)) {
    if (is_told || !signals->has_come()) continue;
    is_told = true;
    scheduler->cancel_all();
    listener->drop_connections();
  }
}

}  // namespace

void run(const ServerOptions& options, const ServedModel& served, const pith_session_options& session,
         const std::function<void(const std::string&)>& say, const std::function<void(const std::string&)>& log) {
  StopSignals signals;
  say(plan_of(options, served, session));
  const Drafts drafts = options.speculates ? Drafts::as_they_pay : Drafts::none;
  SessionPool pool(served.model, session, options.n_sessions, drafts);
  Scheduler scheduler(&pool, options.n_sessions, options.n_queue);
  HttpService service(options, served, session.chunk, &scheduler, log);
  Listener listener(options.host, options.port, options.n_sessions + options.n_queue + kSpareThreads,
                    [&](int socket) { service.serve(socket); });
  service.attach(listener.socket());
  if (!is_loopback(options.host) && options.api_key.empty())
    say(fmt::format("note: anybody who reaches {} may use this server: set --api-key, or PITH_API_KEY\n",
                    options.host));
  listener.start();
  say(fmt::format("listening on {}\n", url_of(options.host, listener.port())));
  signals.wait();
  finish(&signals, &listener, &scheduler, say);
}

}  // namespace pith::server

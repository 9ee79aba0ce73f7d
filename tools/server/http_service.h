// The routes: what is asked by HTTP becomes a job, and what comes of it an answer.
#ifndef PITH_SERVER_HTTP_SERVICE_H
#define PITH_SERVER_HTTP_SERVICE_H

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include <httplib.h>

#include "completion_job.h"
#include "connection.h"
#include "document.h"
#include "scheduler.h"
#include "served_model.h"
#include "server_options.h"

namespace pith::server {

class HttpService : private httplib::Server {
 public:
  // `log` takes a line for every request, on any thread.
  HttpService(const ServerOptions& options, const ServedModel& served, uint32_t chunk, Scheduler* scheduler,
              std::function<void(const std::string& line)> log);

  // cpp-httplib ends streams when it has no socket to listen to: that of the listener will do.
  void attach(internal::Socket listening) { svr_sock_ = socket_t(listening); }
  // Answers the one request of a connection.
  void serve(internal::Socket socket);

 private:
  using Request = httplib::Request;
  using Response = httplib::Response;
  using Body = httplib::ContentReader;

  HandlerResponse admit(const Request& request, Response& response);
  bool answer_get(const Request& request, Response& response);
  void complete(const Request& request, Response& response, const Body& reader, bool is_chat);
  void embed(const Request& request, Response& response, const Body& reader);
  void explain(const Request& request, Response& response);
  void report(const Request& request, const Response& response);

  std::string read_body(const Body& reader) const;
  template <typename Made>
  Made read(const Body& reader, Made (*make)(const json::Document&, const ServedModel&));
  void submit(const std::shared_ptr<Job>& job);
  bool wait_for(const std::shared_ptr<Job>& job);
  void stream(const std::shared_ptr<CompletionJob>& job, bool includes_usage, bool is_chat, Response& response);

  const ServerOptions& options_;
  const ServedModel& served_;
  const uint32_t chunk_;
  Scheduler* scheduler_;
  const std::function<void(const std::string&)> log_;
  std::mutex reading_;  // one body is taken apart at a time, so that what this takes of memory is bounded
};

}  // namespace pith::server

#endif

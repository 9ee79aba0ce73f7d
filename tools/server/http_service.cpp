#include "http_service.h"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "access.h"
#include "answers.h"
#include "api_error.h"
#include "embedding_job.h"
#include "page.h"

namespace pith::server {
namespace {

using std::chrono::milliseconds;

// Between two looks whether a client that waits is still there.
constexpr milliseconds kLook{100};
constexpr int kClientIsGone = 499;  // for the log: nobody reads it
constexpr const char* kJson = "application/json";
constexpr const char* kRetrySeconds = "1";

void answer(httplib::Response& response, const std::string& json) { response.set_content(json, kJson); }

void fail(httplib::Response& response, const ApiError& error) {
  response.status = error.status;
  if (error.status == 503) response.set_header("Retry-After", kRetrySeconds);
  if (error.status == 401) response.set_header("WWW-Authenticate", "Bearer");
  answer(response, error.json());
}

std::string allowed_method(const std::string& path) {
  for (const char* post : {"/v1/chat/completions", "/v1/completions", "/v1/embeddings"}) {
    if (path == post) return "POST";
  }
  for (const char* get : {"/", "/health", "/v1/models"}) {
    if (path == get) return "GET";
  }
  return path.starts_with("/v1/models/") ? "GET" : "";
}

bool is_json(const std::string& content_type) {
  return content_type == kJson || content_type.starts_with(std::string(kJson) + ";");
}

std::string note_of(const Usage& usage, const char* finish_reason) {
  return fmt::format(" prompt {} ({} cached) drawn {} {}", usage.n_prompt, usage.n_cached, usage.n_drawn,
                     finish_reason);
}

}  // namespace

HttpService::HttpService(const ServerOptions& options, const ServedModel& served, uint32_t chunk, Scheduler* scheduler,
                         std::function<void(const std::string&)> log)
    : options_(options), served_(served), chunk_(chunk), scheduler_(scheduler), log_(std::move(log)) {
  set_pre_routing_handler([this](const Request& q, Response& a) { return admit(q, a); });
  Post("/v1/chat/completions", [this](const Request& q, Response& a, const Body& b) { complete(q, a, b, true); });
  Post("/v1/completions", [this](const Request& q, Response& a, const Body& b) { complete(q, a, b, false); });
  Post("/v1/embeddings", [this](const Request& q, Response& a, const Body& b) { embed(q, a, b); });
  set_exception_handler([](const Request&, Response& response, const std::exception_ptr& thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const ApiError& error) {
      fail(response, error);
    } catch (const std::exception& error) {
      fail(response, ApiError(500, error.what()));
    }
  });
  set_error_handler([this](const Request& q, Response& a) { explain(q, a); });
  set_logger([this](const Request& q, const Response& a) { report(q, a); });
}

void HttpService::serve(internal::Socket socket) {
  Connection connection(socket, std::chrono::seconds(options_.timeout));
  bool is_closed = false;
  process_request(connection, true, is_closed, [&](Request& request) {
    // The headers are in. A body in chunks has lines of its own; it is cut off where it is too long in any case.
    connection.allow(2 * options_.max_body + 4096);
    // Answers are whole and as they are: a part of one, or a compressed one, costs more than it saves here.
    request.headers.erase("Accept-Encoding");
    request.ranges.clear();
  });
  connection.end();
}

// What is decided before a body is read. Handled: the answer is there.
httplib::Server::HandlerResponse HttpService::admit(const Request& request, Response& response) {
  const auto refuse = [&](const ApiError& error) {
    fail(response, error);
    return HandlerResponse::Handled;
  };
  if (is_loopback(options_.host) && !is_own_host(request.get_header_value("Host"), options_.host))
    return refuse(ApiError(403, "the header Host does not name this machine"));
  if (!options_.cors.empty()) {
    response.set_header("Access-Control-Allow-Origin", options_.cors);
    if (options_.cors != "*") response.set_header("Vary", "Origin");
  }
  const std::string allowed = allowed_method(request.path);
  if (allowed.empty()) return refuse(ApiError(404, "there is nothing at this path"));
  if (request.method == "OPTIONS" && !options_.cors.empty()) {
    response.status = 204;
    response.set_header("Access-Control-Allow-Methods", allowed + ", OPTIONS");
    response.set_header("Access-Control-Allow-Headers", "Authorization, Content-Type");
    response.set_header("Access-Control-Max-Age", "600");
    return HandlerResponse::Handled;
  }
  if (request.method != allowed && !(request.method == "HEAD" && allowed == "GET")) {
    response.set_header("Allow", allowed);
    return refuse(ApiError(405, "this path takes the method " + allowed));
  }
  const bool is_open = request.path == "/" || request.path == "/health";
  if (!is_open && !options_.api_key.empty() && !has_key(request.get_header_value("Authorization"), options_.api_key))
    return refuse(ApiError(401, "the header Authorization does not have this server's key", "", "invalid_api_key"));
  if (answer_get(request, response)) return HandlerResponse::Handled;
  // A page of a stranger may send any other type without asking the browser.
  if (!is_json(request.get_header_value("Content-Type")))
    return refuse(ApiError(415, "the header Content-Type must be application/json"));
  if (request.has_header("Content-Encoding"))
    return refuse(ApiError(415, "the header Content-Encoding is not supported"));
  if (!request.has_header("Content-Length") && !request.has_header("Transfer-Encoding"))
    return refuse(ApiError(411, "the header Content-Length is missing"));
  if (request.get_header_value<uint64_t>("Content-Length") > options_.max_body)
    return refuse(ApiError(413, fmt::format("the body is longer than {} bytes", options_.max_body)));
  return HandlerResponse::Unhandled;
}

bool HttpService::answer_get(const Request& request, Response& response) {
  if (request.path == "/") {
    response.set_header("Content-Security-Policy", page_policy());
    response.set_header("X-Content-Type-Options", "nosniff");
    response.set_content(page().data(), page().size(), "text/html; charset=utf-8");
  } else if (request.path == "/health") {
    const Scheduler::Counts counts = scheduler_->counts();
    const json::Document health = {{"status", "ok"},
                                   {"sessions", options_.n_sessions},
                                   {"running", counts.n_running},
                                   {"waiting", counts.n_waiting}};
    answer(response, health.dump());
  } else if (request.path == "/v1/models") {
    json::Document list;
    list.add("object", "list");
    list.add("data", json::Document::of_elements({model_answer(served_)}));
    answer(response, list.dump());
  } else if (request.path.starts_with("/v1/models/")) {
    if (request.path != "/v1/models/" + served_.name)
      throw ApiError(404, "there is no such model here", "model", "model_not_found");
    answer(response, model_answer(served_).dump());
  } else {
    return false;
  }
  return true;
}

std::string HttpService::read_body(const Body& reader) const {
  std::string out;
  const bool is_whole = reader([&](const char* data, size_t bytes) {
    out.append(data, bytes);
    return out.size() <= options_.max_body;
  });
  if (out.size() > options_.max_body)
    throw ApiError(413, fmt::format("the body is longer than {} bytes", options_.max_body));
  if (Connection::current().is_timed_out()) throw ApiError(408, "the body did not come in time");
  if (!is_whole) throw ApiError(400, "the body is not whole");
  return out;
}

template <typename Made>
Made HttpService::read(const Body& reader, Made (*make)(const json::Document&, const ServedModel&)) {
  const std::string body = read_body(reader);
  const std::lock_guard lock(reading_);
  try {
    return make(json::Document::parse(body), served_);
  } catch (const json::Error& error) {
    throw ApiError(400, fmt::format("the body: {}", error.what()));
  }
}

void HttpService::submit(const std::shared_ptr<Job>& job) {
  if (!scheduler_->submit(job)) throw ApiError(503, "the server has as much to do as it may; try again");
}

// Until there is something new, or the client has gone, which ends the job; false then.
bool HttpService::wait_for(const std::shared_ptr<Job>& job) {
  bool has_news = false;
  while (!has_news) {
    has_news = job->wait(kLook);
    if (Connection::current().is_alive()) continue;
    scheduler_->cancel(job);
    return false;
  }
  return true;
}

void HttpService::complete(const Request&, Response& response, const Body& reader, bool is_chat) {
  CompletionRequest request = read(reader, is_chat ? read_chat_request : read_text_request);
  const bool streams = request.streams, includes_usage = request.includes_usage;
  const auto job = std::make_shared<CompletionJob>(std::move(request), served_, chunk_);
  submit(job);
  if (streams) return stream(job, includes_usage, is_chat, response);
  Piece all;
  while (wait_for(job)) {
    (void)job->take(&all);
    if (!job->is_over()) continue;
    (void)job->take(&all);
    if (!job->error().empty()) throw ApiError(500, job->error());
    if (job->is_cancelled()) throw ApiError(503, "the server is shutting down");
    Connection::current().note = note_of(job->usage(), job->finish_reason());
    return answer(response, CompletionAnswer(served_, is_chat).whole(all, job->finish_reason(), job->usage()));
  }
  response.status = kClientIsGone;
  Connection::current().note = note_of(job->usage(), "cancelled");
}

void HttpService::stream(const std::shared_ptr<CompletionJob>& job, bool includes_usage, bool is_chat,
                         Response& response) {
  response.set_header("Cache-Control", "no-store");
  const auto answers = std::make_shared<CompletionAnswer>(served_, is_chat);
  const auto send = [](httplib::DataSink& sink, const std::string& text) {
    return text.empty() || sink.write(text.data(), text.size());
  };
  const auto next = [this, job, answers, includes_usage, send](size_t offset, httplib::DataSink& sink) {
    const auto end = [&](const char* why) {
      scheduler_->cancel(job);
      Connection::current().note = note_of(job->usage(), why);
      return false;
    };
    if (offset == 0 && !send(sink, answers->first_event())) return end("cancelled");
    if (!wait_for(job)) return end("cancelled");
    const bool is_over = job->is_over();
    Piece piece;
    if (job->take(&piece)) {
      scheduler_->wake();
      if (!send(sink, answers->event(piece))) return end("cancelled");
    }
    if (!is_over) return true;
    if (!job->error().empty()) {
      (void)send(sink, "data: " + ApiError(500, job->error()).json() + "\n\n");
      return end("failed");
    }
    if (job->is_cancelled()) return end("cancelled");
    if (!send(sink, answers->last_events(job->finish_reason(), job->usage(), includes_usage))) return end("cancelled");
    Connection::current().note = note_of(job->usage(), job->finish_reason());
    sink.done();
    return true;
  };
  response.set_chunked_content_provider("text/event-stream", next, [this, job](bool) { scheduler_->cancel(job); });
}

void HttpService::embed(const Request&, Response& response, const Body& reader) {
  EmbeddingRequest request = read(reader, read_embedding_request);
  const bool is_base64 = request.is_base64;
  const auto job = std::make_shared<EmbeddingJob>(std::move(request), served_, chunk_);
  submit(job);
  if (!wait_for(job)) {
    response.status = kClientIsGone;
    return;
  }
  if (!job->error().empty()) throw ApiError(500, job->error());
  if (job->is_cancelled()) throw ApiError(503, "the server is shutting down");
  Connection::current().note = fmt::format(" prompt {}", job->n_tokens());
  answer(response, embedding_answer(served_, *job, is_base64));
}

// What cpp-httplib refuses by itself: a request that is none.
void HttpService::explain(const Request&, Response& response) {
  if (!response.body.empty() || response.status == kClientIsGone) return;
  const Connection& connection = Connection::current();
  if (connection.is_timed_out()) fail(response, ApiError(408, "the request did not come in time"));
  else if (connection.is_used_up()) fail(response, ApiError(431, "the headers are longer than they may be"));
  else fail(response, ApiError(response.status, "this is no request of HTTP/1.1 that can be read"));
}

void HttpService::report(const Request& request, const Response& response) {
  if (options_.is_quiet) return;
  const Connection& connection = Connection::current();
  std::string address = "?";
  int port = 0;
  connection.get_remote_ip_and_port(address, port);
  log_(fmt::format("{} {} {} {}{} {:.3f} s", address, request.method, request.path.substr(0, 100), response.status,
                   connection.note, connection.seconds()));
}

}  // namespace pith::server

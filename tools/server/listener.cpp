#include "listener.h"

#include <stdexcept>

#include <fmt/core.h>

#include "api_error.h"

namespace pith::server {

using internal::Socket;

namespace {

// Of an answer, on its way to a client that reads slowly; Linux takes twice as much.
constexpr int kSendBytes = 65536;

Socket bound_socket(const std::string& host, uint16_t port) {
  const internal::Listening out = internal::listen_on(host.c_str(), port);
  if (!out.unknown_host.empty()) throw std::runtime_error(fmt::format("option --host: {}: {}", host, out.unknown_host));
  if (!out.refused.empty())
    throw std::runtime_error(fmt::format("option --port: {} on {}: {}", port, host, out.refused));
  return out.socket;
}

// To a client that no thread is free for; it is not read.
void send_away(Socket socket) {
  const std::string body = ApiError(503, "the server has as many connections as it may; try again").json();
  const std::string answer = fmt::format(
      "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: application/json\r\n"
      "Content-Length: {}\r\n\r\n{}",
      body.size(), body);
  (void)internal::send(socket, answer.data(), answer.size());
  internal::end_sending(socket);
  internal::close_socket(socket);
}

}  // namespace

Listener::Listener(const std::string& host, uint16_t port, uint32_t n_threads, std::function<void(Socket)> serve)
    : n_threads_(n_threads), serve_(std::move(serve)), threads_(n_threads) {
  try {
    socket_ = bound_socket(host, port);
    if (!bell_.exists()) throw std::runtime_error("the system has no more files to listen by");
  } catch (...) {
    if (socket_ != internal::kNoSocket) internal::close_socket(socket_);
    threads_.shutdown();
    throw;
  }
  port_ = internal::own_address(socket_).port;
}

Listener::~Listener() {
  stop();
  threads_.shutdown();
  if (socket_ != internal::kNoSocket) internal::close_socket(socket_);
}

void Listener::start() {
  accepting_ = std::thread([this] { accept_all(); });
}

void Listener::stop() {
  if (!accepting_.joinable()) return;
  bell_.ring();
  accepting_.join();
  internal::close_socket(socket_);  // who knocks now is refused
  socket_ = internal::kNoSocket;
}

bool Listener::wait_for_connections(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  return closed_.wait_for(lock, most, [this] { return open_.empty(); });
}

void Listener::drop_connections() {
  const std::lock_guard lock(mutex_);
  for (const Socket socket : open_) internal::shut_down(socket);
}

void Listener::accept_all() {
  while (bell_.wait_for_client(socket_)) {
    const Socket socket = internal::accept_from(socket_, kSendBytes);
    if (socket != internal::kNoSocket) take(socket);
  }
}

void Listener::take(Socket socket) {
  {
    const std::lock_guard lock(mutex_);
    if (open_.size() < n_threads_) open_.insert(socket);
    else return send_away(socket);
  }
  threads_.enqueue([this, socket] {
    serve_(socket);
    // The number stays this connection's until it is out of the list.
    const std::lock_guard lock(mutex_);
    open_.erase(socket);
    internal::close_socket(socket);
    closed_.notify_all();
  });
}

}  // namespace pith::server

#include "listener.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fmt/core.h>

#include "api_error.h"

namespace pith::server {
namespace {

constexpr int kBacklog = 128;

void set(int socket, int level, int option) {
  const int one = 1;
  ::setsockopt(socket, level, option, &one, sizeof one);
}

int bound_socket(const std::string& host, uint16_t port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  if (const int status = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); status != 0)
    throw std::runtime_error(fmt::format("option --host: {}: {}", host, gai_strerror(status)));
  int out = -1, reason = 0;
  for (const addrinfo* a = found; a != nullptr && out < 0; a = a->ai_next) {
    out = ::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (out >= 0) set(out, SOL_SOCKET, SO_REUSEADDR);
    if (out >= 0 && ::bind(out, a->ai_addr, a->ai_addrlen) == 0 && ::listen(out, kBacklog) == 0) break;
    reason = errno;
    if (out >= 0) ::close(out);
    out = -1;
  }
  freeaddrinfo(found);
  if (out < 0) throw std::runtime_error(fmt::format("option --port: {} on {}: {}", port, host, std::strerror(reason)));
  return out;
}

uint16_t port_of(int socket) {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof storage;
  char service[NI_MAXSERV] = "0";
  auto* any = reinterpret_cast<sockaddr*>(&storage);
  if (::getsockname(socket, any, &bytes) == 0)
    (void)getnameinfo(any, bytes, nullptr, 0, service, sizeof service, NI_NUMERICSERV);
  return uint16_t(std::atoi(service));
}

// To a client that no thread is free for; it is not read.
void send_away(int socket) {
  const std::string body = ApiError(503, "the server has as many connections as it may; try again").json();
  const std::string answer = fmt::format(
      "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: application/json\r\n"
      "Content-Length: {}\r\n\r\n{}",
      body.size(), body);
  (void)!::send(socket, answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  ::shutdown(socket, SHUT_WR);
  ::close(socket);
}

}  // namespace

Listener::Listener(const std::string& host, uint16_t port, uint32_t n_threads, std::function<void(int)> serve)
    : n_threads_(n_threads), serve_(std::move(serve)), threads_(n_threads) {
  try {
    socket_ = bound_socket(host, port);
    if (::pipe2(stop_pipe_, O_CLOEXEC) != 0) throw std::runtime_error("no pipe: " + std::string(std::strerror(errno)));
  } catch (...) {
    if (socket_ >= 0) ::close(socket_);
    threads_.shutdown();
    throw;
  }
  port_ = port_of(socket_);
}

Listener::~Listener() {
  stop();
  threads_.shutdown();
  for (const int descriptor : {socket_, stop_pipe_[0], stop_pipe_[1]}) ::close(descriptor);
}

void Listener::start() {
  accepting_ = std::thread([this] { accept_all(); });
}

void Listener::stop() {
  if (!accepting_.joinable()) return;
  (void)!::write(stop_pipe_[1], "", 1);
  accepting_.join();
  ::shutdown(socket_, SHUT_RDWR);  // who knocks now is refused
}

bool Listener::wait_for_connections(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  return closed_.wait_for(lock, most, [this] { return open_.empty(); });
}

void Listener::drop_connections() {
  const std::lock_guard lock(mutex_);
  for (const int socket : open_) ::shutdown(socket, SHUT_RDWR);
}

void Listener::accept_all() {
  for (;;) {
    pollfd both[2] = {{socket_, POLLIN, 0}, {stop_pipe_[0], POLLIN, 0}};
    if (::poll(both, 2, -1) < 0) continue;  // EINTR
    if (both[1].revents != 0) return;
    const int socket = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket >= 0) take(socket);
    // A client that has gone is none of ours; where descriptors have run out, one may be free soon.
    else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) ::poll(&both[1], 1, 10);
  }
}

void Listener::take(int socket) {
  {
    const std::lock_guard lock(mutex_);
    if (open_.size() < n_threads_) open_.insert(socket);
    else return send_away(socket);
  }
  set(socket, IPPROTO_TCP, TCP_NODELAY);  // tokens are small, and wanted at once
  threads_.enqueue([this, socket] {
    // The number stays this connection's until it is out of the list: the socket that is served is a copy.
    if (const int copy = ::fcntl(socket, F_DUPFD_CLOEXEC, 0); copy >= 0) serve_(copy);
    const std::lock_guard lock(mutex_);
    open_.erase(socket);
    ::close(socket);
    closed_.notify_all();
  });
}

}  // namespace pith::server

#include "connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace pith::server {
namespace {

constexpr size_t kMostHeaderBytes = 32768;  // of a request line and its headers
constexpr std::chrono::seconds kFarewell{1};

thread_local Connection* of_thread = nullptr;

using Clock = std::chrono::steady_clock;

void name_of(const sockaddr_storage& storage, socklen_t bytes, std::string* address, int* port) {
  char host[NI_MAXHOST], service[NI_MAXSERV];
  const auto* any = reinterpret_cast<const sockaddr*>(&storage);
  if (getnameinfo(any, bytes, host, sizeof host, service, sizeof service, NI_NUMERICHOST | NI_NUMERICSERV) != 0) return;
  *address = host;
  *port = std::atoi(service);
}

}  // namespace

Connection::Connection(int socket, std::chrono::seconds timeout)
    : socket_(socket), timeout_(timeout), start_(Clock::now()), n_allowed_(kMostHeaderBytes) {
  of_thread = this;
}

Connection::~Connection() {
  of_thread = nullptr;
  ::close(socket_);
}

Connection& Connection::current() { return *of_thread; }

bool Connection::wait(short events, Time deadline) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd one{socket_, events, 0};
    const int n = left <= 0 ? 0 : ::poll(&one, 1, int(std::min<long long>(left, 60'000)));
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return false;
    if (left <= 0) return !(is_timed_out_ = true);
  }
}

double Connection::seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

ssize_t Connection::read(char* data, size_t n_bytes) {
  while (first_ == end_) {
    if (!wait(POLLIN, start_ + timeout_)) return -1;
    const ssize_t n = ::recv(socket_, buffer_, sizeof buffer_, MSG_DONTWAIT);
    if (n == 0) return 0;
    if (n < 0 && errno != EAGAIN && errno != EINTR) return -1;
    first_ = 0;
    end_ = size_t(std::max<ssize_t>(n, 0));
  }
  if (n_allowed_ == 0) {
    is_used_up_ = true;
    return -1;
  }
  const size_t n = std::min({n_bytes, end_ - first_, n_allowed_});
  std::memcpy(data, buffer_ + first_, n);
  first_ += n;
  n_allowed_ -= n;
  return ssize_t(n);
}

ssize_t Connection::write(const char* data, size_t n_bytes) {
  const Time deadline = Clock::now() + timeout_;
  for (size_t done = 0; done < n_bytes;) {
    const ssize_t n = ::send(socket_, data + done, n_bytes - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) done += size_t(n);
    else if (errno == EAGAIN) {
      if (!wait(POLLOUT, deadline)) return -1;
    } else if (errno != EINTR) {
      return -1;
    }
  }
  return ssize_t(n_bytes);
}

bool Connection::is_alive() const {
  pollfd one{socket_, POLLRDHUP, 0};
  return ::poll(&one, 1, 0) <= 0 || (one.revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0;
}

void Connection::end() {
  ::shutdown(socket_, SHUT_WR);
  const Time deadline = Clock::now() + kFarewell;
  while (wait(POLLIN, deadline)) {
    const ssize_t n = ::recv(socket_, buffer_, sizeof buffer_, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return;
  }
}

void Connection::get_remote_ip_and_port(std::string& address, int& port) const {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof storage;
  if (::getpeername(socket_, reinterpret_cast<sockaddr*>(&storage), &bytes) == 0)
    name_of(storage, bytes, &address, &port);
}

void Connection::get_local_ip_and_port(std::string& address, int& port) const {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof storage;
  if (::getsockname(socket_, reinterpret_cast<sockaddr*>(&storage), &bytes) == 0)
    name_of(storage, bytes, &address, &port);
}

}  // namespace pith::server

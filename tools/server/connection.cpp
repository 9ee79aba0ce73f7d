#include "connection.h"

#include <algorithm>
#include <cstring>

namespace pith::server {

using internal::Ready;

namespace {

constexpr size_t kMostHeaderBytes = 32768;  // of a request line and its headers
constexpr std::chrono::seconds kFarewell{1};

thread_local Connection* of_thread = nullptr;

using Clock = std::chrono::steady_clock;

}  // namespace

Connection::Connection(internal::Socket socket, std::chrono::seconds timeout)
    : socket_(socket), timeout_(timeout), start_(Clock::now()), n_allowed_(kMostHeaderBytes) {
  of_thread = this;
}

Connection::~Connection() { of_thread = nullptr; }

Connection& Connection::current() { return *of_thread; }

bool Connection::wait(Ready what, Time deadline) {
  constexpr std::chrono::milliseconds kMost = std::chrono::hours(1);  // fits into an int
  const auto left = std::min(std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()), kMost);
  is_timed_out_ = left.count() <= 0;
  return !is_timed_out_ && internal::wait_until(what, socket_, int(left.count()));
}

double Connection::seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

ssize_t Connection::read(char* data, size_t n_bytes) {
  while (first_ == end_) {
    if (!wait(Ready::to_receive, start_ + timeout_)) return -1;
    const ptrdiff_t n = internal::receive(socket_, buffer_, sizeof buffer_);
    if (n == 0) return 0;
    if (n == internal::kBroken) return -1;
    first_ = 0;
    end_ = size_t(std::max<ptrdiff_t>(n, 0));
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
    const ptrdiff_t n = internal::send(socket_, data + done, n_bytes - done);
    if (n >= 0) done += size_t(n);
    else if (n == internal::kBroken || !wait(Ready::to_send, deadline)) return -1;
  }
  return ssize_t(n_bytes);
}

bool Connection::is_alive() const { return internal::is_connected(socket_); }

void Connection::end() {
  internal::end_sending(socket_);
  const Time deadline = Clock::now() + kFarewell;
  while (wait(Ready::to_receive, deadline)) {
    const ptrdiff_t n = internal::receive(socket_, buffer_, sizeof buffer_);
    if (n == 0 || n == internal::kBroken) return;
  }
}

void Connection::get_remote_ip_and_port(std::string& address, int& port) const {
  const internal::SocketAddress peer = internal::peer_address(socket_);
  address = peer.host;
  port = peer.port;
}

void Connection::get_local_ip_and_port(std::string& address, int& port) const {
  const internal::SocketAddress own = internal::own_address(socket_);
  address = own.host;
  port = own.port;
}

}  // namespace pith::server

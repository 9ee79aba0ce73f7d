// Sockets are much the same everywhere; what is not lies in the folders.
#include "sockets.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>

#ifdef _WIN32
#include "windows/socket_calls.h"
#else
#include "posix/socket_calls.h"
#endif

namespace pith::internal {
namespace {

using namespace socket_calls;

constexpr int kBacklog = 128;
constexpr std::chrono::milliseconds kShortage{10};

bool listen_at(Socket socket, const addrinfo& address) {
  prepare_to_listen(native(socket));
  return ::bind(native(socket), address.ai_addr, socklen_t(address.ai_addrlen)) == 0 &&
         ::listen(native(socket), kBacklog) == 0;
}

SocketAddress address_of(Socket socket, bool is_peer) {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof storage;
  auto* any = reinterpret_cast<sockaddr*>(&storage);
  char host[NI_MAXHOST], service[NI_MAXSERV];
  const int status = (is_peer ? ::getpeername : ::getsockname)(native(socket), any, &bytes);
  if (status != 0 ||
      getnameinfo(any, bytes, host, sizeof host, service, sizeof service, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return {};
  return {host, uint16_t(std::atoi(service))};
}

ptrdiff_t taken(ptrdiff_t n) {
  if (n >= 0) return n;
  return is_not_now(last_error()) ? kNotNow : kBroken;
}

}  // namespace

Listening listen_on(const char* host, uint16_t port) {
  Listening out;
  if (!begin()) {
    out.refused = "the system has no sockets";
    return out;
  }
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  if (const int status = getaddrinfo(host, std::to_string(port).c_str(), &hints, &found); status != 0) {
    out.unknown_host = host_error(status);
    return out;
  }
  int error = 0;
  for (const addrinfo* a = found; a != nullptr && out.socket == kNoSocket; a = a->ai_next) {
    const Socket made = Socket(::socket(a->ai_family, a->ai_socktype, a->ai_protocol));
    if (made != kNoSocket) prepare(native(made));
    if (made != kNoSocket && listen_at(made, *a)) {
      out.socket = made;
    } else {
      error = last_error();
      if (made != kNoSocket) close_socket(made);
    }
  }
  freeaddrinfo(found);
  if (out.socket == kNoSocket) out.refused = error_text(error);
  return out;
}

Socket accept_from(Socket listening, int send_bytes) {
  const Socket out = Socket(::accept(native(listening), nullptr, nullptr));
  if (out == kNoSocket) {
    if (is_shortage(last_error())) std::this_thread::sleep_for(kShortage);
    return out;
  }
  prepare(native(out));
  set(native(out), IPPROTO_TCP, TCP_NODELAY, 1);
  set(native(out), SOL_SOCKET, SO_SNDBUF, send_bytes);
  return out;
}

ptrdiff_t receive(Socket socket, void* out, size_t bytes) {
  return taken(::recv(native(socket), static_cast<char*>(out), Bytes(bytes), 0));
}

ptrdiff_t send(Socket socket, const void* data, size_t bytes) {
  return taken(::send(native(socket), static_cast<const char*>(data), Bytes(bytes), 0));
}

bool wait_until(Ready what, Socket socket, int milliseconds) {
  pollfd one{native(socket), short(what == Ready::to_send ? POLLOUT : POLLIN), 0};
  const int n = poll_all(&one, 1, std::min(milliseconds, kLongestWait));
  if (n < 0) return is_interruption(last_error());
  // To a client that sends no more and reads nothing, Windows says at once and for ever that something has happened.
  return n == 0 || what == Ready::to_receive || (one.revents & POLLOUT) != 0;
}

bool is_connected(Socket socket) {
  pollfd one{native(socket), kAskForEnd, 0};
  return poll_all(&one, 1, 0) <= 0 || (one.revents & kEnd) == 0;
}

SocketAddress own_address(Socket socket) { return address_of(socket, false); }
SocketAddress peer_address(Socket socket) { return address_of(socket, true); }

void end_sending(Socket socket) { (void)::shutdown(native(socket), kShutSending); }
void shut_down(Socket socket) { (void)::shutdown(native(socket), kShutBoth); }
void close_socket(Socket socket) { (void)close_native(native(socket)); }

Doorbell::Doorbell() { make_doorbell(ends_); }

Doorbell::~Doorbell() {
  for (const Socket end : {ends_[0], ends_[0] == ends_[1] ? kNoSocket : ends_[1]}) {
    if (end != kNoSocket) close_socket(end);
  }
}

void Doorbell::ring() { socket_calls::ring(ends_[1]); }

bool Doorbell::wait_for_client(Socket listening) {
  for (;;) {
    pollfd both[2] = {{native(listening), POLLIN, 0}, {native(ends_[0]), POLLIN, 0}};
    if (poll_all(both, 2, -1) >= 0) return both[1].revents == 0;
    if (!is_interruption(last_error())) std::this_thread::sleep_for(kShortage);
  }
}

}  // namespace pith::internal
